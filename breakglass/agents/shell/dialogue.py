"""A shell: the prompt is a script, and its output is the result of one tool.

The output comes in pieces as it is produced: `tool_result` events of one `tool_id`. Only the last piece says how the
script ended. Of a long output only the beginning and the last 64 KiB are kept.
"""

from codecs import getincrementaldecoder
from collections.abc import Sequence

from breakglass.agents import Exit, TurnInput
from breakglass.choices import NO_ANSWERS, Answers
from breakglass.events import MAX_OUTPUT, Draft

PIECE = 64 << 10
"""Bytes of output in one event."""

HEAD = MAX_OUTPUT - PIECE
"""Bytes that become events at once. The rest is reduced to its last `PIECE` bytes, for the last event."""

# The shell reads the whole script before it runs any of it, and the script gets an empty standard input. bash reads
# with a builtin, so that it works without PATH and when no process can start; dash cannot, and uses cat. All of this
# is on one line, because otherwise bash counts the script's lines wrongly. Without the space, a script that begins with
# `-` would be an option of eval: dash has no `eval --`.
_READ = 'script=; IFS= read -r -d "" script 2>/dev/null || [ "$script" ] || script=$(cat) || exit 126'
_READ_AND_RUN = _READ + '; exec </dev/null; eval " ${script:?could not be read}"'

_HELD_BACK = f"\n[breakglass: over {HEAD >> 10} KiB; the last {PIECE >> 10} KiB follow when it ends]\n"


class Dialogue:
    """One script through a POSIX shell."""

    merge_stderr = True
    carries_remarks = True
    start_over = False
    waits_for_quiet = False
    finished = True
    answered = False
    can_steer = False
    unread: Sequence[int] = ()

    def __init__(self, turn_input: TurnInput) -> None:
        self.argv = [*turn_input.command, "-c", _READ_AND_RUN]
        self.environ: dict[str, str] = {}
        self.failed = False
        self._prompt = turn_input.prompt
        self._id = f"shell-{turn_input.turn}"
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._shown = 0  # bytes
        self._tail = bytearray()
        self._left_out = 0  # bytes

    def begin(self) -> list[Draft]:
        """Return the call of the one tool."""
        return [("tool", {"tool_id": self._id, "name": "shell", "input": {"command": self._prompt}})]

    def open(self) -> bytes:
        r"""Return the script. A form on a page ends its lines with `\r\n`; no shell accepts that, nor a NUL."""
        return self._prompt.replace("\r\n", "\n").replace("\0", "").encode(errors="replace")

    def after_quiet(self) -> list[Draft]:
        """Return nothing: a shell needs no pause."""
        return []

    def translate(self, data: bytes) -> list[Draft]:
        """Return pieces of output, as long as they are within `HEAD`."""
        head, rest = data[: HEAD - self._shown], data[HEAD - self._shown :]
        self._shown += len(head)
        pieces = [self._decoder.decode(head[at : at + PIECE]) for at in range(0, len(head), PIECE)]
        if rest:
            if not self._tail:
                pieces.append(_HELD_BACK)
            self._hold(rest)
        return [self._piece(text) for text in pieces if text]

    def answer(self, request: str, *, allow: bool, message: str = "", answers: Answers = NO_ANSWERS) -> bool:
        """Return False: a script never asks for permission."""
        return False

    def steer(self, number: int, prompt: str) -> None:
        """Do nothing: a script reads no further prompt."""

    def reply(self) -> bytes:
        """Return nothing."""
        return b""

    def interrupt(self) -> bytes:
        """Return nothing: only a signal stops a script."""
        return b""

    def close(self, end: Exit) -> list[Draft]:
        """Return the last piece, which says whether the script failed, and the result."""
        is_error = end.code != 0
        self.failed = is_error and not end.cancelled
        kind, last = self._piece(self._decode_tail(), is_error=is_error)
        if self._left_out:
            last["truncated"] = self._left_out
        result = {"is_error": is_error, "result": end.description, "duration_ms": end.duration_ms}
        return [(kind, last), ("result", result)]

    def _piece(self, output: str, *, is_error: bool = False) -> Draft:
        return "tool_result", {"tool_id": self._id, "output": output, "is_error": is_error}

    def _hold(self, data: bytes) -> None:
        self._tail += data
        if (excess := len(self._tail) - PIECE) > 0:
            del self._tail[:excess]
            self._left_out += excess

    def _decode_tail(self) -> str:
        if self._left_out:
            self._decoder.reset()  # it holds the first bytes of a character whose other bytes were left out
            torn = next((at for at in range(3) if self._tail[at] & 0xC0 != 0x80), 3)
            del self._tail[:torn]
            self._left_out += torn
        return self._decoder.decode(bytes(self._tail), final=True)
