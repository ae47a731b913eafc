"""Claude Code may print anything: no bytes raise, and every draft can be recorded."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakglass.agents import Exit, TurnInput, new_dialogue
from tests.agents.claude.made_lines import ASKED, SESSION, assistant, line
from tests.agents.claude.recorded import load
from tests.agents.drafts import check

RUNS = load()
LINES = sorted({each for run in RUNS.values() for each in run.stdout.splitlines() if len(each) < 20_000})


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from(["text", "tool_use", "tool_result", "text_delta", "init", "can_use_tool", "result"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return a recorded line in which some values were replaced or deleted."""
    value = json.loads(draw(st.sampled_from(LINES)))
    for _ in range(draw(st.integers(1, 3))):
        holder: Any = value
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(holder[key], dict | list) and draw(st.integers(0, 3)):
                holder = holder[key]
            elif draw(st.booleans()):
                holder[key] = draw(values)
                break
            else:
                del holder[key]
                break
    return json.dumps(value).encode()


ends = st.builds(Exit, st.integers(-80, 255), st.text(max_size=50), cancelled=st.booleans())


turn_inputs = st.builds(
    TurnInput,
    prompt=st.just("hi"),
    command=st.just(("claude",)),
    session=st.sampled_from([None, SESSION]),
    session_cost=st.floats(0, 10),
    ask=st.booleans(),
)


def run_dialogue(turn_input: TurnInput, data: list[bytes], end: Exit) -> None:
    """Run a whole dialogue, answer its questions, and check every draft."""
    dialogue = new_dialogue("claude", turn_input)
    drafts = dialogue.begin()
    dialogue.open()
    for chunk in data:
        new = dialogue.translate(chunk)
        for kind, fields in new:
            if kind == "permission":
                assert dialogue.answer(fields["request"], allow=bool(len(data) % 2), message="m")
        json.loads(b"[" + b",".join(dialogue.reply().splitlines()) + b"]")
        drafts += new
    drafts += dialogue.close(end)
    for draft in drafts:
        check(draft)


@given(
    turn_inputs,
    st.lists(st.binary(max_size=200) | st.sampled_from([b"\n", b"{", b'{"type":"result"}'])),
    ends,
)
def test_any_bytes_give_drafts_that_can_be_recorded(
    turn_input: TurnInput, data: list[bytes], end: Exit
) -> None:
    run_dialogue(turn_input, data, end)


@given(turn_inputs, st.lists(mutated(), min_size=1, max_size=6), ends, st.binary(max_size=3))
def test_any_lines_give_drafts_that_can_be_recorded(
    turn_input: TurnInput, lines: list[bytes], end: Exit, junk: bytes
) -> None:
    run_dialogue(
        turn_input,
        [each + junk + b"\n" if number == 1 else each + b"\n" for number, each in enumerate(lines)],
        end,
    )


@pytest.mark.parametrize("opening", [b"[", b'{"type":"assistant","message":', b'{"a":'])
def test_endless_nesting_is_ignored(opening: bytes) -> None:
    run_dialogue(TurnInput("hi", ("claude",)), [opening * 100_000 + b"\n"], Exit(0))


@pytest.mark.parametrize("depth", [50, 150, 500, 900])
def test_a_deeply_nested_input_can_be_recorded(depth: int) -> None:
    value: Any = {}
    for _ in range(depth):
        value = {"a": value}
    big = {"deep": value, "long": "x" * (2 << 20)}
    for given_input in (value, big):
        block = {"type": "tool_use", "id": "t", "name": "N", "input": given_input}
        run_dialogue(TurnInput("hi", ("claude",), ask=True), [assistant(block), line(
            type="control_request", request_id="r", request={**ASKED, "input": given_input})], Exit(0))  # fmt: skip
