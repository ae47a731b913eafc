"""What a signed command does on this host: the same operations as the command line of this host."""

import hashlib
from typing import Any

from breakglass.config import Config
from breakglass.errors import BadInput, Conflict, NotFound
from breakglass.relay.order import Order
from breakglass.settings import check_model
from breakglass.state import SessionState
from breakglass.store import sessions
from breakglass.store.sessions import Session
from breakglass.turns import actions
from breakglass.turns.answer import answer_question, question_digest, read_question
from breakglass.turns.begin import submit_prompt
from breakglass.turns.end import cancel_turn, current_state, wait_for_stop


def carry_out(config: Config, order: Order, by: str) -> dict[str, Any]:
    """Do what a checked command says, and return what the answer holds. Blocks. Raises BreakglassError if it fails.

    `by` is the name that the log gets.
    """
    return _VERBS[order.verb](config, order, by)


def _session(config: Config, order: Order) -> Session:
    if not order.session:
        raise BadInput(f"{order.verb}: expected a session")
    return sessions.find(config.data, order.session)


def _new(config: Config, order: Order, by: str) -> dict[str, Any]:
    values = order.values
    agent = config.agent_named(values["agent"] or config.agent)
    if values["model"] is not None:
        check_model("model", values["model"])
    if values["target"] is not None:
        config.target_named(values["target"])
    title = values["title"] or ""
    key = "signed:" + hashlib.sha256(order.key.encode()).hexdigest()
    made = sessions.create(
        config.data, agent.name, values["model"], title, by, target=values["target"], key=key
    )
    return {"session": made.id}


def _send(config: Config, order: Order, by: str) -> dict[str, Any]:
    values = order.values
    session = _session(config, order)
    accepted = submit_prompt(
        config,
        session,
        values["prompt"],
        by=by,
        model=values["model"],
        agent=values["agent"],
        key=order.key,
        queue=values["queue"],
        steer=values["steer"],
        over_budget=values["over_budget"],
    )
    return {"session": session.id, "what": accepted.what, "id": accepted.id, "failure": accepted.failure}


def _cancel(config: Config, order: Order, by: str) -> dict[str, Any]:
    session = _session(config, order)
    before, wanted = current_state(session), order.values["turn"]
    if wanted is not None and before.turn is not None and before.turn != wanted:
        raise Conflict(f"turn {wanted} has ended; turn {before.turn} runs now")
    if not cancel_turn(session, by=by):
        raise NotFound(f"no turn is running in session {session.id[:8]}")
    wait_for_stop(session)
    return {"session": session.id, "turn": before.turn, "withdrawn": len(before.queued)}


def _answer(config: Config, order: Order, by: str) -> dict[str, Any]:
    values, session = order.values, _session(config, order)
    request = str(values["request"])
    number = _number_of(current_state(session), request)
    if number is None:
        raise Conflict(f"question {request[:64]} is not open")
    if question_digest(read_question(session, number)) != values["question"]:
        raise BadInput(f"question {request[:64]} is not the one that was seen; nothing was answered")
    answer_question(
        session,
        request,
        allow=values["allow"],
        by=by,
        message=values["message"],
        for_session=values["for_session"],
        answers=values["answers"],
    )
    return {"session": session.id}


def _number_of(state: SessionState, request: str) -> int | None:
    """Return the line of an open question, None if it is not open."""
    return next((asked.id for asked in state.asking if asked.request == request), None)


def _do(config: Config, order: Order, by: str) -> dict[str, Any]:
    values = order.values
    request = actions.Request(
        action=str(values["action"]),
        params=values["params"],
        by=by,
        confirm=values["confirm"],
        reason=values["reason"],
        key=order.key,
        beside=True,
    )
    started = actions.start_action(config, request, _session(config, order) if order.session else None)
    return {"session": started.session.id, "turn": started.turn}


_VERBS = {"new": _new, "send": _send, "cancel": _cancel, "answer": _answer, "do": _do}
