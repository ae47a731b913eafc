"""The forms of the pages, which work without JavaScript: login, logout, and every action on sessions.

Each form carries the CSRF token of the caller's login, except the login form, which carries the access token. Each
response is a redirect (303) to the page that shows the result.
"""

import asyncio
import hashlib
import json
import logging
import re

from quart import Blueprint, Response, request
from werkzeug.datastructures import MultiDict

from breakglass.access.credentials import LOGIN_SECONDS, PLAIN_SECONDS
from breakglass.errors import BadInput, Conflict
from breakglass.store import sessions
from breakglass.text import visible
from breakglass.turns.answer import answer_question, revoke_tool
from breakglass.turns.begin import submit_prompt, withdraw_prompt
from breakglass.turns.budget import refuse_over_budget
from breakglass.turns.delete import delete_session
from breakglass.web import files, stream
from breakglass.web.context import (
    caller,
    caller_name,
    checked_form,
    console,
    redirect,
    redirect_within,
    session_named,
)
from breakglass.web.guard import cookies
from breakglass.web.http.clients import network_of
from breakglass.web.page import queries
from breakglass.web.page.page_data import LoginPage
from breakglass.web.pages import local_path, page_of

forms = Blueprint("forms", __name__)
_log = logging.getLogger(__name__)
_WRONG_TYPED = "That is not the token."
_WRONG_CODE = (
    "This login address has expired or was used already: it works once, within ten minutes. To get a new one, run "
    "breakglass login on the machine."
)
_CSRF_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,128}")


# --- login and logout ---------------------------------------------------------------------------


@forms.post("/login")
async def log_in() -> Response:
    """Set the login cookie for the right access token, or for a one-time code.

    With scripts, the page sends the CSRF token that it keeps in its storage, which no other port of this host can read.
    """
    form = await request.form
    next_path = local_path(form.get("next", ""))
    access, address = console().access, caller().address
    csrf = form.get("own_csrf", "")
    if csrf and not _CSRF_TOKEN.fullmatch(csrf):
        raise BadInput("own_csrf: expected 32 to 128 letters and digits, or nothing")
    idle = 0 if caller().origin.startswith("https:") else PLAIN_SECONDS
    user_agent = request.headers.get("User-Agent", "")
    token, code = form.get("token", "").strip(), form.get("code", "").strip()
    log_in, secret = (access.log_in_with_code, code) if code and not token else (access.log_in, token)
    cookie = await console().write(
        log_in, secret, address=address, user_agent=user_agent, csrf=csrf, idle=idle
    )
    if cookie is None:
        seconds = access.throttle.count_wrong_token(network_of(address))
        wait = f" Wait {seconds} seconds before the next try." if seconds else ""
        error = f"{_WRONG_TYPED if secret == token else _WRONG_CODE}{wait}"
        return page_of(LoginPage(next_path, error), 429 if seconds else 401)
    await console().senders.look()  # a login from a new address is told
    response = redirect(next_path or f"{request.root_path}/")
    response.headers["Set-Cookie"] = cookies.set_cookie(
        caller().origin, cookie, seconds=idle or LOGIN_SECONDS
    )
    return response


@forms.post("/logout")
async def log_out() -> Response:
    """End the caller's login."""
    await checked_form()
    if (credential := caller().credential) is not None:
        await console().write(console().access.log_out, credential)
    response = redirect_within("/login")
    response.headers["Set-Cookie"] = cookies.set_cookie(caller().origin, "", seconds=0)
    response.headers["Clear-Site-Data"] = (
        '"cache", "storage"'  # not "cookies": other ports of this host have some
    )
    return response


# --- sessions -----------------------------------------------------------------------------------


@forms.post("/sessions")
async def create_session() -> Response:
    """Create a session and start its first turn. The same form sent twice creates one session and one turn."""
    form = await checked_form()
    agent, model, target = form.get("agent") or None, form.get("model") or None, form.get("target") or None
    if "over_budget" not in form:  # before a session is made
        config = console().config
        await asyncio.to_thread(refuse_over_budget, config, agent or config.agent)
    session = await console().write(
        console().create, agent, model, by=caller_name(), target=target, key=_digest(form)
    )
    await _submit(session, form)
    return redirect_within(f"/sessions/{session.id}#end")


@forms.post("/sessions/<session_id>")
async def change_session(session_id: str) -> Response:
    """Rename or archive a session."""
    session, form = session_named(session_id), await checked_form()
    archived = {"1": True, "0": False}.get(form.get("archived", ""))
    await console().write(
        sessions.change, session, title=form.get("title"), archived=archived, by=caller_name()
    )
    return redirect_within(f"/sessions/{session.id}#end")


