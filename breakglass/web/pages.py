"""The pages and their plain forms, which all work without JavaScript; and the stream that a page attaches to.

What each template needs is said in render.py. Whoever is let in was let in by the guard; a form that
changes something carries the CSRF token besides.
"""

import asyncio
import functools
import json
import secrets
from typing import Any

from quart import Blueprint, Response, redirect, request
from werkzeug.datastructures import MultiDict

from breakglass import turns
from breakglass.errors import Forbidden, NotFound
from breakglass.events import Event
from breakglass.store import log, sessions
from breakglass.web import attached, auth, packing, render, sse, stream
from breakglass.web.api import by, desk, session_named, visit
from breakglass.web.desk import SHOWN

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
    return _page(
        "sessions.html", listed=found, query=query, archived=archived, agents=desk().agents(), **_box()
    )


@pages.get("/sessions/<session_id>")
async def session_page(session_id: str) -> Response:
    """One session: its end, or the part before, after or around a line."""
    session = session_named(session_id)
    before, after, line = _number("before"), _number("after"), _number("line")
    if line:  # this one alone, and nothing of it folded
        after = line - 1
    shown = await asyncio.to_thread(desk().window, session, before=before, after=after)
    if line:
        shown = shown._replace(events=shown.events[:1], end=shown.begin._replace(number=line))
    found = await asyncio.to_thread(desk().list_for_page)
    this = await asyncio.to_thread(desk().describe_for_page, session)
    names = {
        "session": this,
        "listed": found,
        "events": await asyncio.to_thread(_rendered, shown.events, whole=bool(line)),
        "first_id": shown.begin.number + 1,
        "last_id": shown.end.number,
        "earlier": shown.earlier,
        "later": shown.later,
        "beat": desk().config.sse_keepalive_seconds,
    }
    return _page("session.html", **names, **_box())


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


def _page(name: str, **names: Any) -> Response:
    credential = visit().credential
    token = auth.csrf(credential) if credential else ""
    status = names.pop("http_status", 200)
    root = request.root_path
    ours = {"csrf": token, "root": root, "static": root + render.static_root(), "now": log.now()}
    html = render.page(name, {**ours, "may_act": credential is None or credential.may_act, **names})
    return Response(html, status, content_type="text/html; charset=utf-8")


def _box() -> dict[str, Any]:
    return {"presets": desk().presets(), "key": secrets.token_hex(16)}


def error_page(status: int, title: str, detail: str) -> Response:
    """Return the page that says what went wrong."""
    return _page("error.html", status=status, title=title, detail=detail, http_status=status)


# --- static files -------------------------------------------------------------------------------


@pages.get("/static/<version>/<name>")
async def static_file(version: str, name: str) -> Response:
    """A static file. Its address changes with its content, so a browser may keep it."""
    response = _file(name)
    response.headers["Cache-Control"] = "max-age=31536000, immutable"
    return response


@pages.get("/sw.js", endpoint="sw")
@pages.get("/manifest.webmanifest", endpoint="manifest")
@pages.get("/favicon.ico", endpoint="favicon")
async def root_file() -> Response:
    """A static file that must stand at the root."""
    return _file(ROOT_FILES[request.path])


def _file(name: str) -> Response:
    found = packing.files(render.STATIC).get(name)
    if found is None:
        raise NotFound(f"there is no static file {name[:64]!r}")
    if found.packed is None or not packing.accepts(request.headers.get("Accept-Encoding", "")):
        return Response(found.plain, content_type=found.content_type)
    return _packed(Response(found.packed, content_type=found.content_type))


@pages.after_request
async def compress(response: Response) -> Response:
    """Pack a page for a client that takes it so. The stream goes as it is: each of its pieces must arrive at once."""
    if response.mimetype != "text/html" or not packing.accepts(request.headers.get("Accept-Encoding", "")):
        return response
    html = await response.get_data(as_text=False)
    response.set_data(await asyncio.to_thread(packing.pack, html))
    return _packed(response)


def _packed(response: Response) -> Response:
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    return response


# --- the door -----------------------------------------------------------------------------------


@pages.get("/login")
async def login_page() -> Response:
    """The form that asks for the token."""
    return _page("login.html", next=_local(request.args.get("next", "")), error=None)


@pages.post("/login")
async def log_in() -> Response:
    """Give a cookie for the right token."""
    form = await request.form
    then = _local(form.get("next", ""))
    access, seen = desk().access, visit()
    agent = request.headers.get("User-Agent", "")
    cookie = await asyncio.to_thread(
        functools.partial(access.log_in, form.get("token", "").strip(), address=seen.address, agent=agent)
    )
    if cookie is None:
        seconds = access.throttle.wrong(seen.address)
        wait = f" Wait {seconds} seconds before the next try." if seconds else ""
        error = f"That is not the token.{wait}"
        return _page("login.html", next=then, error=error, http_status=429 if seconds else 401)
    response = _go(then or f"{request.root_path}/")
    response.headers["Set-Cookie"] = auth.set_cookie(seen.origin, cookie)
    return response


