"""A session's state, computed from its events. Pure.

`fold` takes a state and one event and returns the next state. Only the kinds in `FOLDED` change a state. So a reader
that needs the state and not the transcript decodes only those lines (store/state_cache.py).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from breakglass.events import Event
from breakglass.seals import Seal, seal_in
from breakglass.tally import EndedTurns, count_turn, tokens_of
from breakglass.text import context_in


class QueuedPrompt(NamedTuple):
    """A prompt that waits until the turns before it have ended."""

    id: int
    """The id of the `queued` event, which contains the whole prompt."""
    text: str
    """The first 200 characters of the prompt."""
    steer: bool = False
    """Whether the running agent may get it before its turn has ended."""


class OpenQuestion(NamedTuple):
    """An agent's unanswered question: may it use this tool?"""

    id: int
    """The id of the `permission` event, which contains the tool's input."""
    request: str
    """The agent's id of the question."""
    name: str
    """The tool."""
    expires: str
    """About when the question is refused without an answer. A hint for users: the runner has its own clock."""
    asked: str = ""
    """The time of the event."""


class AgentState(NamedTuple):
    """What the log says about one of the agents of a session."""

    name: str
    session: str | None = None
    """The id of the agent's own session, or None if it has opened none yet."""
    cost: float = 0.0
    """US dollars spent in `session` so far. Needed because agents report a running total."""
    seen: int = 0
    """The end of its last turn that was not lost: every later line is new to it. 0 if it had no turn."""


class SessionState(NamedTuple):
    """The state of a session after its last event."""

    agent: str = ""
    """The agent of the session's next turn: that of the last turn, unless the prompt names another one."""
    model: str | None = None
    title: str = ""
    target: str | None = None
    """The name of the machine that the session is about, None for this one. It may be configured no longer."""
    directory: str | None = None
    """Where its agents work, None for its workspace. An adopted session continues where it was begun."""
    first_prompt: str = ""
    created: str = ""
    updated: str = ""
    last_id: int = 0
    archived: bool = False
    turn: int | None = None
    """The turn that has begun and not ended, or None. Its runner may be dead."""
    last_turn: int | None = None
    """The turn that began last."""
    boot_id: str | None = None
    """The start of the machine in which the last turn began, None if it is unknown."""
    status: str = "new"
    """`new`, `running`, or the status with which the last turn ended."""
    cancelled: bool = False
    """Whether a user stopped the open turn."""
    agents: tuple[AgentState, ...] = ()
    """The agents that had turns in this session."""
    first_agent: str = ""
    """The agent with which the session was created. `model` is a model of this agent."""
    models: tuple[str, ...] = ()
    """The models that `agent` offers, as far as it said."""
    is_action: bool = False
    """Whether the turn that began last is an action, which has no agent."""
    cost: float = 0.0
    """US dollars spent in the whole session."""
    tokens: tuple[int, int] = (0, 0)
    """The tokens that the agent was given and that it produced in the whole session."""
    context: tuple[int, int] | None = None
    """The tokens in the context of `agent_session`, and how many it can hold; None if the agent has not said."""
    ended: tuple[EndedTurns, ...] = ()
    """The ended turns, by status: for metrics, which would otherwise read every log again."""
    queued: tuple[QueuedPrompt, ...] = ()
    """The waiting prompts, in the order in which their turns will begin: first those that may steer."""
    asking: tuple[OpenQuestion, ...] = ()
    """The open questions of the running turn."""
    allowed: tuple[str, ...] = ()
    """The tools that a user allowed for the whole session."""
    seal: Seal | None = None
    """The newest seal of the log."""
    spent: tuple[str, float] = ("", 0.0)
    """The last day (UTC, as in `ts`) on which it cost something, and the US dollars of that day."""
    notified: tuple[int, int] = (0, 0)
    """How many notifications were sent, and how many could not be sent."""

    @property
    def is_shown(self) -> bool:
        """Whether lists show the session by default: it is not archived, or a turn runs in it."""
        return not self.archived or self.turn is not None

    def of_agent(self, name: str) -> AgentState:
        """Return what the log says about an agent."""
        return next((each for each in self.agents if each.name == name), AgentState(name))

    @property
    def agent_session(self) -> str | None:
        """The id of the own session of `agent`, or None if it has opened none yet."""
        return self.of_agent(self.agent).session

    @property
    def agent_cost(self) -> float:
        """US dollars spent in `agent_session` so far."""
        return self.of_agent(self.agent).cost

    def end_status(self, status: str) -> str:
        """Return the status with which the open turn ends: `cancelled` if a user stopped it, otherwise `status`."""
        return "cancelled" if self.cancelled else status


