"""Server-sent events: a frame for each line of a log. Pure.

The format is section 9.2.6 of the HTML Living Standard. A field ends in CR, LF or CRLF, so a sent line must
never contain a raw CR. NUL in an `id` is ignored, and the stream is UTF-8. JSON is not parsed here: a line of ours is
recognized by its first bytes, and its id is checked against its number.
"""

import json
from itertools import chain, repeat
from typing import Any

from breakglass import events

KEEPALIVE = b": keepalive\n\n"
RESET = b"event: reset\ndata: {}\n\n"


def frame(lines: bytes, first: int) -> bytes:
    """Return one frame for each of `lines`, which are complete and end in a newline. The first has number `first`."""
    each = lines[:-1].split(b"\n")
    count, numbers = len(each), range(first, first + len(each))
    # If all lines have our own format, one operation for all of them is much cheaper.
    heads = (b'{"id":%d,"ts":"\n' * count % tuple(numbers)).split(b"\n")
    if (
        events.is_clean(lines)
        and all(map(bytes.startswith, each, heads))
        and all(map(bytes.endswith, each, repeat(b"}")))
    ):
        return b"id: %d\ndata: %b\n\n" * count % tuple(chain.from_iterable(zip(numbers, each, strict=True)))
    return b"".join(map(_frame_one, each, numbers))


def _frame_one(line: bytes, number: int) -> bytes:
    if not events.is_ours(line, number):
        line = events.dumps(events.foreign(line, number)).encode()
    return b"id: %d\ndata: %b\n\n" % (number, line)


def events_of(lines: bytes, first: int) -> list[events.Event]:
    """Return whole lines decoded. The first has number `first`."""
    return [events.decode(line, number) for number, line in enumerate(lines[:-1].split(b"\n"), first)]


def named(event: str, value: dict[str, Any]) -> bytes:
    """Return the frame of a named event. It has no `id:`."""
    return f"event: {event}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode()


def caught_up(number: int) -> bytes:
    """Return the frame that ends a replay. `number` is the last id sent; the frame has no `id:` of its own."""
    return named("caught-up", {"id": number})
