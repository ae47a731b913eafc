"""The pages "Statistics": numbers of all sessions, and of one with its timeline. They work without JavaScript.

The numbers are counted in a process of its own, so that the server responds meanwhile. It is killed if it takes too
long, or if the client disconnects.
"""

import asyncio
import contextlib
import json
import sys
import time
from typing import Any

from quart import Blueprint, Response, request

from breakglass import query
from breakglass.errors import BreakglassError
from breakglass.web.context import console, data_root, session_named
from breakglass.web.page import queries
from breakglass.web.page.page_data import StatsPage
from breakglass.web.pages import page_of

stats_pages = Blueprint("stats_pages", __name__)
SECONDS = 120
"""How long counting may take: at least 10 GB of logs."""
_PROGRAM = "from breakglass.store.counted import main; main()"
_free = asyncio.Semaphore(1)


@stats_pages.get("/stats")
async def stats_page() -> Response:
    """The numbers of all sessions, or with `since` of the turns since then."""
    return page_of(StatsPage(None, **await _counted(None)))


@stats_pages.get("/sessions/<session_id>/stats")
async def session_stats_page(session_id: str) -> Response:
    """The numbers and the timeline of one session."""
    session = session_named(session_id)
    row = await asyncio.to_thread(queries.session_row, session, console().warn_once)
    return page_of(StatsPage(row, **await _counted(session.id)))


async def _counted(session: str | None) -> dict[str, Any]:
    since = request.args.get("since", "")
    begin = query.parse_since(since, time.time()) if since else ""
    order = {"root": str(data_root()), "session": session, "since": begin}
    async with _free:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-c", _PROGRAM),
            env={},  # every process of this user can read it
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(SECONDS):
                printed, _ = await process.communicate(json.dumps(order).encode() + b"\n")
        except TimeoutError:
            raise BreakglassError("counting took too long; on the machine, do: breakglass stats") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        raise BreakglassError("the sessions could not be counted; on the machine, do: breakglass stats")
    return {"since": since, **json.loads(printed)}
