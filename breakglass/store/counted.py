"""The events of a log that numbers come from, found by their bytes, so that long outputs are not decoded."""

import json
import os
import re
from collections.abc import Iterator

from breakglass import events
from breakglass.errors import NotFound
from breakglass.events import Event
from breakglass.stats import KINDS
from breakglass.store import log, seek
from breakglass.store.sessions import Session

_LINE = re.compile(
    rb'\n\{"id":([1-9][0-9]{0,18}),"ts":"([^"\\]{1,40})","kind":"(%s)"[^\n]*'
    % "|".join(sorted(KINDS)).encode()
)
_RESULT = re.compile(rb'"turn":[0-9]+,"tool_id":("(?:[^"\\]|\\.)*"),"output":"')
_FAILED = re.compile(rb'","is_error":true(?:,"truncated":[0-9]+)?(?:,"parent":"(?:[^"\\]|\\.)*")?\}$')
_TAIL = 1000
"""Bytes at the end of a line in which its keys after the output are."""


def events_that_count(session: Session) -> Iterator[Event]:
    """Yield the events of `stats.KINDS`. A `tool_result` comes without its output. A log that is gone has none.

    The number of a line is the one that it claims: numbers need no exact place.
    """
    try:
        fd = log.open_reader(session.directory)
    except (NotFound, OSError):
        return
    try:
        position, size = seek.START, log.size(fd)
        while (found := seek.read_lines(fd, position, size))[0]:
            block, position = found
            for match in _LINE.finditer(b"\n" + block[:-1]):
                event = _decode(match)
                if event["kind"] != "foreign":
                    yield event
    finally:
        os.close(fd)


def _decode(match: re.Match[bytes]) -> Event:
    number, line = int(match[1]), match[0][1:]
    if match[3] == b"tool_result" and events.is_clean(line) and (head := _RESULT.search(line, 0, _TAIL)):
        return {
            "id": number,
            "ts": match[2].decode(errors="replace"),
            "kind": "tool_result",
            "tool_id": json.loads(head[1]),
            "is_error": _FAILED.search(line[-_TAIL:]) is not None,
        }
    return events.decode(line, number)
