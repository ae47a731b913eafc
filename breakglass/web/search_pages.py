"""The page "Search". It is sent while the logs are searched, so a hit is shown at once, also without JavaScript.

A browser that leaves the page ends the search.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

from quart import Blueprint, Response, request

from breakglass.errors import BadInput, BreakglassError, NotFound
from breakglass.kinds import KINDS
from breakglass.store.search import Hit, Progress
from breakglass.web import searching
from breakglass.web.context import data_root, lasting_response
from breakglass.web.page import queries, render
from breakglass.web.page.page_data import SearchPage
from breakglass.web.pages import page_of

search_pages = Blueprint("search_pages", __name__)
HITS = "<!-- hits -->"
"""Where the hits are in the template. What a user writes never contains it, because that is escaped."""


@search_pages.get("/search")
async def search_page() -> Response:
    """The form, and up to 50 hits of what it asks for."""
    asked, root, problem = searching.wanted(request.args), data_root(), ""
    try:
        if asked.words:
            searching.check(root, asked)
    except (BadInput, NotFound) as error:
        problem = str(error)
    kinds = (*KINDS, "foreign")
    content = SearchPage(asked.words, asked.kind or "", asked.session or "", kinds, problem)
    response = page_of(content)
    if not asked.words or problem:
        return response
    html = await response.get_data(as_text=True)
    parts = _parts(html, root, asked, request.root_path)
    return lasting_response(parts, "text/html; charset=utf-8")


async def _parts(html: str, root: Path, asked: searching.Wanted, prefix: str) -> AsyncGenerator[bytes]:
    before, _, after = html.partition(HITS)
    yield before.encode()
    headings: dict[str, str] = {}
    try:
        async with contextlib.aclosing(searching.page(root, asked)) as found:
            async for each in found:
                if isinstance(each, Hit):
                    row = await asyncio.to_thread(queries.hit_row, root, each, headings)
                    yield render.macro("hits.html", "hit", row, prefix).encode()
                elif isinstance(each, Progress):
                    yield render.macro("hits.html", "progress", *each).encode()
                else:
                    yield render.macro("hits.html", "end", asked, each.after, prefix, bool(headings)).encode()
    except BreakglassError as error:
        yield render.macro("hits.html", "failed", str(error)).encode()
    yield after.encode()
