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

_TEXT = rb'("[^"\\]*(?:\\.[^"\\]*)*")'
_match = re.compile(
    rb'\{"id":([1-9][0-9]{0,18}),"ts":"([^"\\]{1,40})","kind":"(?:'
    rb'(tool_result)","turn":[0-9]+,"tool_id":%(text)b,"output":"|'
    rb'(tool)","turn":[0-9]+,"tool_id":%(text)b,"name":%(text)b,"input":|'
    rb'(?:%(kinds)b)")' % {b"text": _TEXT, b"kinds": "|".join(sorted(KINDS)).encode()}
).match
"""The beginning of a line that counts. One search of a line takes much less than one for each of its keys."""
_FAILED = re.compile(
    rb'","is_error":true(?:,"truncated":[0-9]+)?(?:,"pictures":\[[^\]]*\])?(?:,"parent":"(?:[^"\\]|\\.)*")?\}$'
)
_DELTA = b'"kind":"delta"'
_SUCCEEDED = b'","is_error":false}'
"""How most results end."""
_TAIL = 4000
"""Bytes at the end of a line in which its keys after the output are: 20 pictures need 3,000."""
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
        for line in _lines(fd):
            # A cheap look: it leaves out most lines, and costs a quarter of the match.
            if _DELTA not in line[30:64] and (match := _match(line)):
                event = _decode(line, match)
                if event["kind"] != "foreign":
                    yield event
    finally:
        os.close(fd)


def _lines(fd: int) -> Iterator[bytes]:
    """Yield the whole lines of a log. Their numbers are not counted. A line longer than `seek.MAX_LINE` is cut."""
    rest = b""
    for block in seek.read_blocks(fd, 0, log.size(fd)):
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        if len(rest) > seek.MAX_LINE:
            rest = b"cut"  # so it is no event
        yield from lines


def _decode(line: bytes, match: re.Match[bytes]) -> Event:
    number = int(match[1])
    if not line.endswith(b"}") or not events.is_clean(line):
        return events.decode(line, number)
    if match[3]:
        return {
            "id": number,
            "ts": match[2].decode(),
            "kind": "tool_result",
            "tool_id": _text(match[4]),
            "is_error": not line.endswith(_SUCCEEDED) and _FAILED.search(line[-_TAIL:]) is not None,
        }
    if match[5]:
        return {
            "id": number,
            "ts": match[2].decode(),
            "kind": "tool",
            "tool_id": _text(match[6]),
            "name": _text(match[7]),
            "input": line,
        }
    return events.decode(line, number)


def _text(quoted: bytes) -> str:
    if b"\\" in quoted:  # decoding an escape takes ten times as long
        return str(json.loads(quoted))
    return quoted[1:-1].decode()
