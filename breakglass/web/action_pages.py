"""The pages "Without a model": the actions, and one action with its exact arguments. They work without JavaScript.

An action that reads and needs no value has its button in the list. Every other action has a page of its own. There the
user gives the values, sees the arguments that will run, confirms, and presses the button.
"""

import asyncio
import secrets
from collections.abc import Mapping
from urllib.parse import unquote

from quart import Blueprint, Response, request

from breakglass.actions import Action, Param, Value, fill
from breakglass.errors import BadInput, Conflict
from breakglass.store.sessions import Session
from breakglass.turns import actions
from breakglass.web.context import caller_name, checked_form, console, redirect_within, session_named
from breakglass.web.page import queries
from breakglass.web.page.page_data import ActionPage, ActionsPage, GivenParam
from breakglass.web.page.rows import SessionRow
from breakglass.web.pages import page_of

action_pages = Blueprint("action_pages", __name__)
FIELD = "p."
"""What the name of a parameter's field begins with."""
QUOTED = "q."
"""The same for a field with a quoted value. A browser changes newlines, and the page shows invisible characters."""


@action_pages.get("/actions")
async def actions_page() -> Response:
    """All actions."""
    row = await _session_row(_named_session(request.args))
    config = console().config
    return page_of(ActionsPage(list(config.actions.values()), secrets.token_hex(16), row))


@action_pages.get("/actions/<name>")
async def action_page(name: str) -> Response:
    """One action: the fields of its parameters, and with their values the exact arguments and the button."""
    return await _page_of_action(console().config.action_named(name), request.args, secrets.token_hex(16))


@action_pages.post("/actions/<name>")
async def run_action(name: str) -> Response:
    """Run an action, and show its session. A wrong field shows the page again, with the reason."""
    form = await checked_form()
    session = _named_session(form)
    action = console().config.action_named(name)
    wanted = actions.Request(
        action=name,
        params=_given(action, form),
        by=caller_name(),
        confirm=form.get("confirm"),
        reason=form.get("reason"),
        key=form.get("key") or None,
        beside=True,
    )
    try:
        started = await console().write(actions.start_action, console().config, wanted, session)
    except (BadInput, Conflict) as error:
        status = 422 if isinstance(error, BadInput) else 409
        return await _page_of_action(action, form, form.get("key", ""), error=str(error), status=status)
    return redirect_within(f"/sessions/{started.session.id}#end")


async def _page_of_action(
    action: Action, fields: Mapping[str, str], key: str, *, error: str = "", status: int = 200
) -> Response:
    config = console().config
    targets = tuple(config.targets)
    given = _given(action, fields)
    values: dict[str, Value] | None = None
    if given or not action.params:
        try:
            values = action.read_values(given, targets)
        except BadInput as refused:
            error, status = error or str(refused), 422
    row = await _session_row(_named_session(fields))
    return page_of(
        ActionPage(
            action=action,
            params=[
                GivenParam(name, param.described(targets), given.get(name, _preset(param, row)))
                for name, param in action.params.items()
            ],
            steps=[] if values is None else list(actions.steps_of(config, action, values)),
            word="" if values is None else fill(action.confirm_template(config.this_machine), values),
            key=key,
            session=row,
            reason=fields.get("reason", ""),
            error=error,
        ),
        status,
    )


def _preset(param: Param, row: SessionRow | None) -> str:
    """Return the value that a field has before the user chooses: for a target that of the session."""
    return row.state.target or "" if row and param.kind == "target" else ""


def _given(action: Action, fields: Mapping[str, str]) -> dict[str, str]:
    """Return the values that the fields have for the parameters of an action."""
    quoted = {name: unquote(fields[QUOTED + name]) for name in action.params if QUOTED + name in fields}
    return {name: fields[FIELD + name] for name in action.params if FIELD + name in fields} | quoted


def _named_session(fields: Mapping[str, str]) -> Session | None:
    """Return the session in which the action runs, None for a new one. Raises NotFound."""
    named = fields.get("session", "")
    return session_named(named) if named else None


async def _session_row(session: Session | None) -> SessionRow | None:
    if session is None:
        return None
    return await asyncio.to_thread(queries.session_row, session, console().warn_once)