def fold(state: SessionState, event: Event) -> SessionState:
    """Return the state after one more event. Unknown kinds and keys change nothing."""
    step = _STEPS.get(event.get("kind", ""))
    try:
        state = step(state, event) if step else state
    except (KeyError, TypeError, OverflowError):
        pass  # a key is missing or has the wrong type: ignore the event like an unknown kind
    return state._replace(last_id=event["id"], updated=event.get("ts", state.updated))


def _text(event: Event, key: str) -> str:
    """Return the text under `key`. Raises KeyError if there is no value and TypeError if it is not a text."""
    if isinstance(value := event[key], str):
        return value
    raise TypeError(f"{key} is not a text")


def _flag(event: Event, key: str) -> bool:
    """Return the boolean under `key`. Raises KeyError if there is no value and TypeError if it is not a boolean."""
    if isinstance(value := event[key], bool):
        return value
    raise TypeError(f"{key} is not a boolean")


def _dollars(event: Event) -> float:
    """Return the cost in a `result`, 0 if it has none. Raises TypeError or OverflowError if it is no finite number."""
    value = event.get("cost_usd")
    if value is None:
        return 0.0
    if type(value) in (int, float) and math.isfinite(value):
        return float(value)
    raise TypeError("cost_usd is not a finite number")


def _created(state: SessionState, event: Event) -> SessionState:
    return state._replace(
        agent=_text(event, "agent"),
        first_agent=event["agent"],
        model=None if event["model"] is None else _text(event, "model"),
        title=_text(event, "title"),
        target=None if event.get("target") is None else _text(event, "target"),
        created=event["ts"],
        **_adopted(event),
    )


def _adopted(event: Event) -> dict[str, Any]:
    """Return the fields that follow from the adopted session of the agent; empty without one."""
    adopted = event.get("adopted")
    if not isinstance(adopted, dict):
        return {}
    own, directory = _text(adopted, "session_id"), _text(adopted, "directory")
    return {
        "directory": directory,
        "agents": (AgentState(event["agent"], own, _dollars(adopted), event["id"]),),
    }


def _user(state: SessionState, event: Event) -> SessionState:
    text = _text(event, "text")
    agent = _text(event, "agent") if event.get("agent") is not None else state.agent
    return state._replace(
        agent=agent,
        context=state.context if agent == state.agent else None,
        models=state.models if agent == state.agent else (),
        is_action=event.get("action") is not None,
        turn=event["id"],
        last_turn=event["id"],
        boot_id=event["boot_id"] if isinstance(event.get("boot_id"), str) else None,
        status="running",
        cancelled=False,
        first_prompt=state.first_prompt or text[:200],
        asking=(),
        queued=_without(state.queued, event.get("queued")),
    )


def _queued(state: SessionState, event: Event) -> SessionState:
    _text(event, "by")  # without `by`, no turn could begin with this prompt
    prompt = QueuedPrompt(event["id"], _text(event, "text")[:200], event.get("steer") is True)
    place = sum(each.steer for each in state.queued) if prompt.steer else len(state.queued)
    return state._replace(queued=(*state.queued[:place], prompt, *state.queued[place:]))


def _withdrawn(state: SessionState, event: Event) -> SessionState:
    return state._replace(queued=_without(state.queued, event["queued"]))


def _without(waiting: tuple[QueuedPrompt, ...], number: object) -> tuple[QueuedPrompt, ...]:
    return tuple(each for each in waiting if each.id != number) if waiting else waiting


def _permission(state: SessionState, event: Event) -> SessionState:
    if event["turn"] != state.turn:
        return state
    question = OpenQuestion(
        event["id"],
        _text(event, "request"),
        _text(event, "name"),
        _text(event, "expires"),
        event.get("ts", ""),
    )
    return state._replace(asking=(*state.asking, question))


