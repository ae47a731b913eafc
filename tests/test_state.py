"""`fold` computes the right state from events, and ignores values of a wrong type."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakglass.events import Draft
from breakglass.kinds import KINDS
from breakglass.state import FOLDED, OpenQuestion, QueuedPrompt, SessionState, fold
from tests.help.json_values import JSON
from tests.help.logs import SAMPLES, TS, decoded, fold_all, line, log_of

NEW: Draft = ("created", {})
HISTORIES: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "nothing": ([], {"last_id": 0, "status": "new", "turn": None}),
    "created": ([NEW], {"agent": "shell", "model": None, "title": "A title", "created": TS, "last_id": 1}),
    "a turn runs": (
        [NEW, ("user", {"turn": 2}), ("delta", {})],
        {"turn": 2, "last_turn": 2, "status": "running", "first_prompt": "ls", "last_id": 3},
    ),
    "a turn ended": (
        [NEW, ("user", {}), ("turn_end", {"status": "error"})],
        {"turn": None, "last_turn": 2, "status": "error"},
    ),
    "a user stops the turn": (
        [NEW, ("user", {}), ("cancelled", {})],
        {"turn": 2, "status": "running", "cancelled": True},
    ),
    "a stop does not affect the next turn": (
        [NEW, ("user", {}), ("cancelled", {}), ("turn_end", {"status": "cancelled"}), ("user", {"turn": 5})],
        {"turn": 5, "status": "running", "cancelled": False},
    ),
    "a stop after the end": (
        [NEW, ("user", {}), ("turn_end", {}), ("cancelled", {})],
        {"turn": None, "cancelled": False, "status": "ok"},
    ),
    "the end of another turn": (
        [NEW, ("user", {}), ("turn_end", {"turn": 1})],
        {"turn": 2, "status": "running"},
    ),
    "a second end": (
        [NEW, ("user", {}), ("turn_end", {}), ("turn_end", {"status": "lost"})],
        {"turn": None, "status": "ok"},
    ),
    "the number of a turn is the number of its line": (
        [NEW, ("user", {"turn": 77})],
        {"turn": 2, "last_turn": 2},
    ),
    "renamed and archived": (
        [NEW, ("renamed", {}), ("archived", {})],
        {"title": "Another", "archived": True, "last_id": 3},
    ),
    "taken out of the archive": (
        [NEW, ("archived", {}), ("archived", {"archived": False})],
        {"archived": False},
    ),
    "the first prompt stays": (
        [NEW, ("user", {"text": "one"}), ("turn_end", {}), ("user", {"turn": 4, "text": "two"})],
        {"first_prompt": "one"},
    ),
    "the cost of the agent's session and of all turns": (
        [
            *(NEW, ("user", {}), ("session", {"session_id": "a"}), ("result", {"cost_usd": 1})),
            *(("turn_end", {}), ("user", {"turn": 6}), ("session", {"session_id": "a"})),
            *(("result", {"cost_usd": 2}), ("turn_end", {"turn": 6}), ("user", {"turn": 10})),
            *(("session", {"session_id": "b"}), ("result", {"cost_usd": 4}), ("result", {"cost_usd": None})),
        ],
        {"cost": 7.0, "agent_cost": 4.0, "agent_session": "b"},
    ),
    "the context that the agent has used is that of its newest result": (
        [
            *(NEW, ("user", {}), ("session", {"session_id": "a"})),
            *(
                ("result", {"context": {"used": 5, "size": 10}}),
                ("result", {"context": {"used": 7, "size": 10}}),
            ),
            *(("result", {"context": None}), ("result", {"context": {"used": "many", "size": 0}})),
        ],
        {"context": (7, 10)},
    ),
    "a new session of the agent, and another agent, have used nothing that is known": (
        [
            *(NEW, ("user", {}), ("result", {"context": {"used": 5, "size": 10}})),
            *(("turn_end", {}), ("user", {"turn": 5, "agent": "other"})),
        ],
        {"context": None},
    ),
    "queued prompts keep their order": (
        [NEW, ("user", {}), ("queued", {"text": "x" * 300}), ("queued", {"text": "two"})],
        {"queued": (QueuedPrompt(3, "x" * 200), QueuedPrompt(4, "two")), "turn": 2},
    ),
    "a prompt whose turn began or that was withdrawn is not in the queue": (
        [
            *(NEW, ("user", {}), ("queued", {}), ("queued", {}), ("queued", {"text": "three"})),
            *(("withdrawn", {"queued": 4}), ("turn_end", {}), ("user", {"queued": 3, "turn": 8})),
        ],
        {"queued": (QueuedPrompt(5, "three"),), "turn": 8},
    ),
    "the queue survives a lost turn": (
        [NEW, ("user", {}), ("queued", {"text": "q"}), ("turn_end", {"status": "lost"})],
        {"queued": (QueuedPrompt(3, "q"),), "turn": None},
    ),
    "a question is open until the first answer": (
        [NEW, ("user", {}), ("permission", {}), ("permission", {"request": "r-2"}), ("answer", {})],
        {"asking": (OpenQuestion(4, "r-2", "Bash", TS, TS),), "allowed": ("Bash",)},
    ),
    "a tool is allowed for the session by the first answer only": (
        [NEW, ("user", {}), ("permission", {}), ("answer", {"allow": False}), ("answer", {})],
        {"asking": (), "allowed": ()},
    ),
    "permission for one call does not allow the tool for the session": (
        [NEW, ("user", {}), ("permission", {}), ("answer", {"for_session": None})],
        {"asking": (), "allowed": ()},
    ),
    "an answer without a question allows no tool": ([NEW, ("user", {}), ("answer", {})], {"allowed": ()}),
    "a stop closes the questions": (
        [NEW, ("user", {}), ("permission", {}), ("cancelled", {}), ("answer", {})],
        {"asking": (), "allowed": ()},
    ),
    "the end of a turn closes its questions, and allowed tools stay allowed": (
        [
            *(NEW, ("user", {}), ("permission", {}), ("answer", {}), ("permission", {"request": "r-2"})),
            *(("turn_end", {}), ("user", {"turn": 7})),
        ],
        {"asking": (), "allowed": ("Bash",)},
    ),
    "foreign lines only change the number of the last line": (
        [NEW, b"hello", b""],
        {"last_id": 3, "updated": TS, "agent": "shell"},
    ),
    "events with missing or wrong values are ignored": (
        [
            NEW,
            line(2, "result", cost_usd="much")[:-1],
            line(3, "user", text=5)[:-1],
            line(4, "cancelled")[:-1].replace(b',"turn":2', b""),
            line(5, "result", cost_usd=10**400)[:-1],
            line(6, "result", cost_usd="nan")[:-1],
            line(7, "renamed", title=5)[:-1],
            line(8, "created", agent=["a"])[:-1],
            line(9, "archived", archived="no")[:-1],
        ],
        {"cost": 0.0, "turn": None, "title": "A title", "agent": "shell", "archived": False, "last_id": 9},
    ),
    "kinds of a later version are ignored": (
        [NEW, line(2, "error")[:-1].replace(b'"error",', b'"novel",')],
        {"last_id": 2, "status": "new"},
    ),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_gives_the_expected_state(name: str) -> None:
    drafts, expected = HISTORIES[name]
    state = fold_all(decoded(log_of(drafts)))
    assert {key: getattr(state, key) for key in expected} == expected


@pytest.mark.parametrize("name", HISTORIES)
def test_folding_a_history_in_two_parts_gives_the_same_state(name: str) -> None:
    history = decoded(log_of(HISTORIES[name][0]))
    whole = fold_all(history)
    assert all(fold_all(history[cut:], fold_all(history[:cut])) == whole for cut in range(len(history) + 1))


def is_well_typed(state: SessionState) -> bool:
    """Return whether every value in a state has its declared type, nested values too."""
    try:
        return bool(msgspec.convert(msgspec.to_builtins(state), SessionState) == state)
    except msgspec.ValidationError:
        return False


WRONG_VALUES: list[Any] = [None, True, 5, 0.5, 10**400, float("inf"), "much", ["a"], {"a": 1}]
RUNNING = [("created", {}), ("user", {"queued": None}), ("queued", {"key": None}), ("permission", {})]


@pytest.mark.parametrize("kind", sorted(FOLDED))
def test_a_value_of_a_wrong_type_never_gets_into_a_state(kind: str) -> None:
    before = fold_all(decoded(log_of(RUNNING)))
    for key in SAMPLES[kind]:
        for value in WRONG_VALUES:
            event = {"id": 5, "ts": TS, "kind": kind, **SAMPLES[kind], key: value}
            assert is_well_typed(fold(before, event)), (key, value)


def test_the_models_are_those_that_the_present_agent_offers() -> None:
    said = {"id": 3, "kind": "session", "turn": 2, "session_id": "s", "models": ["a", 1, "b"]}
    state = fold(SessionState(agent="x"), said)
    assert state.models == ("a", "b")
    again = {"id": 4, "kind": "session", "turn": 2, "session_id": "s"}
    assert fold(state, again).models == ("a", "b")
    other = {"id": 5, "kind": "user", "text": "hi", "by": "ann", "agent": "y"}
    assert fold(state, other).models == ()


def test_a_queued_event_without_by_is_ignored() -> None:
    without_by = line(3, "queued")[:-1].replace(b'"by":"ann",', b"")
    assert fold_all(decoded(log_of([NEW, ("user", {}), without_by]))).queued == ()


@given(
    st.lists(JSON.filter(lambda value: isinstance(value, dict)), max_size=5), st.sampled_from(sorted(KINDS))
)
def test_fold_accepts_events_of_any_shape(fields: list[dict[str, Any]], kind: str) -> None:
    history = [{**each, "id": number, "kind": kind, "ts": TS} for number, each in enumerate(fields, 1)]
    assert fold_all(history).last_id == len(history)
    assert is_well_typed(fold_all(history))


def test_a_question_counts_in_a_runner_which_folds_events_before_they_have_a_time() -> None:
    state = fold(SessionState(), {"id": 2, "kind": "user", "text": "go on", "by": "ann"})
    asked = {"turn": 2, "request": "r", "name": "Bash", "input": {}, "expires": "later"}
    state = fold(state, {"id": 3, "kind": "permission", **asked})
    assert [question.request for question in state.asking] == ["r"]
