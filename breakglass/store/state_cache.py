"""The state of each log that this process has read, so that the next read covers only new lines.

Only the kinds in `state.FOLDED` change a state. A search for bytes finds their lines at the speed of the disk, where
decoding every line takes many times longer. Bytes are only appended to a log, so the state after a line stays
correct. This process keeps that state and continues to read from there.
"""

import os
import re
import threading
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from breakglass import events
from breakglass.state import FOLDED, SessionState, fold
from breakglass.store import log, seek
from breakglass.store.seek import Position

_KEYED = frozenset({"user", "queued", "file"})
"""The kinds that may have an Idempotency-Key."""
_READ_KIND = re.compile(rb'","kind":"(?:%s)"' % "|".join(sorted(FOLDED | _KEYED)).encode())
"""A part of each line that is decoded. Other lines may have it in their values, and change nothing."""

QUEUE_REACH = 4 << 20
"""Bytes at the end of a log in which `may_have_queue` searches."""


class LogState(NamedTuple):
    """The state of a log after all lines before `end`."""

    state: SessionState = SessionState()
    end: Position = seek.START
    keys: Mapping[str, int] = MappingProxyType({})
    """The id of the first event with each Idempotency-Key."""
    tail: bytes = b""
    """The bytes before `end` (`seek.tail_sample`), by which the log is recognised."""


EMPTY = LogState()


_File = tuple[int, int, int, int, int]
"""What changes if a log is appended to, written over or replaced, or if its permissions change."""


def _file_of(status: os.stat_result) -> _File:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class _CacheEntry:
    """What this process has read of one log."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        """Only one thread at a time reads the log, because the first read of a large log takes seconds."""
        self.seen: tuple[_File, LogState] = (0, 0, 0, 0, 0), EMPTY
        """The file when it was last read, and its state: one value, which other threads take without the lock."""


_cache: dict[str, _CacheEntry] = {}


def read_cached(directory: str, fd: int) -> LogState:
    """Return the state after the last whole line of the log `fd` in `directory`.

    Reads what was appended since the last call, and everything if the log was replaced or written over.
    """
    entry = _cache.setdefault(directory, _CacheEntry())
    with entry.lock:
        file, (seen, known) = _file_of(os.fstat(fd)), entry.seen
        if file != seen:
            if file[:2] != seen[:2] or seek.tail_sample(fd, known.end) != known.tail:
                known = EMPTY
            known = read_state(fd, known)
            entry.seen = file, known
        return known


def find_unchanged(directory: str) -> LogState | None:
    """Return the state of a log that has not changed since this process read it. None means that it must be read.

    Opens nothing: a list of thousands of sessions needs one `stat` for each.
    """
    entry = _cache.get(directory)
    if entry is None:
        return None
    file, known = entry.seen
    try:
        status = os.lstat(f"{directory}/{log.NAME}")
    except OSError:
        return None
    return known if _file_of(status) == file else None


def may_have_queue(directory: str) -> bool:
    """Return whether a prompt was queued lately, so that it may still wait. Reads only the end. Raises NotFound."""
    fd = log.open_reader(directory)
    try:
        return b'","kind":"queued",' in os.pread(fd, QUEUE_REACH, max(0, log.size(fd) - QUEUE_REACH))
    finally:
        os.close(fd)


def forget(directory: str) -> None:
    """Drop what is cached of a log that was deleted."""
    _cache.pop(directory, None)


def read_state(fd: int, known: LogState = EMPTY) -> LogState:
    """Return the state after the last whole line of the log. Read only the lines after `known`."""
    state, position, keys, tail = known
    new: dict[str, int] = {}
    size = log.size(fd)
    while (found := seek.read_lines(fd, position, size))[0]:
        block, following = found
        for number, line in _folded_lines(block, position.number):
            event = events.decode(line, number)
            if event["kind"] == "foreign":
                continue
            state = fold(state, event)
            if event["kind"] in _KEYED and isinstance(key := event.get("key"), str):
                new.setdefault(key, number)
        is_whole = len(block) == following.offset - position.offset  # no line was cut for its length
        if is_whole:
            tail = (tail + block[-seek.TAIL_SAMPLE :])[-seek.TAIL_SAMPLE :]
        else:
            tail = seek.tail_sample(fd, following)
        if state.last_id != following.number:
            updated = _last_time(block, following.number) or state.updated
            state = state._replace(last_id=following.number, updated=updated)
        position = following
    return LogState(state, position, {**new, **keys} if new else keys, tail)


def _folded_lines(block: bytes, number: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of `block` that may change a state, each with its number. `number` is that of the line before."""
    begin = following = 0
    for match in _READ_KIND.finditer(block):
        if match.start() < following:  # a value of a line that was looked at
            continue
        counted, begin = begin, max(following, block.rfind(b"\n", following, match.start()) + 1)
        number += block.count(b"\n", counted, begin)
        following = block.find(b"\n", begin) + 1
        yield number + 1, block[begin : following - 1]


def _last_time(block: bytes, number: int) -> str:
    """Return the time of the last event of ours in `block`, "" if there is none. `number` is that of its last line."""
    stop = len(block)
    while stop:
        begin = block.rfind(b"\n", 0, stop - 1) + 1
        event = events.decode(block[begin:stop], number)
        if event["kind"] != "foreign":
            return str(event["ts"])
        stop, number = begin, number - 1
    return ""
