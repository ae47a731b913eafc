"""The pages, their static files, and the stream that a page attaches to. Everything here works without JavaScript.

The guard has let the request through before a route runs. The types in page/page_data.py say what each template needs.
"""

import asyncio
import functools
import json
import socket
import time
from collections.abc import AsyncGenerator, Mapping
from http.client import NOT_FOUND

from markupsafe import Markup
from quart import Blueprint, Response, request

from breakglass.access import credentials
from breakglass.errors import NotFound
from breakglass.events import Event
from breakglass.filters import FILTERS
from breakglass.store import log, root, space, workspace
from breakglass.store.sessions import Session
from breakglass.text import visible
from breakglass.vitals import Vitals
from breakglass.web import files, sse, stream
from breakglass.web.context import (
    caller,
    console,
    data_root,
    has_flag,
    lasting_response,
    redirect_within,
    session_named,
)
from breakglass.web.guard.request import HOSTS, STATIC_PREFIX
from breakglass.web.http import attached
from breakglass.web.hub_forms import order_key
from breakglass.web.page import compress, fragments, growing, queries, render, rows
from breakglass.web.page.page_data import (
    CommonData,
    DeletePage,
    ErrorPage,
    FilesPage,
    ListPage,
    LoginPage,
    Page,
    SessionPage,
)

pages = Blueprint("pages", __name__)
KEEPALIVE = b"event: keepalive\ndata: {}\n\n"
"""The keepalive of a page's stream. Scripts do not see the comments that `sse.KEEPALIVE` uses."""
PATIENCE_SECONDS = 0.2
"""How long a page waits for the vital signs. If a probe hangs, the page shows the earlier ones."""
ROOT_FILES = {"/sw.js": "sw.js", "/manifest.webmanifest": "manifest.webmanifest", "/favicon.ico": "icon.svg"}
"""Static files that a browser looks for at the root."""


# --- pages --------------------------------------------------------------------------------------


@pages.get("/")
async def list_page() -> Response:
    """The sessions, and the form for a new one."""
    archived = has_flag("archived")
    query = request.args.get("q", "")
    limit = None if has_flag("all") else queries.MAX_ROWS
    config, warn = console().config, console().warn_once
    found = await asyncio.to_thread(
        queries.list_sessions, data_root(), warn, archived=archived, query=query, limit=limit
    )
    content = ListPage(
        sessions=found,
        query=query,
        archived=archived,
        agents=rows.agent_choices(config),
        targets=tuple(config.targets),
        budget=config.max_cost_usd_per_day,
        box=await asyncio.to_thread(queries.prompt_box, config, request.args.get("preset", "")),
    )
    return page_of(content, vitals=await _vitals())


@pages.get("/hosts")
async def hosts_page() -> Response:
    """All hosts whose sessions are copied here, and their sessions in one list."""
    limit = None if has_flag("all") else queries.MAX_ROWS
    return page_of(await asyncio.to_thread(queries.list_hosts, data_root(), time.time(), limit))


@pages.get("/sessions/<session_id>")
async def session_page(session_id: str) -> Response:
    """One session: its end, or the part before, after or around a line; with `show`, as a filter shows it.

    With `file`, `path` or `picture`, a file.
    """
    session = session_named(session_id)
    if (number := _number("file")) or "path" in request.args:
        path = await asyncio.to_thread(queries.file_path, session, number) if number else request.args["path"]
        return await files.response_of(session, path)
    if name := request.args.get("picture"):
        return await files.picture(session, name)
    if number := _number("go"):  # the form "Go to line"
        return redirect_within(f"/sessions/{session.id}?around={number}#e{number}")
    line, show = _number("line"), request.args.get("show", "")
    show = show if show in FILTERS else ""
    before = line + 1 if line else _number("before")
    wanted = queries.Wanted(before, _number("after"), _number("around"), "" if line else show)
    shown = await asyncio.to_thread(queries.read_window, session, wanted)
    if line:  # only this line, with nothing folded; the last line if the log has fewer
        begin = shown.end._replace(number=max(0, shown.end.number - 1))
        shown = shown._replace(events=shown.events[-1:], begin=begin)
    config, warn = console().config, console().warn_once
    found = await asyncio.to_thread(queries.list_sessions, session.root, warn)
    row = await asyncio.to_thread(queries.session_row, session, warn)
    content = SessionPage(
        session=row,
        sessions=found,
        events=await asyncio.to_thread(_rendered, session, shown.events, whole=bool(line), alone=bool(show)),
        show=show,
        first_id=shown.begin.number + 1,
        last_id=shown.end.number,
        earlier=shown.has_earlier,
        later=shown.has_later,
        agents=rows.agent_choices(config),
        log_path=f"{session.directory}/{log.NAME}",
        keepalive=config.sse_keepalive_seconds,
        box=await asyncio.to_thread(queries.prompt_box, config, request.args.get("preset", ""), row.state),
        order_key=await asyncio.to_thread(order_key, config),
    )
    return page_of(content, vitals=await _vitals())