@pages.post("/logout")
async def log_out() -> Response:
    """End this login."""
    await _form()
    if (credential := visit().credential) is not None:
        await asyncio.to_thread(desk().access.log_out, credential)
    response = _see("/login")
    response.headers["Set-Cookie"] = auth.set_cookie(visit().origin, "", seconds=0)
    return response


# --- plain forms --------------------------------------------------------------------------------


@pages.post("/sessions")
async def new_session() -> Response:
    """Make a session and begin its first turn."""
    form = await _form()
    prompt, agent = _prompt(form)
    agent = agent or form.get("agent") or None
    session = await asyncio.to_thread(desk().create, agent, form.get("model") or None, "", by())
    await _begin(session, prompt, form)
    return _see(f"/sessions/{session.id}#end")


@pages.post("/sessions/<session_id>")
async def change_session(session_id: str) -> Response:
    """Rename or archive a session."""
    session, form = session_named(session_id), await _form()
    archived = {"1": True, "0": False}.get(form.get("archived", ""))
    change = functools.partial(sessions.change, title=form.get("title"), archived=archived, by=by())
    await asyncio.to_thread(change, session)
    return _see(f"/sessions/{session.id}#end")


@pages.post("/sessions/<session_id>/turns")
async def begin_turn(session_id: str) -> Response:
    """Begin a turn."""
    session, form = session_named(session_id), await _form()
    await _begin(session, _prompt(form)[0], form)
    return _see(f"/sessions/{session.id}#end")


@pages.post("/sessions/<session_id>/cancel")
async def stop_turn(session_id: str) -> Response:
    """Stop the running turn."""
    session = session_named(session_id)
    await _form()
    if await asyncio.to_thread(turns.cancel, session, by=by()):
        desk().see_off(session)
    return _see(f"/sessions/{session.id}#end")


@pages.post("/sessions/<session_id>/queue")
async def take_back(session_id: str) -> Response:
    """Take a prompt out of the queue: the button pressed carries its number."""
    session, form = session_named(session_id), await _form()
    queued = stream.position(form.getlist("queued"), "queued") or 0
    await asyncio.to_thread(turns.withdraw, session, queued, by=by())
    return _see(f"/sessions/{session.id}#end")


@pages.post("/sessions/<session_id>/answers")
async def answer(session_id: str) -> Response:
    """Answer a question: the button pressed carries its name."""
    session, form = session_named(session_id), await _form()
    allow = "refuse" not in form
    wanted = form.get("refuse") or form.get("allow") or form.get("allow_session") or ""
    give = functools.partial(turns.answer, allow=allow, for_session="allow_session" in form, by=by())
    await asyncio.to_thread(give, session, wanted)
    return _see(f"/sessions/{session.id}#end")


async def _begin(session: sessions.Session, prompt: str, form: MultiDict[str, str]) -> None:
    take = functools.partial(turns.take, by=by(), key=form.get("key") or None, queue=True)
    await asyncio.to_thread(take, desk().config, session, prompt)


def _prompt(form: MultiDict[str, str]) -> tuple[str, str | None]:
    """Return the prompt of a form and the agent that its preset names, if it came by a preset's button."""
    chosen = form.get("preset", "")
    presets = desk().presets()
    if chosen.isdecimal() and int(chosen) < len(presets):
        preset = presets[int(chosen)]
        return str(preset["text"]), preset["agent"]
    return form.get("prompt", ""), None


async def _form() -> MultiDict[str, str]:
    """Return the form that was sent. Raises Forbidden without the CSRF token of whoever sends it."""
    form: MultiDict[str, str] = await request.form
    credential = visit().credential
    if credential is None or not auth.csrf_matches(credential, form.get("csrf", "")):
        raise Forbidden(
            "This form is from another login, or too old. Load the page again and send it once more."
        )
    return form


def _see(place: str) -> Response:
    """Return the way to a place of ours, below the prefix."""
    return _go(request.root_path + place)


def _go(place: str) -> Response:
    response: Response = redirect(place, 303)  # type: ignore[assignment]  # Quart's own, whatever Flask's type says
    return response


def _local(place: str) -> str:
    """Return a path within this site, "" for anything else: a login must not lead elsewhere."""
    fine = place.startswith("/") and not place.startswith(("//", "/\\")) and place.isprintable()
    return place if fine else ""


def _number(name: str) -> int | None:
    return stream.position(request.args.getlist(name), name)
