"""What agents that print one JSON object a line have in common: cutting the lines, and keeping events alike and small.

Knows no agent's vocabulary. Everything here takes whatever a program printed and raises nothing.
"""

import json
import re
from typing import Any

from breakglass.events import MAX_DEPTH, MAX_OUTPUT, Draft, clip, dumps

MAX_LINE = 64 << 20
"""Bytes of one line of an agent that are held. A longer one is dropped."""

MAX_ENCODED = MAX_OUTPUT + (MAX_OUTPUT >> 3)
"""Bytes of JSON that one value of an event may take: 1 MiB of text and its usual escapes."""

MAX_NAME = 1 << 10
"""Bytes kept of what should be short: an id, a tool's name, a model's."""

MAX_PLAN = 200
"""Items kept of a to-do list."""

_STATUSES = ("pending", "in_progress", "completed")
_SESSION_ID = re.compile(r"[\x21-\x7e]{1,1024}")

_GATHERED = 64 << 10
"""Characters at which a gathered piece of prose is large enough."""

# An agent written in Python may print NaN, and nobody's parser takes it back.
_decoder = json.JSONDecoder(parse_constant=lambda _: None)


# --- lines --------------------------------------------------------------------------------------


class Lines:
    r"""Bytes cut anywhere, into lines: at `\n` and nowhere else. Holds no more than `limit` bytes."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._held = bytearray()
        self._too_long = False

    def feed(self, data: bytes) -> list[bytes | None]:
        """Return the lines that `data` ends, without their newline; None for one that was too long."""
        *ended, rest = data.split(b"\n")
        lines = [self._end(piece) for piece in ended]
        self._hold(rest)
        return lines

    def rest(self) -> bytes | None:
        """Return the bytes after the last newline, and forget them."""
        return self._end(b"")

    def _end(self, piece: bytes) -> bytes | None:
        self._hold(piece)
        line = None if self._too_long else bytes(self._held)
        self._held.clear()
        self._too_long = False
        return line

    def _hold(self, piece: bytes) -> None:
        if self._too_long or len(self._held) + len(piece) > self._limit:
            self._too_long = True
            self._held.clear()
        else:
            self._held += piece


def parse(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object in `line`, or None where it holds none. Invalid UTF-8 becomes U+FFFD."""
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        value = _decoder.decode(line.decode(errors="replace"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


# --- reading what may have any shape --------------------------------------------------------------


def string(value: Any) -> str:
    """Return `value` if it is a string, else ""."""
    return value if isinstance(value, str) else ""


def short(value: Any) -> str:
    """Return the first KiB of `value` if it is a string, else ""."""
    return clip(string(value), MAX_NAME)[0]


def session_id(value: Any) -> str:
    """Return `value` if it may name an agent's session, else "".

    It comes back in the command line of each turn that follows: with a NUL in it none could be started.
    """
    name = string(value)
    return name if _SESSION_ID.fullmatch(name) else ""


def table(value: Any) -> dict[str, Any]:
    """Return `value` if it is a JSON object, else {}."""
    return value if isinstance(value, dict) else {}


def tables(value: Any) -> list[dict[str, Any]]:
    """Return the JSON objects in `value` if it is a list, else []."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def whole(value: Any) -> int | None:
    """Return `value` if it is a whole number from 0 that any JSON reader keeps exactly, else None."""
    return value if type(value) is int and 0 <= value < 1 << 53 else None


# --- events that more than one agent gives ---------------------------------------------------------


def withdrawn(request: str) -> Draft:
    """Return the `answer` to a question that its agent took back."""
    fields = {"request": request, "allow": False, "by": "agent", "message": "The question was withdrawn."}
    return "answer", fields


def plan_item(text: Any, status: Any) -> dict[str, str]:
    """Return an item of a `plan` event; its status is `pending` where it has none that is known."""
    return {"text": short(text), "status": status if status in _STATUSES else _STATUSES[0]}


# --- sizes ----------------------------------------------------------------------------------------


def fit(text: str) -> tuple[str, int]:
    """Return `text` cut so that it takes at most `MAX_ENCODED` bytes as JSON, and the bytes of UTF-8 left out."""
    text, left = clip(text)
    while len(text) * 6 > MAX_ENCODED and (size := _encoded(text)) > MAX_ENCODED:  # a NUL is six bytes
        text, more = clip(text, len(text.encode(errors="replace")) * MAX_ENCODED // size)
        left += more
    return text, left


def fit_table(value: dict[str, Any]) -> dict[str, Any]:
    """Return `value`, its long strings cut (and saying so) as far as it must be to fit an event."""
    for limit in (None, MAX_OUTPUT >> 1, MAX_OUTPUT >> 5):
        shown = value if limit is None else _shorten(value, limit, MAX_DEPTH)
        if _encoded(shown) <= MAX_ENCODED:
            return table(shown)
    return {"clipped": fit(dumps(value))[0]}


def _encoded(value: Any) -> int:
    return len(dumps(value).encode())


def _shorten(value: Any, limit: int, depth: int) -> Any:
    if isinstance(value, str):
        kept, left = clip(value, limit)
        return f"{kept}… ({left} bytes left out)" if left else value
    if depth and isinstance(value, dict):
        return {key: _shorten(item, limit, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, list):
        return [_shorten(item, limit, depth - 1) for item in value]
    return value


def gather(drafts: list[Draft]) -> list[Draft]:
    """Return `drafts` with deltas that follow each other, of one speaker, joined to larger ones."""
    joined: list[Draft] = []
    for kind, fields in drafts:
        before, last = joined[-1] if joined else ("", {})
        if (
            kind == before == "delta"
            and fields.get("parent") == last.get("parent")
            and len(last["text"]) + len(fields["text"]) <= _GATHERED
        ):
            last["text"] += fields["text"]
        else:
            joined.append((kind, fields))
    return joined