def _answer(state: SessionState, event: Event) -> SessionState:
    asked = [question for question in state.asking if question.request == event["request"]]
    if event["turn"] != state.turn or not asked:  # the first answer counts
        return state
    allowed = state.allowed
    if event.get("for_session") is True and event["allow"] is True and asked[0].name not in allowed:
        allowed += (asked[0].name,)
    return state._replace(asking=tuple(q for q in state.asking if q not in asked), allowed=allowed)


def _revoked(state: SessionState, event: Event) -> SessionState:
    name = _text(event, "name")
    return state._replace(allowed=tuple(each for each in state.allowed if each != name))


def _session(state: SessionState, event: Event) -> SessionState:
    opened, models = _text(event, "session_id"), event.get("models")
    if isinstance(models, list):
        state = state._replace(models=tuple(each for each in models if isinstance(each, str)))
    if opened == state.agent_session:
        return state
    return _with_agent(state, session=opened, cost=0.0)._replace(context=None)


def _result(state: SessionState, event: Event) -> SessionState:
    cost = _dollars(event)
    counted = tokens_of(event.get("usage"))
    tokens = (state.tokens[0] + counted.given, state.tokens[1] + counted.output_tokens)
    context = context_in(event.get("context")) or state.context
    state = state._replace(cost=state.cost + cost, tokens=tokens, spent=_spend(state.spent, event, cost))
    state = state._replace(context=context)
    return _with_agent(state, cost=state.agent_cost + cost) if cost else state


def _spend(spent: tuple[str, float], event: Event, cost: float) -> tuple[str, float]:
    """Return the day's dollars with those of one more event. A cost that is negative is not counted."""
    day = str(event.get("ts", ""))[:10]
    before = spent[1] if spent[0] == day else 0.0
    return (day, before + cost) if cost > 0 else spent


def _with_agent(state: SessionState, **changes: Any) -> SessionState:
    """Return the state with a change of what is known about the agent of the last turn."""
    others = tuple(each for each in state.agents if each.name != state.agent)
    return state._replace(agents=(*others, state.of_agent(state.agent)._replace(**changes)))


def _cancelled(state: SessionState, event: Event) -> SessionState:
    return state._replace(cancelled=True, asking=()) if event["turn"] == state.turn else state


def _turn_end(state: SessionState, event: Event) -> SessionState:
    if event["turn"] != state.turn:
        return state
    status = _text(event, "status")
    if status != "lost" and not state.is_action:
        state = _with_agent(state, seen=event["id"])
    ended = count_turn(state.ended, state.is_action, status, event.get("duration_ms"))
    return state._replace(turn=None, status=status, cancelled=False, asking=(), ended=ended)


def _notified(state: SessionState, event: Event) -> SessionState:
    sent, failed = state.notified
    return state._replace(notified=(sent + 1, failed) if _flag(event, "sent") else (sent, failed + 1))


_STEPS: dict[str, Callable[[SessionState, Event], SessionState]] = {
    "created": _created,
    "user": _user,
    "queued": _queued,
    "withdrawn": _withdrawn,
    "steered": _withdrawn,
    "permission": _permission,
    "answer": _answer,
    "revoked": _revoked,
    "session": _session,
    "result": _result,
    "cancelled": _cancelled,
    "turn_end": _turn_end,
    "notified": _notified,
    "renamed": lambda state, event: state._replace(title=_text(event, "title")),
    "sealed": lambda state, event: state._replace(seal=seal_in(event, event["id"]) or state.seal),
    "archived": lambda state, event: state._replace(archived=_flag(event, "archived")),
}

FOLDED = frozenset(_STEPS)
"""The kinds that change a state."""


def describe(session_id: str, state: SessionState) -> dict[str, Any]:
    """Return the session object of docs/contract.md, section 3. The caller must have ended a lost turn before."""
    return {
        "id": session_id,
        "title": state.title,
        "agent": state.agent,
        "model": state.model,
        "target": state.target,
        "created": state.created,
        "updated": state.updated,
        "last_event_id": state.last_id,
        "turn_active": state.turn is not None,
        "status": state.status,
        "asking": bool(state.asking),
        "queued": len(state.queued),
        "allowed": list(state.allowed),
        "context": {"used": state.context[0], "size": state.context[1]} if state.context else None,
        "seal": {"lines": state.seal.lines, "sha256": state.seal.sha256} if state.seal else None,
    }
