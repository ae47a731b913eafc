"""The part of a dialogue that is the same for every agent that prints one JSON object a line.

Must not know any agent's messages: a subclass reads them in `_read`.

The rule for every agent: what cannot be understood is never dropped in silence. It becomes a `notice` with its first
bytes. Here this holds for text that is no JSON object. `_read` holds to it for objects (`lines.unreadable`).
"""

from collections.abc import Sequence
from typing import Any

from breakglass.agents import TurnInput
from breakglass.agents.lines import (
    MAX_LINE,
    UNREADABLE,
    LineSplitter,
    beginning,
    find_objects,
    join_deltas,
    unreadable,
)
from breakglass.events import Draft, clip

MAX_ERROR = 5 << 10
"""Bytes of an error's text: up to 4 KiB of standard error, and our own text."""

_MAX_PLAIN_LINES = 20
_MAX_TOLD = 1000  # texts


class LineDialogue:
    """Both directions of a dialogue in JSON lines. See `breakglass.agents.Dialogue` for the public methods."""

    merge_stderr = False
    carries_remarks = True

    def __init__(self, turn_input: TurnInput, argv: list[str]) -> None:
        self.argv = argv
        self.environ: dict[str, str] = {}
        self.failed = False
        self.waits_for_quiet = False
        self.start_over = False
        self._input = turn_input
        self._splitter = LineSplitter()
        self._unwritten = b""
        self._plain_lines: list[str] = []  # the last lines that were not JSON: they may explain a failure
        self._told: set[str] = set()  # the texts that have a notice: a repeated text gets no second one

    def begin(self) -> list[Draft]:
        """Return nothing: these agents report the begin of a session themselves."""
        return []

    def after_quiet(self) -> list[Draft]:
        """Return nothing: most agents need no pause."""
        return []

    @property
    def can_steer(self) -> bool:
        """Return False: most agents read no further prompt within a turn."""
        return False

    @property
    def unread(self) -> Sequence[int]:
        """Return nothing."""
        return ()

    def steer(self, number: int, prompt: str) -> None:
        """Do nothing: most agents read no further prompt within a turn."""

    def reply(self) -> bytes:
        """Return the bytes to write now. The next call returns only newer ones."""
        data, self._unwritten = self._unwritten, b""
        return data

    def translate(self, data: bytes) -> list[Draft]:
        """Return the events in `data` and in the incomplete line of earlier calls."""
        return join_deltas(self._read_lines(self._splitter.feed(data)))

    def _read(self, message: dict[str, Any]) -> list[Draft]:
        """Return the events in one object. Must not raise, for an object of any shape."""
        raise NotImplementedError

    def _is_message(self, value: dict[str, Any]) -> bool:
        """Return whether an object that was found inside a line is a message, and not a value inside another one."""
        raise NotImplementedError

    def _read_lines(self, lines: list[bytes | None]) -> list[Draft]:
        drafts: list[Draft] = []
        texts: list[str] = []  # that stand between two messages
        for line in lines:
            if line is None:
                drafts.append(
                    error(f"The agent printed a line of over {MAX_LINE >> 20} MiB; it is left out here.")
                )
                continue
            for part in find_objects(line, self._is_message):
                if isinstance(part, str):
                    texts.append(part)
                else:
                    drafts += [*self._read_texts(texts), *self._without_repeats(self._read(part))]
                    texts = []
        return drafts + self._read_texts(texts)

    def _read_texts(self, texts: list[str]) -> list[Draft]:
        """Return one notice of texts that are no messages, without those that an earlier notice has."""
        fresh = []
        for text in texts:
            is_torn_object = text.lstrip().startswith(
                "{"
            )  # it explains nothing: the agent died while it printed
            if not is_torn_object:
                self._plain_lines = [*self._plain_lines[1 - _MAX_PLAIN_LINES :], text[:MAX_ERROR]]
            shown = beginning(text)
            if shown not in self._told:
                fresh.append(text)
            if len(self._told) < _MAX_TOLD:
                self._told.add(shown)
        return [unreadable(fresh)] if fresh else []

    def _without_repeats(self, drafts: list[Draft]) -> list[Draft]:
        """Return the events without notices of unreadable output that are in the log already."""
        fresh = []
        for kind, fields in drafts:
            text = fields.get("text", "") if kind == "notice" else ""
            is_told = text.startswith(UNREADABLE) and text in self._told
            if text.startswith(UNREADABLE) and len(self._told) < _MAX_TOLD:
                self._told.add(text)
            if not is_told:
                fresh.append((kind, fields))
        return fresh

    def _read_rest(self) -> list[Draft]:
        """Return the events in a last line that has no newline."""
        return self._read_lines([self._splitter.rest()])

    def _plain_output(self) -> str:
        """Return the end of the agent's output that was not JSON."""
        return "\n".join(self._plain_lines)[-MAX_ERROR:].strip()


def error(text: str, more: dict[str, str] | None = None) -> Draft:
    """Return an `error` event. `more` has its further keys, such as `parent`."""
    return "error", {"error": clip(text, MAX_ERROR)[0], **(more or {})}
