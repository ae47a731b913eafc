"""Decodes many lines of a log at once, for a program that reads a whole log. Pure.

msgspec decodes many lines in one call, in a tenth of the time of `events.decode`. It refuses two texts that Python
accepts: numbers beyond the largest float, and halves of surrogate pairs. It is slow to import, so it is imported late.
"""

import functools
import re
from collections.abc import Callable, Sequence

from breakglass import events
from breakglass.events import Event

_HEADS = re.compile(rb'\n\{"id":([1-9][0-9]{0,18}),"ts":"[^"\\]{1,40}","kind":"([a-z_]{1,40})"[,}]')
_SURROGATE = re.compile(rb"\\u[dD]")


def decode_lines(lines: Sequence[bytes], first: int) -> list[Event] | None:
    """Return what `events.decode` returns for each of `lines`. The first has number `first`.

    Returns None if one of them is foreign, or has a form that only `events.decode` can judge.
    """
    data = b"".join(lines)
    heads = _HEADS.findall(b"\n" + data)
    # Outside of texts, a `}` and a `{` can only meet between two values. So each value of `data` is one line.
    if (
        not len(heads) == data.count(b"}\n") == len(lines)
        or not events.is_clean(data)
        or _SURROGATE.search(data)
    ):
        return None
    try:
        decoded = _decoder()(data)
    except (ValueError, RecursionError):
        return None
    for number, (head, event) in enumerate(zip(heads, decoded, strict=False), first):
        found = type(event["ts"]), type(event["id"]), event["id"], event["kind"], head[0]
        # It can differ: a line with a wrong number, or a second `id`, `ts` or `kind` that replaced the first.
        if found != (str, int, number, head[1].decode(), b"%d" % number):
            return None
    return decoded if len(decoded) == len(lines) else None


@functools.cache
def _decoder() -> Callable[[bytes], list[Event]]:
    import msgspec

    return msgspec.json.Decoder().decode_lines
