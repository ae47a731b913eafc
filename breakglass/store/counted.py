"""The events of a log that numbers come from, found by their bytes, so that long outputs are not decoded.

Many sessions are counted by several processes, which are forked: only a process without threads may call `count`. A web
server starts one (`main`).
"""

import json
import multiprocessing
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from breakglass import events
from breakglass.errors import NotFound
from breakglass.events import Event
from breakglass.stats import KINDS, SessionReader, Stats
from breakglass.store import log, seek, sessions
from breakglass.store.sessions import Session
from breakglass.timeline import Timeline

_LINE = re.compile(
    rb'\n\{"id":([1-9][0-9]{0,18}),"ts":"([^"\\]{1,40})","kind":"(%s)"[^\n]*'
    % "|".join(sorted(KINDS)).encode()
)
_TEXT = rb'("[^"\\]*(?:\\.[^"\\]*)*")'
_RESULT = re.compile(rb'"turn":[0-9]+,"tool_id":%b,"output":"' % _TEXT)
_FAILED = re.compile(rb'","is_error":true(?:,"truncated":[0-9]+)?(?:,"parent":"(?:[^"\\]|\\.)*")?\}$')
_CALL = re.compile(rb'"turn":[0-9]+,"tool_id":%b,"name":%b,"input":' % (_TEXT, _TEXT))
_TAIL = 1000
"""Bytes at the end of a line in which its keys after the output are."""
ALONE = 100
"""Sessions up to which this process counts alone: to start others takes longer."""
MAX_WORKERS = 8


def count(root: Path, ids: Sequence[str], since: str = "") -> Stats:
    """Return the numbers of these sessions, of the turns that began at the time `since` or later."""
    workers = min(MAX_WORKERS, len(os.sched_getaffinity(0))) if len(ids) > ALONE else 1
    if workers == 1:
        return _count_part(root, ids, since)
    parts = [(root, ids[number::workers], since) for number in range(workers)]
    total = Stats()
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        for part in pool.starmap(_count_part, parts):
            total.add(part)
    return total


def _count_part(root: Path, ids: Sequence[str], since: str) -> Stats:
    stats = Stats()
    for each in ids:
        reader = SessionReader(stats, each, since)
        for event in events_that_count(Session(root, each)):
            reader.add(event)
    return stats


def main() -> None:
    """Count the sessions that a JSON object on standard input names. Print the numbers and, of one, the timeline."""
    order: dict[str, Any] = json.loads(sys.stdin.readline())
    root, timeline = Path(order["root"]), Timeline()
    ids = [order["session"]] if order["session"] else sorted(sessions.ids(root))
    for event in events_that_count(Session(root, ids[0])) if order["session"] else ():
        timeline.add(event)
    numbers = count(root, ids, order["since"]).as_json()
    sys.stdout.write(json.dumps({"numbers": numbers, "turns": list(timeline.turns)}))


def events_that_count(session: Session) -> Iterator[Event]:
    """Yield the events of `stats.KINDS`. A log that is gone has none.

    A `tool_result` comes without its output. The `input` of a `tool` is its whole line, which is decoded only if the
    call is one of the slowest. The number of a line is the one that it claims: numbers need no exact place.
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
    number, line, kind = int(match[1]), match[0][1:], match[3]
    if kind == b"tool_result" and events.is_clean(line) and (head := _RESULT.search(line, 0, _TAIL)):
        return {
            "id": number,
            "ts": match[2].decode(errors="replace"),
            "kind": "tool_result",
            "tool_id": _text(head[1]),
            "is_error": _FAILED.search(line[-_TAIL:]) is not None,
        }
    if kind == b"tool" and events.is_ours(line, number) and (head := _CALL.search(line, 0, _TAIL)):
        return {
            "id": number,
            "ts": match[2].decode(errors="replace"),
            "kind": "tool",
            "tool_id": _text(head[1]),
            "name": _text(head[2]),
            "input": line,
        }
    return events.decode(line, number)


def _text(quoted: bytes) -> str:
    if b"\\" in quoted:  # decoding an escape takes ten times as long
        return str(json.loads(quoted))
    return quoted[1:-1].decode(errors="replace")
