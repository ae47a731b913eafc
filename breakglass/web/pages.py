"""The pages, which all work without JavaScript, their static files, and the stream that a page attaches to.

What each template needs is said in render.py. Whoever is let in was let in by the guard.
"""

import asyncio
import json
import secrets
import socket
from typing import Any

from quart import Blueprint, Response, request

from breakglass.access import credentials
from breakglass.errors import NotFound
from breakglass.events import Event
from breakglass.store import log
from breakglass.web import sse, stream
from breakglass.web.console import SHOWN
from breakglass.web.context import desk, session_named, visit
from breakglass.web.guard.request import STATIC
from breakglass.web.http import attached
from breakglass.web.page import compress, render

pages = Blueprint("pages", __name__)
BEAT = b"event: beat\ndata: {}\n\n"
ROOT_FILES = {"/sw.js": "sw.js", "/manifest.webmanifest": "manifest.webmanifest", "/favicon.ico": "icon.svg"}
"""Static files that a browser looks for at the root."""


# --- pages --------------------------------------------------------------------------------------


@pages.get("/")
async def list_page() -> Response:
    """The sessions, and the box that begins a new one."""
    archived, everything = (request.args.get(name, "") not in ("", "0") for name in ("archived", "all"))
    query = request.args.get("q", "")
    most = None if everything else SHOWN
    found = await asyncio.to_thread(desk().list_for_page, archived=archived, query=query, most=most)
    return page_of(
        "sessions.html", listed=found, query=query, archived=archived, agents=desk().agents(), **_box()
    )


@pages.get("/sessions/<session_id>")
async def session_page(session_id: str) -> Response:
    """One session: its end, or the part before, after or around a line."""
    session = session_named(session_id)
    before, after, line = _number("before"), _number("after"), _number("line")
    if line:
        before, after = line + 1, None
    shown = await asyncio.to_thread(desk().window, session, before=before, after=after)
    if line:  # this one alone, the last where there are fewer, and nothing of it folded
        begin = shown.end._replace(number=max(0, shown.end.number - 1))
        shown = shown._replace(events=shown.events[-1:], begin=begin)
    found = await asyncio.to_thread(desk().list_for_page)
    this = await asyncio.to_thread(desk().describe_for_page, session)
    names = {
        "session": this,
        "listed": found,
        "events": await asyncio.to_thread(_rendered, shown.events, whole=bool(line)),
        "first_id": shown.begin.number + 1,
        "last_id": shown.end.number,
        "earlier": shown.has_earlier,
        "later": shown.has_later,
        "beat": desk().config.sse_keepalive_seconds,
    }
    return page_of("session.html", **names, **_box(this["agent"]))


def _rendered(found: list[Event], *, whole: bool) -> list[str]:
    """Return the fragments of some events; a thousand take 0.2 s, so this is for a thread."""
    return [html for _, html in render.fragments(found, whole=whole)]


@pages.get("/sessions/<session_id>/stream")
async def page_stream(session_id: str) -> Response:
    """The session's events as HTML, under the same ids."""
    session = session_named(session_id)
    after = stream.position(request.args.getlist("after"), "after")
    last = stream.position(request.headers.getlist("Last-Event-ID"), "Last-Event-ID")
    place = last if last is not None else after or 0
    if ts := request.args.get("ts"):
        place = await asyncio.to_thread(desk().place, session, place, ts)
    state = await asyncio.to_thread(desk().state, session)
    hello = {"last": state.last_id, "beat": desk().config.sse_keepalive_seconds, "now": log.now()}
    chunks = desk().attach(session, place, frame=render_frames, beat=BEAT)
    return await attached.stream(chunks, b"event: hello\ndata: %b\n\n" % json.dumps(hello).encode())


def render_frames(lines: bytes, first: int) -> bytes:
    """Return the frames of some lines as a page takes them: one fragment each."""
    decoded = sse.events_of(lines, first)
    return b"".join(
        b"id: %d\ndata: %b\n\n" % (number, html.encode()) for number, html in render.fragments(decoded)
    )


@pages.get("/login")
async def login_page() -> Response:
    """The form that asks for the token."""
    return page_of("login.html", next=local_path(request.args.get("next", "")), error=None)


def page_of(name: str, **names: Any) -> Response:
    """Return a page: its template filled with these names, and with what all of them need."""
    credential = visit().credential
    token = credentials.csrf(credential) if credential else ""
    status = names.pop("http_status", 200)
    root = request.root_path
    host = socket.gethostname() if credential else "Breakglass"  # who has not come in learns no name
    ours = {
        "host": host,
        "csrf": token,
        "root": root,
        "static": root + render.static_root(),
        "now": log.now(),
    }
    html = render.page(name, {**ours, "may_act": credential is None or credential.may_act, **names})
    return Response(html, status, content_type="text/html; charset=utf-8")


def _box(agent: str | None = None) -> dict[str, Any]:
    is_shell = desk().config.is_shell(agent or desk().config.agent)
    return {"presets": desk().presets(agent), "is_shell": is_shell, "key": secrets.token_hex(16)}


def error_page(status: int, title: str, detail: str) -> Response:
    """Return the page that says what went wrong."""
    return page_of("error.html", status=status, title=title, detail=detail, http_status=status)


# --- static files -------------------------------------------------------------------------------


@pages.get("/static/<version>/<name>")
async def static_file(version: str, name: str) -> Response:
    """A static file. Its address changes with its content, so a browser may keep it.

    At an address of another day, where a page from before an upgrade looks, it gets the file of today, and not to keep.
    """
    response = _file(name)
    if f"{STATIC}{version}" == render.static_root():
        response.headers["Cache-Control"] = "max-age=31536000, immutable"
    return response


@pages.get("/sw.js", endpoint="sw")
@pages.get("/manifest.webmanifest", endpoint="manifest")
@pages.get("/favicon.ico", endpoint="favicon")
async def root_file() -> Response:
    """A static file that must stand at the root."""
    return _file(ROOT_FILES[request.path])


def _file(name: str) -> Response:
    found = compress.files(render.STATIC).get(name)
    if found is None:
        raise NotFound(f"there is no static file {name[:64]!r}")
    if found.packed is None or not compress.accepts(request.headers.get("Accept-Encoding", "")):
        return Response(found.plain, content_type=found.content_type)
    return _packed(Response(found.packed, content_type=found.content_type))


@pages.after_app_request
async def compress_page(response: Response) -> Response:
    """Pack a page for a client that takes it so. The stream goes as it is: each of its pieces must arrive at once."""
    if response.mimetype != "text/html" or not compress.accepts(request.headers.get("Accept-Encoding", "")):
        return response
    html = await response.get_data(as_text=False)
    response.set_data(await asyncio.to_thread(compress.pack, html))
    return _packed(response)


def _packed(response: Response) -> Response:
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    return response


def local_path(place: str) -> str:
    """Return a path within this site, "" for anything else: a login must not lead elsewhere."""
    fine = place.startswith("/") and not place.startswith(("//", "/\\")) and place.isprintable()
    return place if fine else ""


def _number(name: str) -> int | None:
    return stream.position(request.args.getlist(name), name)
