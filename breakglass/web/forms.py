"""The plain forms, which all work without JavaScript, and the door's: what a page sends, and where it leads.

Each carries the CSRF token of whoever was let in by the guard; the login's form carries the access token.
"""

import asyncio
import hashlib
import re

from quart import Blueprint, Response, redirect, request
from werkzeug.datastructures import MultiDict

from breakglass.access import credentials
from breakglass.errors import Forbidden
from breakglass.store import sessions
from breakglass.turns.answer import answer_question
from breakglass.turns.begin import submit_prompt, withdraw_prompt
from breakglass.web import stream
from breakglass.web.context import by, desk, session_named, visit
from breakglass.web.guard import cookies
from breakglass.web.pages import local_path, page_of

forms = Blueprint("forms", __name__)
_PRESET = re.compile(r"[0-9]{1,4}")


# --- the door -----------------------------------------------------------------------------------


@forms.post("/login")
async def log_in() -> Response:
    """Give a cookie for the right token."""
    form = await request.form
    then = local_path(form.get("next", ""))
    access, seen = desk().access, visit()
    agent = request.headers.get("User-Agent", "")
    token = form.get("token", "").strip()
    cookie = await desk().write(access.log_in, token, address=seen.address, agent=agent)
    if cookie is None:
        seconds = access.throttle.count_wrong_token(seen.address)
        wait = f" Wait {seconds} seconds before the next try." if seconds else ""
        error = f"That is not the token.{wait}"
        return page_of("login.html", next=then, error=error, http_status=429 if seconds else 401)
    response = _go(then or f"{request.root_path}/")
    response.headers["Set-Cookie"] = cookies.set_cookie(seen.origin, cookie)
    return response


@forms.post("/logout")
async def log_out() -> Response:
    """End this login."""
    await _form()
    if (credential := visit().credential) is not None:
        await desk().write(desk().access.log_out, credential)
    response = _see("/login")
    response.headers["Set-Cookie"] = cookies.set_cookie(visit().origin, "", seconds=0)
    return response


# --- plain forms --------------------------------------------------------------------------------


@forms.post("/sessions")
async def new_session() -> Response:
    """Make a session and begin its first turn: one and once, however often the same form is sent."""
    form = await _form()
    prompt, agent = _prompt(form)
    agent = agent or form.get("agent") or None
    model, key = form.get("model") or None, _digest(form)
    session = await desk().write(desk().create, agent, model, by=by(), key=key)
    await _begin(session, prompt, form)
    return _see(f"/sessions/{session.id}#end")


@forms.post("/sessions/<session_id>")
async def change_session(session_id: str) -> Response:
    """Rename or archive a session."""
    session, form = session_named(session_id), await _form()
    archived = {"1": True, "0": False}.get(form.get("archived", ""))
    await desk().write(sessions.change, session, title=form.get("title"), archived=archived, by=by())
    return _see(f"/sessions/{session.id}#end")


@forms.post("/sessions/<session_id>/turns")
async def begin_turn(session_id: str) -> Response:
    """Begin a turn."""
    session, form = session_named(session_id), await _form()
    agent = await asyncio.to_thread(lambda: desk().state(session).agent)
    await _begin(session, _prompt(form, agent)[0], form)
    return _see(f"/sessions/{session.id}#end")


@forms.post("/sessions/<session_id>/cancel")
async def stop_turn(session_id: str) -> Response:
    """Stop the running turn."""
    session = session_named(session_id)
    await _form()
    await desk().write(desk().stop, session, by())
    return _see(f"/sessions/{session.id}#end")


@forms.post("/sessions/<session_id>/queue")
async def take_back(session_id: str) -> Response:
    """Take a prompt out of the queue: the button pressed carries its number."""
    session, form = session_named(session_id), await _form()
    queued = stream.position(form.getlist("queued"), "queued") or 0
    await desk().write(withdraw_prompt, session, queued, by=by())
    return _see(f"/sessions/{session.id}#end")


@forms.post("/sessions/<session_id>/answers")
async def answer(session_id: str) -> Response:
    """Answer a question: the button pressed carries its name."""
    session, form = session_named(session_id), await _form()
    allow = "refuse" not in form
    wanted = form.get("refuse") or form.get("allow") or form.get("allow_session") or ""
    lasting = "allow_session" in form
    await desk().write(answer_question, session, wanted, allow=allow, for_session=lasting, by=by())
    return _see(f"/sessions/{session.id}#end")


async def _begin(session: sessions.Session, prompt: str, form: MultiDict[str, str]) -> None:
    key = form.get("key") or None
    await desk().write(submit_prompt, desk().config, session, prompt, by=by(), key=key, queue=True)


def _digest(form: MultiDict[str, str]) -> str | None:
    """Return what a form is known by when it is sent again, None where it has no key.

    All that was filled in counts: a browser that goes back may have the form's old key beside a new prompt.
    """
    filled = repr(sorted(form.items(multi=True)))
    return hashlib.sha256(filled.encode(errors="backslashreplace")).hexdigest() if form.get("key") else None


def _prompt(form: MultiDict[str, str], agent: str | None = None) -> tuple[str, str | None]:
    """Return the prompt of a form and the agent that its preset names, if it came by a preset's button.

    `agent` is that of the session whose page the form stood on.
    """
    chosen = form.get("preset", "")
    presets = desk().presets(agent)
    if _PRESET.fullmatch(chosen) and int(chosen) < len(presets):
        preset = presets[int(chosen)]
        return str(preset["text"]), preset["agent"]
    return form.get("prompt", ""), None


async def _form() -> MultiDict[str, str]:
    """Return the form that was sent. Raises Forbidden without the CSRF token of whoever sends it."""
    form: MultiDict[str, str] = await request.form
    credential = visit().credential
    if credential is None or not credentials.csrf_matches(credential, form.get("csrf", "")):
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