@pages.get("/sessions/<session_id>/files")
async def files_page(session_id: str) -> Response:
    """The files in the workspace of a session, each to download."""
    session = session_named(session_id)
    row = await asyncio.to_thread(queries.session_row, session, console().warn_once)
    found = await asyncio.to_thread(workspace.list_files, session.workspace)
    return page_of(FilesPage(row, found.files, found.is_complete))


@pages.get("/sessions/<session_id>/delete")
async def delete_page(session_id: str) -> Response:
    """The question before a session is deleted. Only an archived one can be."""
    session = session_named(session_id)
    row = await asyncio.to_thread(queries.session_row, session, console().warn_once)
    used = await asyncio.to_thread(space.disk_use, session)
    return page_of(DeletePage(row, used, queries.why_not_deletable(row.state)))


def _rendered(session: Session, found: list[Event], *, whole: bool, alone: bool) -> list[Markup]:
    """Return the HTML of some events. Slow for many, so call it in a thread."""
    where: dict[str, str] | None = None if files.can_serve(session) else {}
    shown = fragments.fragments(found, whole=whole, alone=alone, joined=not whole, addresses=where)
    return [html for _, html in shown]


@pages.get("/sessions/<session_id>/outline")
async def outline(session_id: str) -> Response:
    """The prompts and the failures of the whole log, for the scripts of the page: JSON."""
    found = await asyncio.to_thread(queries.read_outline, session_named(session_id))
    return Response(json.dumps(found._asdict(), ensure_ascii=False), content_type="application/json")


@pages.get("/sessions/<session_id>/prose")
async def growing_prose(session_id: str) -> Response:
    """The finished blocks of prose that grows, for the scripts of the page: HTML."""
    session = session_named(session_id)
    first, last, is_ended = _number("first") or 0, _number("last") or 0, has_flag("ended")
    asked = growing.Asked(first, _number("skip"), is_ended)
    found = await asyncio.to_thread(queries.read_prose, session, first, last)
    html = await asyncio.to_thread(growing.prose, found, asked)
    return Response(html, content_type="text/html; charset=utf-8")


@pages.get("/sessions/<session_id>/stream")
async def page_stream(session_id: str) -> Response:
    """The session's events as HTML, under the same ids as in the API."""
    session = session_named(session_id)
    last = stream.last_seen(request.args.getlist("after"), request.headers.getlist("Last-Event-ID"))
    if ts := request.args.get("ts"):
        last = await asyncio.to_thread(queries.checked_line, session, last, ts)
    state = await asyncio.to_thread(console().state, session)
    start = {"last": state.last_id, "keepalive": console().config.sse_keepalive_seconds, "now": log.now()}
    write = attached.direct_write(request)
    has_files = await asyncio.to_thread(files.can_serve, session)
    frame = render_frames if has_files else render_frames_without_files
    chunks = console().attach(session, last, write, stream.Format(frame, KEEPALIVE))
    return await attached.streaming_response(
        chunks, b"event: start\ndata: %b\n\n" % json.dumps(start).encode()
    )


@pages.get("/alive")
async def alive() -> Response:
    """A stream that says nothing. Its end tells the list at once that the server, or the login, has ended."""
    interval = console().config.sse_keepalive_seconds

    async def beats() -> AsyncGenerator[bytes, None]:
        while True:
            yield KEEPALIVE
            await asyncio.sleep(interval)

    return await attached.streaming_response(beats())


def render_frames(lines: bytes, first: int, addresses: Mapping[str, str] | None = None) -> bytes:
    """Return whole lines of a log, the first of which has number `first`, as SSE frames of HTML fragments."""
    shown = fragments.fragments(sse.events_of(lines, first), addresses=addresses)
    return b"".join(b"id: %d\ndata: %b\n\n" % (number, html.encode()) for number, html in shown)


render_frames_without_files = functools.partial(render_frames, addresses={})
"""One function, because streams of the same log and function share a reader."""


