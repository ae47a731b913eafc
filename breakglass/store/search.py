"""Search all logs for words, without an index: the newest log first, and in it the newest line first.

How this works
--------------
* The logs are divided into chunks of whole lines. `query.py` finds the lines of a chunk that can match by their bytes.
  Only these lines are decoded.
* The newest chunk is searched in this process, so that a hit there is shown at once. For the rest, a process for each
  core is forked. Each takes every n-th chunk and writes its hits to a pipe, which this process reads in order. A full
  pipe stops a process, so none is far ahead, and memory stays flat.
* The number of a line is known only by its place. It is computed for hits alone: by bisection, as `seek.py` does.

Because processes are forked, only a process without threads may call `search`. A web server starts one (`main`).
"""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from breakglass import events
from breakglass.errors import BreakglassError, NotFound
from breakglass.events import Event
from breakglass.query import Excerpt, Query
from breakglass.store import log, seek, sessions
from breakglass.store.seek import START, Position
from breakglass.store.sessions import Session

CHUNK = 16 << 20
"""Bytes of a log that are searched together."""
BLOCK = 1 << 20
"""Bytes that are in memory at once."""
ALONE = 64 << 20
"""Bytes up to which this process searches alone: to start others takes longer."""
MAX_WORKERS = 16
FINISHED_WITHIN = 256 << 10
"""Bytes after a `delta` within which the `text` that repeats it is looked for."""


_PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when its parent dies."""


class Place(NamedTuple):
    """A place in the order of all lines: a search continues after it."""

    changed: int
    """When the log was last written to, in ns since 1970. A log that has changed since is not searched again."""
    session: str
    line: int


class Hit(NamedTuple):
    """An event that matches."""

    place: Place
    kind: str
    ts: str
    excerpt: Excerpt

    def as_json(self) -> dict[str, Any]:
        """Return what programs get of a hit."""
        return {
            "session": self.place.session,
            "line": self.place.line,
            "kind": self.kind,
            "text": self.excerpt.text,
        }


class Progress(NamedTuple):
    """How many bytes have been searched, and how many there are."""

    searched: int
    total: int


class _Chunk(NamedTuple):
    """A part of a log: the lines that begin from the line at `begin` on, and before the line at `stop`."""

    session: Session
    changed: int
    begin: int
    stop: int
    before_line: int
    """0, or a line at which, and after which, no line is searched."""


def search(
    root: Path, query: Query, session: str | None = None, after: Place | None = None
) -> Iterator[Hit | Progress]:
    """Yield every hit after a place, and the progress after each chunk. `session` is the id of the only one to search.

    Raises NotFound if that session does not exist. Close the iterator to stop the search.
    """
    chunks = [*_chunks(root, query, session, after)]
    total = sum(chunk.stop - chunk.begin for chunk in chunks)
    searched = 0
    for chunk, hits in zip(chunks, _search_all(chunks, query, total), strict=True):
        yield from hits
        searched += chunk.stop - chunk.begin
        yield Progress(searched, total)


def _chunks(root: Path, query: Query, session: str | None, after: Place | None) -> Iterator[_Chunk]:
    ids = sessions.ids(root) if session is None else [sessions.get(root, session).id]
    logs = [(status.st_mtime_ns, each, status.st_size) for each in ids if (status := _status(root, each))]
    for changed, each, size in sorted(logs, reverse=True):
        is_begun = after is not None and each == after.session
        if after and not is_begun and (changed, each) > (after.changed, after.session):
            continue
        if query.since and query.since > log.timestamp(changed / 1e9):
            continue
        place = after.changed if after and is_begun else changed
        for stop in range(size, 0, -CHUNK):
            line = after.line if after and is_begun else 0
            yield _Chunk(Session(root, each), place, max(0, stop - CHUNK), stop, line)


def _status(root: Path, session: str) -> os.stat_result | None:
    with contextlib.suppress(OSError):
        return os.stat(f"{root}/sessions/{session}/{log.NAME}", follow_symlinks=False)
    return None


def main() -> None:
    """Search for a web server: one request as JSON on standard input, a line of JSON for each hit and progress.

    The server kills this process when no client waits for its result any more.
    """
    request = json.loads(sys.stdin.buffer.readline())
    after = Place(*request["after"]) if request["after"] else None
    query = Query(request["words"], request["kind"], request["since"])
    for found in search(Path(request["root"]), query, request["session"], after):
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


# --- processes ----------------------------------------------------------------------------------


def _search_all(chunks: list[_Chunk], query: Query, total: int) -> Iterator[Iterable[Hit]]:
    """Yield the hits in each chunk, in the order of the chunks. Take them before the next ones."""
    alone = len(chunks) if total <= ALONE else 1
    for chunk in chunks[:alone]:
        yield _search_chunk(chunk, query)
    rest = chunks[alone:]
    number = min(len(os.sched_getaffinity(0)), MAX_WORKERS, len(rest))
    workers = [_Worker(rest[n::number], query) for n in range(number)]
    try:
        for n in range(len(rest)):
            yield workers[n % number].next()
    finally:
        for worker in workers:
            worker.kill()


class _Worker:
    """A forked process that searches chunks, and writes one line of JSON for each."""

    def __init__(self, chunks: Sequence[_Chunk], query: Query) -> None:
        read, write = os.pipe()
        parent = os.getpid()
        self._pid = os.fork()
        if not self._pid:
            _work(chunks, query, write, parent)
        os.close(write)
        self._pipe = os.fdopen(read, "rb")

    def next(self) -> list[Hit]:
        """Return the hits in the next chunk. Raises BreakglassError if the process died."""
        line = self._pipe.readline()
        if not line:
            raise BreakglassError("a process of the search died; is there enough memory?")
        return [_hit(*fields) for fields in json.loads(line)]

    def kill(self) -> None:
        """End the process, and reap it."""
        self._pipe.close()
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _hit(place: list[Any], kind: str, ts: str, excerpt: list[Any]) -> Hit:
    return Hit(Place(*place), kind, ts, Excerpt(*excerpt))


def _work(chunks: Sequence[_Chunk], query: Query, write: int, parent: int) -> None:
    """Search the chunks, and exit. This process ends with its parent, which the server kills to stop a search."""
    import ctypes  # most searches need no worker

    status = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before
            return
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which kills this process
        with os.fdopen(write, "w", encoding="utf-8") as pipe:
            for chunk in chunks:
                pipe.write(json.dumps([*_search_chunk(chunk, query)]) + "\n")
                pipe.flush()
        status = 0
    finally:
        os._exit(status)  # the exit handlers are those of the parent


# --- one chunk ----------------------------------------------------------------------------------


def _search_chunk(chunk: _Chunk, query: Query) -> Iterator[Hit]:
    """Yield the hits in a chunk, the newest first. A log that was deleted or may not be read has none."""
    try:
        fd = log.open_reader(chunk.session.directory)
    except (NotFound, OSError):
        return
    try:
        yield from _ChunkSearch(fd, chunk, query).hits()
    finally:
        os.close(fd)


class _ChunkSearch:
    """The search of one chunk of the log `fd`, from its end to its beginning."""

    def __init__(self, fd: int, chunk: _Chunk, query: Query) -> None:
        self._fd = fd
        self._chunk = chunk
        self._query = query
        self._known: Position | None = None
        """The number of the last hit, and where its line begins."""
        self._end: Position | None = None
        """The end of the log."""

    def hits(self) -> Iterator[Hit]:
        """Yield the hits, the newest first."""
        begin = seek.find_line_begin(self._fd, self._chunk.begin)
        stop = seek.find_line_begin(self._fd, self._chunk.stop)
        while stop > begin:
            block_begin = max(begin, seek.find_line_begin(self._fd, max(0, stop - BLOCK)))
            if stop - block_begin > seek.MAX_LINE:  # the block begins with a giant line
                tail = os.pread(self._fd, BLOCK, stop - BLOCK)
                if 0 < (length := tail.find(b"\n") + 1) < len(tail):
                    block_begin = stop - BLOCK + length
            length = stop - block_begin
            if length > seek.MAX_LINE:  # it is only that line, of which readers get the beginning
                length = events.MAX_FOREIGN
            block = os.pread(self._fd, length, block_begin)
            yield from self._hits_in(block, block_begin)
            stop = block_begin

    def _hits_in(self, block: bytes, offset: int) -> Iterator[Hit]:
        for begin in reversed(self._query.candidates(block)):
            end = block.find(b"\n", begin)
            line = block[begin : end if end >= 0 else len(block)]
            if found := self._match(line, offset + begin):
                number, event, excerpt = found
                if not self._chunk.before_line or number < self._chunk.before_line:
                    place = Place(self._chunk.changed, self._chunk.session.id, number)
                    yield Hit(place, event["kind"], event.get("ts", ""), excerpt)

    def _match(self, line: bytes, offset: int) -> tuple[int, Event, Excerpt] | None:
        """Return the number, the event and the excerpt of a line that matches."""
        claim = (events.head(line) or (0, ""))[0]
        event = events.decode(line, claim)
        excerpt = self._query.excerpt(event)
        if not excerpt and event["kind"] != "foreign" and self._query.kind != "foreign":
            return None
        number = self._number(offset, claim)
        if number != claim:
            event = events.decode(line, number)
            excerpt = self._query.excerpt(event)
        if not excerpt or self._is_repeated(event, offset + len(line)):
            return None
        return number, event, excerpt

    def _number(self, offset: int, claim: int) -> int:
        """Return the number of the line at `offset`, which claims to be `claim`. The lines are asked for backwards."""
        known = self._known
        if known:
            number = known.number - _newlines(self._fd, offset, known.offset)
        else:
            number = self._look_up(offset, claim)
        self._known = Position(number, offset)
        return number

    def _look_up(self, offset: int, claim: int) -> int:
        if offset > seek.COUNT_BLOCK and claim > 1:
            self._end = self._end or seek.find_end(self._fd, log.size(self._fd))
            if seek.find_after(self._fd, claim - 1, self._end).offset == offset:
                return claim
        return seek.count_lines(self._fd, START, offset).number + 1

    def _is_repeated(self, event: Event, end: int) -> bool:
        """Return whether an event is a piece of streamed text whose whole text follows. That is the better hit."""
        if event["kind"] != "delta" or self._query.kind == "delta":
            return False
        mark = b'"kind":"text","turn":%d,' % event["turn"] if type(event.get("turn")) is int else b""
        return bool(mark) and mark in os.pread(self._fd, FINISHED_WITHIN, end)


def _newlines(fd: int, begin: int, stop: int) -> int:
    return sum(block.count(b"\n") for block in seek.read_blocks(fd, begin, stop))
