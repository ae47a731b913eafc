"""Functions for agents that print one JSON object a line: split lines, read values, and limit the size of events.

Must not know any agent's messages. Everything here accepts any output of a program, and raises nothing.
"""

import json
import re
from collections.abc import Callable, Iterable
from io import StringIO
from typing import Any

from breakglass.events import MAX_DEPTH, MAX_OUTPUT, Draft, clip, dumps

MAX_LINE = 64 << 20
"""Bytes of one line of an agent that are held. A longer line is dropped."""

MAX_ENCODED = MAX_OUTPUT + (MAX_OUTPUT >> 3)
"""Bytes of JSON that one value of an event may take: 1 MiB of text and its usual escapes."""

MAX_SHORT = 1 << 10
"""Bytes kept of a text that should be short: an id, the name of a tool or of a model."""

MAX_PLAN = 200
"""Items kept of a to-do list."""

MAX_UNREADABLE = 4 << 10
"""Bytes kept of something that the program does not understand."""

UNREADABLE = "The agent printed something that Breakglass does not understand"

_MAX_DELTA = 64 << 10  # characters of one joined `delta`
_STATUSES = ("pending", "in_progress", "completed")
_SESSION_ID = re.compile(r"[\x21-\x7e]{1,1024}")

_OBJECT_START = re.compile(r'\{\s*"')
_SEARCH_COST = 16  # characters that a search may read, for each character of the line
# An agent written in Python may print NaN, which no strict JSON parser accepts.
_decoder = json.JSONDecoder(parse_constant=lambda _: None)


# --- lines --------------------------------------------------------------------------------------


