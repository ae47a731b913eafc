"""The part of a dialogue that is the same for every agent that prints one JSON object a line.

Must not know any agent's messages: a subclass reads them in `_read`.
"""

from typing import Any

from breakglass.agents import TurnInput
from breakglass.agents.lines import MAX_LINE, LineSplitter, join_deltas, parse_object
from breakglass.events import Draft, clip

MAX_ERROR = 5 << 10
"""Bytes of an error's text: up to 4 KiB of standard error, and our own text."""

_MAX_PLAIN_LINES = 20


class LineDialogue:
    """Both directions of a dialogue in JSON lines. See `breakglass.agents.Dialogue` for the public methods."""

    merge_stderr = False

    def __init__(self, turn_input: TurnInput, argv: list[str]) -> None:
        self.argv = argv
        self.environ: dict[str, str] = {}
        self.failed = False
        self.waits_for_quiet = False
        self.start_over = False
        self._input = turn_input
        self._splitter = LineSplitter()
        self._unwritten = b""
        self._plain_lines: list[bytes] = []  # the last lines that were not JSON: they may explain a failure

    def begin(self) -> list[Draft]:
        """Return nothing: these agents report the begin of a session themselves."""
        return []

    def after_quiet(self) -> list[Draft]:
        """Return nothing: most agents need no pause."""
        return []

    def reply(self) -> bytes:
        """Return the bytes to write now. The next call returns only newer ones."""
        data, self._unwritten = self._unwritten, b""
        return data

    def translate(self, data: bytes) -> list[Draft]:
        """Return the events in `data` and in the incomplete line of earlier calls."""
        return join_deltas([draft for line in self._splitter.feed(data) for draft in self._read_line(line)])

    def _read(self, message: dict[str, Any]) -> list[Draft]:
        """Return the events in one object. Must not raise, for an object of any shape."""
        raise NotImplementedError

    def _read_line(self, line: bytes | None) -> list[Draft]:
        if line is None:
            return [error(f"The agent printed a line of over {MAX_LINE >> 20} MiB; it is left out here.")]
        message = parse_object(line)
        if message is not None:
            return self._read(message)
        if not line.startswith(b"{"):  # an object that is cut off because the agent died explains nothing
            self._plain_lines = [*self._plain_lines[1 - _MAX_PLAIN_LINES :], line[:MAX_ERROR]]
        return []

    def _read_rest(self) -> list[Draft]:
        """Return the events in a last line that has no newline."""
        last = self._splitter.rest()
        return self._read_line(last) if last else []

    def _plain_output(self) -> str:
        """Return the end of the agent's output that was not JSON."""
        return b"\n".join(self._plain_lines)[-MAX_ERROR:].decode(errors="replace").strip()


def error(text: str, more: dict[str, str] | None = None) -> Draft:
    """Return an `error` event. `more` has its further keys, such as `parent`."""
    return "error", {"error": clip(text, MAX_ERROR)[0], **(more or {})}
