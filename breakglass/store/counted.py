"""The events of a log that numbers come from, found by their bytes, so that long outputs are not decoded.

Many sessions are counted by several processes, which are forked: only a process without threads may call `count`. A web
server starts one (`main`).
"""

import json
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
_find_kind = re.compile(rb'","kind":"(?:%b)"' % "|".join(sorted(KINDS)).encode()).search
"""Finds the lines that can count. A search for a pattern is fast if it begins with literal bytes."""
_match = re.compile(
    rb'\{"id":([1-9][0-9]{0,18}),"ts":"([^"\\]{1,40})","kind":"(?:'
    rb'tool_result","turn":[0-9]+,"tool_id":%(text)b,"output":"|'
    rb'tool","turn":[0-9]+,"tool_id":%(text)b,"name":%(text)b,"input":|'
    rb'(?:%(kinds)b)")' % {b"text": _TEXT, b"kinds": "|".join(sorted(KINDS)).encode()}
).match
"""The beginning of a line that counts. One match of a line takes much less than one for each of its keys."""
_FAILED = re.compile(
    rb'","is_error":true(?:,"truncated":[0-9]+)?(?:,"pictures":\[[^\]]*\])?(?:,"parent":"(?:[^"\\]|\\.)*")?\}$'
)
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
    import multiprocessing  # a few sessions are counted before it is imported

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
        for block in _blocks(fd):
            yield from _events_in(block)
    finally:
        os.close(fd)


def _blocks(fd: int) -> Iterator[bytes]:
    """Yield the log in blocks of whole lines, which are not counted. A line longer than `seek.MAX_LINE` is cut."""
    rest = b""
    for read in seek.read_blocks(fd, 0, log.size(fd)):
        block = rest + read
        end = block.rfind(b"\n") + 1
        yield block[:end]
        rest = block[end:]
        if len(rest) > seek.MAX_LINE:
            rest = b"cut"  # so it is no event


def _events_in(block: bytes) -> Iterator[Event]:
    """Yield the events that count in a block of whole lines."""
    is_clean = events.is_clean(block)
    end = 0
    while found := _find_kind(block, end):
        begin = block.rfind(b"\n", end, found.start()) + 1 or end
        end = block.find(b"\n", found.end())
        if not (match := _match(block, begin)):
            continue
        number, ts, result, call, name = match.groups()
        if (result or call) and is_clean and block.endswith(b"}", begin, end):
            event: Event = {"id": int(number), "ts": ts.decode(), "kind": "tool_result" if result else "tool"}
            event["tool_id"] = _text(result or call)
            if result:
                event["is_error"] = _has_failed(block, match.end(), end)
            else:
                event["name"], event["input"] = _text(name), block[begin:end]
            yield event
        elif (event := events.decode(block[begin:end], int(number)))["kind"] != "foreign":
            yield event


def _has_failed(block: bytes, begin: int, end: int) -> bool:
    """Return whether the keys after the output, which begins at `begin`, say that the tool failed."""
    if block.endswith(_SUCCEEDED, begin, end):
        return False
    return _FAILED.search(block[max(begin, end - _TAIL) : end]) is not None


def _text(quoted: bytes) -> str:
    if b"\\" in quoted:  # decoding an escape takes ten times as long
        return str(json.loads(quoted))
    return quoted[1:-1].decode()