@pages.get("/sessions/<session_id>/save.<form>")
async def saved_session(session_id: str, form: str) -> Response:
    """The session as `html`, `md` or `tar.gz`. Always a download, so that a browser runs nothing of it here."""
    session = session_named(session_id)
    if form not in ("html", "md", "tar.gz"):
        raise NotFound(f"a session is saved as html, md or tar.gz, not as {form[:20]!r}")
    parts = queries.saved(session, form)

    async def body() -> AsyncGenerator[bytes]:
        while part := await asyncio.to_thread(next, parts, b""):
            yield part

    response = lasting_response(body(), "application/octet-stream")
    response.headers["Content-Disposition"] = f'attachment; filename="breakglass-{session.id[:8]}.{form}"'
    return response


@pages.get("/login")
async def login_page() -> Response:
    """The form that asks for the access token."""
    return page_of(LoginPage(next=local_path(request.args.get("next", ""))))


def page_of(content: Page, status: int = 200, vitals: Vitals | None = None) -> Response:
    """Return a page as a response."""
    credential, copy_of = caller().credential, caller().host
    prefix = request.root_path
    home = prefix.removesuffix(f"{HOSTS}{copy_of}") if copy_of else prefix
    read_only = _read_only_message() if credential else ""
    common = CommonData(
        # An anonymous caller must not learn the machine's name. It knows the address that it asked.
        host=copy_of or (socket.gethostname() if credential else visible(request.host)),
        csrf=credentials.csrf_token(credential) if credential else "",
        prefix=prefix,
        home=home,
        static=home + render.static_root(),
        now=log.now(),
        may_act=credential is None or (credential.may_act and not read_only),
        read_only=read_only,
        vitals=vitals,
    )
    return Response(render.page(common, content), status, content_type="text/html; charset=utf-8")


def _read_only_message() -> str:
    """Return why the sessions that the request reads can only be read, "" if they can be changed."""
    try:
        return root.read_only_message(data_root())
    except NotFound:  # a host without a copy; this is the page that says so
        return ""


async def _vitals() -> Vitals | None:
    """Return the vital signs of this machine for a page that is not of another host."""
    return None if caller().host else await console().vitals(PATIENCE_SECONDS)


def error_page(status: int, title: str, detail: str) -> Response:
    """Return the page that describes an error."""
    session = "" if status == NOT_FOUND else (request.view_args or {}).get("session_id", "")
    return page_of(ErrorPage(status, title, detail, session), status)


# --- static files -------------------------------------------------------------------------------


@pages.get("/static/<version>/<name>")
async def static_file(version: str, name: str) -> Response:
    """A static file. Its address changes with its content, so a browser may cache it.

    A page loaded before an upgrade uses an old address. It gets the current file, which it must not cache.
    """
    response = _file(name)
    if f"{STATIC_PREFIX}{version}" == render.static_root():
        response.headers["Cache-Control"] = "max-age=31536000, immutable"
    return response


@pages.get("/sw.js", endpoint="sw")
@pages.get("/manifest.webmanifest", endpoint="manifest")
@pages.get("/favicon.ico", endpoint="favicon")
async def root_file() -> Response:
    """A static file that a browser expects at the root."""
    return _file(ROOT_FILES[request.path])


def _file(name: str) -> Response:
    found = compress.files(render.STATIC).get(name)
    if found is None:
        raise NotFound(f"there is no static file {name[:64]!r}")
    if found.gzipped is None or not compress.accepts(request.headers.get("Accept-Encoding", "")):
        return Response(found.plain, content_type=found.content_type)
    return _as_gzip(Response(found.gzipped, content_type=found.content_type))


@pages.after_app_request
async def compress_page(response: Response) -> Response:
    """Compress a page for a client that accepts gzip. What is sent while it is made is not: it must arrive at once."""
    is_stream = "X-Accel-Buffering" in response.headers
    if (
        response.mimetype != "text/html"
        or is_stream
        or not compress.accepts(request.headers.get("Accept-Encoding", ""))
    ):
        return response
    html = await response.get_data(as_text=False)
    response.set_data(await asyncio.to_thread(compress.compress, html))
    return _as_gzip(response)


def _as_gzip(response: Response) -> Response:
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    return response


def local_path(path: str) -> str:
    """Return `path` if it lies within this site, else "": a login must not redirect to another site."""
    is_local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_local else ""


def _number(name: str) -> int | None:
    return stream.line_number(request.args.getlist(name), name)
