"""Searches for clients. Each runs in a process of its own, so that the server responds meanwhile and can end it.

A client gets one page of hits: as one object, or each hit when it is found, with the progress between them.
"""

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import NamedTuple

from breakglass.errors import BadInput, BreakglassError
from breakglass.query import Excerpt, Query
from breakglass.store import sessions
from breakglass.store.search import Hit, Place, Progress
from breakglass.web import sse

PAGE = 50
"""Hits in one response."""
AT_ONCE = 2
"""Searches of one server process that run at the same time. Others wait."""
PROGRESS_SECONDS = 0.25
"""Seconds between two reports of the progress, at least."""
_CURSOR = re.compile(r"([0-9]{1,19})\.([0-9a-f-]{36})\.([1-9][0-9]{0,17})")
_PROGRAM = "from breakglass.store.search import main; main()"
_free = asyncio.Semaphore(AT_ONCE)


class Found(NamedTuple):
    """One page of hits."""

    hits: list[Hit]
    after: str | None
    """The cursor of the next page, None if there is none."""


class End(NamedTuple):
    """The end of one page of hits."""

    after: str | None
    """The cursor of the next page, None if there is none."""


class Wanted(NamedTuple):
    """What a client searches for."""

    words: str
    kind: str | None
    session: str | None
    after: str | None


def wanted(args: Mapping[str, str]) -> Wanted:
    """Return what the query of a request asks for."""
    return Wanted(args.get("q", ""), *(args.get(key) or None for key in ("kind", "session", "after")))


def check(root: Path, asked: Wanted) -> None:
    """Raise BadInput or NotFound if a search cannot begin."""
    Query(asked.words, asked.kind)
    if asked.session:
        sessions.get(root, asked.session)
    _place(asked.after)


async def find(root: Path, asked: Wanted) -> Found:
    """Return up to `PAGE` hits after a cursor. Raises as `page`."""
    hits: list[Hit] = []
    after: str | None = None
    async for each in page(root, asked):
        if isinstance(each, Hit):
            hits.append(each)
        elif isinstance(each, End):
            after = each.after
    return Found(hits, after)


async def page(root: Path, asked: Wanted) -> AsyncGenerator[Hit | Progress | End]:
    """Yield up to `PAGE` hits after a cursor when they are found, the progress now and then, and the end.

    Closing the iterator ends the search. Raises as `check`, and BreakglassError if the search fails.
    """
    check(root, asked)
    loop = asyncio.get_running_loop()
    hits, last, said = 0, "", loop.time()
    async with contextlib.aclosing(_run(root, asked)) as found:
        async for each in found:
            if isinstance(each, Hit):
                if hits == PAGE:
                    yield End(last)
                    return
                hits, last = hits + 1, cursor(each.place)
                yield each
            elif loop.time() >= said + PROGRESS_SECONDS:
                said = loop.time()
                yield each
    yield End(None)


async def frames(root: Path, asked: Wanted) -> AsyncGenerator[bytes]:
    """Yield one page of hits as server-sent events: `hit`, `progress`, and at last `end` or `error`."""
    try:
        async with contextlib.aclosing(page(root, asked)) as found:
            async for each in found:
                kind = type(each).__name__.lower()
                yield sse.named(kind, each.as_json() if isinstance(each, Hit) else each._asdict())
    except BreakglassError as error:
        yield sse.named("error", {"detail": str(error)})


async def _run(root: Path, asked: Wanted) -> AsyncGenerator[Hit | Progress]:
    """Yield all hits after a cursor, and the progress. Closing the iterator ends the search."""
    order = {**asked._asdict(), "root": str(root), "since": None, "after": _place(asked.after)}
    async with _free:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-c", _PROGRAM),
            env={},  # every process of this user can read it
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=1 << 20,
        )
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.close()
            while line := await process.stdout.readline():
                yield _decode(json.loads(line))
            if await process.wait():
                raise BreakglassError("the search ended early; is there enough memory?")
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _decode(fields: list[object]) -> Hit | Progress:
    match fields:
        case [[int(changed), str(session), int(line)], str(kind), str(ts), [str(text), int(begin), int(end)]]:
            return Hit(Place(changed, session, line), kind, ts, Excerpt(text, begin, end))
        case [int(searched), int(total)]:
            return Progress(searched, total)
    raise ValueError("a search returned neither a hit nor its progress")


def cursor(place: Place) -> str:
    """Return a place as a text that a client sends back to continue after it."""
    return f"{place.changed}.{place.session}.{place.line}"


def _place(after: str | None) -> Place | None:
    if not after:
        return None
    match = _CURSOR.fullmatch(after)
    if not match:
        raise BadInput("after: expected the cursor of an earlier response")
    return Place(int(match[1]), match[2], int(match[3]))