class LineSplitter:
    r"""Splits chunks of bytes into lines, at `\n` and nowhere else. Holds at most `limit` bytes."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._held = bytearray()
        self._is_too_long = False

    def feed(self, data: bytes) -> list[bytes | None]:
        """Return the lines that `data` completes, without their newline; None for a line that was too long."""
        *ended, rest = data.split(b"\n")
        lines = [self._end(piece) for piece in ended]
        self._hold(rest)
        return lines

    def rest(self) -> bytes | None:
        """Return the bytes after the last newline, and forget them."""
        return self._end(b"")

    def _end(self, piece: bytes) -> bytes | None:
        self._hold(piece)
        line = None if self._is_too_long else bytes(self._held)
        self._held.clear()
        self._is_too_long = False
        return line

    def _hold(self, piece: bytes) -> None:
        if self._is_too_long or len(self._held) + len(piece) > self._limit:
            self._is_too_long = True
            self._held.clear()
        else:
            self._held += piece


def parse_object(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object in `line`, None if it holds no object. Invalid UTF-8 becomes U+FFFD."""
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        value = _decoder.decode(line.decode(errors="replace"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def find_objects(line: bytes, is_message: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any] | str]:
    """Return the parts of a line in order: JSON objects, and the text that is no object.

    A line that is one object is that object, of any shape. In a torn line, or after text without a newline, an object
    counts only if `is_message` accepts it: a value inside a torn message is an object too. White space is no part.
    """
    if (whole := parse_object(line)) is not None:
        return [whole]
    text = line.decode(errors="replace")
    parts: list[dict[str, Any] | str] = []
    end = start = 0
    # A line of nothing but `{"a":` must not take quadratic time.
    budget = _SEARCH_COST * (len(text) + MAX_SHORT)
    while budget > 0 and (match := _OBJECT_START.search(text, start)):
        start = match.start()
        try:
            value, after = _decoder.raw_decode(text, start)
        except (ValueError, RecursionError) as reason:
            budget -= _cost(reason, text, start)
            start += 1
            continue
        budget -= after - start
        if is_message(value):
            parts += [text[end:start], value]
            end = start = after
        else:
            start += 1
    return [part for part in [*parts, text[end:]] if not isinstance(part, str) or part.strip()]


def _cost(reason: Exception, text: str, start: int) -> int:
    """Return what an attempt to decode `text` from `start` cost, in characters read.

    The decoder reports an unterminated string at its start. It also counts the newlines before each failure, which is
    fast, but without a charge for it a long hostile line takes quadratic time.
    """
    if isinstance(reason, json.JSONDecodeError) and not reason.msg.startswith("Unterminated"):
        return reason.pos - start + 1 + reason.pos // 64
    return len(text) - start + 1


# --- reading values of any shape -------------------------------------------------------------------


def as_text(value: Any) -> str:
    """Return `value` if it is a string, else ""."""
    return value if isinstance(value, str) else ""


def as_short_text(value: Any) -> str:
    """Return the first KiB of `value` if it is a string, else ""."""
    return clip(as_text(value), MAX_SHORT)[0]


def as_session_id(value: Any) -> str:
    """Return `value` if it can name an agent's session, else "".

    Every later turn has the name in its command line. A NUL in it would make all of them fail.
    """
    name = as_text(value)
    return name if _SESSION_ID.fullmatch(name) else ""


def as_object(value: Any) -> dict[str, Any]:
    """Return `value` if it is a JSON object, else {}."""
    return value if isinstance(value, dict) else {}


def as_objects(value: Any) -> list[dict[str, Any]]:
    """Return the JSON objects in `value` if it is a list, else []."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_input(value: Any) -> dict[str, Any]:
    """Return the input of a tool as a JSON object. One of another shape becomes its `input`."""
    return value if isinstance(value, dict) else {} if value is None else {"input": value}


def as_count(value: Any) -> int | None:
    """Return `value` if it is a whole number from 0 to 2**53 - 1, which every JSON reader keeps exactly; else None."""
    return value if type(value) is int and 0 <= value < 1 << 53 else None


# --- events that several agents produce -------------------------------------------------------------


def withdrawal(request: str) -> Draft:
    """Return the `answer` to a question that the agent itself withdrew."""
    fields = {"request": request, "allow": False, "by": "agent", "message": "The question was withdrawn."}
    return "answer", fields


def closed_by_exit(request: str, exit_description: str) -> Draft:
    """Return the `answer` to a question whose agent's process ended before an answer came."""
    text = f"The agent's process ended before an answer ({exit_description})"
    return "answer", {"request": request, "allow": False, "by": "exit", "message": f"{text}."}


def unreadable(texts: Iterable[str]) -> Draft:
    """Return the `notice` about things that an agent printed and that have no other place in the log."""
    shown = "\n".join(beginning(text) for text in texts)
    return "notice", {"text": cut_text(f"{UNREADABLE}: {shown}")[0]}


def beginning(text: str) -> str:
    """Return the first bytes of `text`, and how many are left out."""
    kept, left_out = clip(text.strip(), MAX_UNREADABLE)
    return kept + (f"… ({left_out} bytes left out)" if left_out else "")


def plan_item(text: Any, status: Any) -> dict[str, str]:
    """Return an item of a `plan` event. Its status is `pending` if `status` is not a known one."""
    return {"text": as_short_text(text), "status": status if status in _STATUSES else _STATUSES[0]}


def join_deltas(drafts: list[Draft]) -> list[Draft]:
    """Return `drafts` with consecutive deltas of one speaker joined into larger ones."""
    joined: list[Draft] = []
    for kind, fields in drafts:
        before, last = joined[-1] if joined else ("", {})
        if (
            kind == before == "delta"
            and fields.get("parent") == last.get("parent")
            and len(last["text"]) + len(fields["text"]) <= _MAX_DELTA
        ):
            last["text"] += fields["text"]
        else:
            joined.append((kind, fields))
    return joined


# --- sizes ----------------------------------------------------------------------------------------


class TextBuffer:
    """Text that arrives in pieces. Holds about as much as one event may have, and drops the rest."""

    def __init__(self) -> None:
        self._held = StringIO()

    def add(self, text: str) -> None:
        """Append `text`, unless the buffer is full."""
        if self._held.tell() < MAX_OUTPUT:
            self._held.write(text)

    @property
    def text(self) -> str:
        """The text so far, cut to fit an event."""
        return cut_text(self._held.getvalue())[0]


def cut_text(text: str) -> tuple[str, int]:
    """Return `text` cut to at most `MAX_ENCODED` bytes of JSON, and the bytes of UTF-8 that were left out."""
    text, left_out = clip(text)
    while len(text) * 6 > MAX_ENCODED and (size := _encoded_size(text)) > MAX_ENCODED:  # a NUL is six bytes
        text, more = clip(text, len(text.encode(errors="replace")) * MAX_ENCODED // size)
        left_out += more
    return text, left_out


def cut_object(value: dict[str, Any]) -> dict[str, Any]:
    """Return `value` in a size that fits an event. Long strings are cut, and end with the number of bytes left out."""
    for limit in (None, MAX_OUTPUT >> 1, MAX_OUTPUT >> 5):
        shown = value if limit is None else _cut_strings(value, limit, MAX_DEPTH)
        if _encoded_size(shown) <= MAX_ENCODED:
            return as_object(shown)
    return {"clipped": cut_text(dumps(value))[0]}


def _encoded_size(value: Any) -> int:
    return len(dumps(value).encode())


def _cut_strings(value: Any, limit: int, depth: int) -> Any:
    if isinstance(value, str):
        kept, left_out = clip(value, limit)
        return f"{kept}… ({left_out} bytes left out)" if left_out else value
    if depth and isinstance(value, dict):
        return {key: _cut_strings(item, limit, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, list):
        return [_cut_strings(item, limit, depth - 1) for item in value]
    return value
