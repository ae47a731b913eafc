"""An ACP agent may print anything: no bytes raise, and every draft can be recorded."""

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.agents.acp.recorded import lines, load, play
from tests.agents.drafts import check

RUNS = load()
NAMES = sorted(RUNS)
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("toolCallId"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(NAMES), st.data())
def test_any_lines_give_drafts_that_can_be_recorded(name: str, data: Any) -> None:
    run = RUNS[name]
    printed = lines(run.stdout)
    at = data.draw(st.integers(0, len(printed) - 1))
    printed[at] = data.draw(_damage(printed[at]))
    for draft in play(run._replace(answer=None), printed).drafts:
        check(draft)


def _damage(line: bytes) -> st.SearchStrategy[bytes]:
    """Return a strategy for what replaces a line: other bytes, or its JSON with one value replaced."""
    message = json.loads(line)
    replaced = st.tuples(st.sampled_from(list(_paths(message))), ODD).map(
        lambda change: json.dumps(_replaced(message, *change)).encode() + b"\n"
    )
    cut = st.integers(0, len(line)).map(lambda size: line[:size])
    return replaced | cut | st.binary(max_size=40)


def _paths(value: Any) -> Iterable[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (key,)
        yield from ((key, *path) for path in _paths(item))


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copy