@forms.post("/sessions/<session_id>/delete")
async def delete(session_id: str) -> Response:
    """Delete an archived session for good."""
    session = session_named(session_id)
    await checked_form()
    if reason := queries.why_not_deletable(await asyncio.to_thread(console().state, session)):
        raise Conflict(reason)
    await console().write(delete_session, session)
    _log.warning("session %s was deleted by %s", session.id, visible(caller_name()))
    return redirect_within("/?archived=1")


@forms.post("/sessions/<session_id>/turns")
async def start_turn(session_id: str) -> Response:
    """Start a turn, or queue its prompt."""
    session, form = session_named(session_id), await checked_form()
    state = await asyncio.to_thread(lambda: console().state(session))
    chosen = form.get("agent") or state.agent
    await _submit(session, form, chosen if chosen != state.agent else None, form.get("model") or None)
    return redirect_within(f"/sessions/{session.id}#end")


@forms.post("/sessions/<session_id>/cancel")
async def cancel_turn(session_id: str) -> Response:
    """Stop the running turn."""
    session = session_named(session_id)
    await checked_form()
    await console().write(console().stop_turn, session, caller_name())
    return redirect_within(f"/sessions/{session.id}#end")


@forms.post("/sessions/<session_id>/queue")
async def withdraw(session_id: str) -> Response:
    """Withdraw a queued prompt. The button pressed carries its line number."""
    session, form = session_named(session_id), await checked_form()
    queued = stream.line_number(form.getlist("queued"), "queued") or 0
    await console().write(withdraw_prompt, session, queued, by=caller_name())
    return redirect_within(f"/sessions/{session.id}#end")


@forms.post("/sessions/<session_id>/answers")
async def answer(session_id: str) -> Response:
    """Answer a question. The button pressed carries the id of the request."""
    session, form = session_named(session_id), await checked_form()
    button = next((name for name in ("refuse", "allow", "allow_session", "choose") if name in form), "")
    await console().write(
        answer_question,
        session,
        request_id := form.get(button, ""),
        allow=button != "refuse",
        for_session=button == "allow_session",
        message=form.get(f"message:{json.dumps(request_id)}", "").strip() or None,
        answers=_answers(form, request_id) if button == "choose" else {},
        by=caller_name(),
    )
    return redirect_within(f"/sessions/{session.id}#end")


@forms.post("/sessions/<session_id>/revoke")
async def revoke(session_id: str) -> Response:
    """Let a tool need permission again. The button pressed carries the tool's name as JSON."""
    session, form = session_named(session_id), await checked_form()
    try:
        name = json.loads(form.get("name", ""))
    except (ValueError, RecursionError):
        raise BadInput("name: expected a name as JSON") from None
    await console().write(revoke_tool, session, str(name), by=caller_name())
    return redirect_within(f"/sessions/{session.id}#end")


def _answers(form: MultiDict[str, str], request_id: str) -> dict[str, list[str]]:
    """Return what was chosen and typed for one question, by the id of the choice.

    A field's name is `choice:` or `other:` and the JSON of [request, id]. Its value is the JSON of the chosen label, ""
    for "Other", or the typed text.
    """
    answers: dict[str, list[str]] = {}
    for name, value in form.items(multi=True):
        kind, _, of = name.partition(":")
        if kind not in ("choice", "other") or not value:
            continue
        try:
            asked, choice = json.loads(of)
            text = json.loads(value) if kind == "choice" else value.replace("\r\n", "\n")
        except (ValueError, TypeError, RecursionError):
            raise BadInput(f"the form has a field that is not of this page: {name[:80]}") from None
        if asked == request_id:
            answers.setdefault(str(choice), []).append(str(text))
    return answers


async def _submit(
    session: sessions.Session, form: MultiDict[str, str], agent: str | None = None, model: str | None = None
) -> None:
    prompt, key = form.get("prompt", ""), form.get("key") or None
    paths = await files.add_all(session, await files.form_files(), key)
    await console().write(
        submit_prompt,
        console().config,
        session,
        prompt,
        by=caller_name(),
        model=model,
        agent=agent,
        key=key,
        queue=True,
        over_budget="over_budget" in form,
        steer="steer" in form,
        files=paths,
    )


def _digest(form: MultiDict[str, str]) -> str | None:
    """Return the idempotency key of a form that creates a session; None for a form without a key.

    Every field counts: after "back", a browser may send the form's old key with a new prompt.
    """
    filled = repr(sorted(form.items(multi=True)))
    return hashlib.sha256(filled.encode(errors="backslashreplace")).hexdigest() if form.get("key") else None
