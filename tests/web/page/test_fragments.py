"""Events as HTML: one template a kind, always the same bytes, and nothing in them that acts."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakglass.events import INTERRUPTED, Event
from breakglass.kinds import KINDS
from breakglass.tally import END_STATUSES
from breakglass.web.page import fragments, terminal
from tests.help.attacks import ATTACKS, events_with, replaced
from tests.help.html_check import check_html
from tests.help.sample_session import history


def test_every_kind_has_its_template() -> None:
    shown = {event["kind"] for event in history()} - {"weather"}
    assert shown == {*KINDS, "foreign"}, "the sample session must have every kind"
    for event in history():
        assert ('class="line unknown"' in fragments.fragment(event)) == (event["kind"] == "weather")


@pytest.mark.parametrize("event", history(), ids=lambda event: f"{event['id']}-{event['kind']}")
def test_a_fragment_is_one_line_with_the_number_of_its_event(event: Event) -> None:
    html = fragments.fragment(event)
    assert html.startswith("<li ")
    assert html.endswith("</li>")
    assert f' id="e{event["id"]}" data-kind="{event["kind"]}"' in html
    assert f'href="#e{event["id"]}"' in html
    assert check_html(html).found == []
    assert len(html.splitlines()) == 1


def test_rendering_is_the_same_every_time() -> None:
    once = [fragments.fragment(event) for event in history()]
    assert [fragments.fragment(json.loads(json.dumps(event))) for event in history()] == once


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_an_agent_says_is_inert(attack: str) -> None:
    for event in events_with(attack):
        for html in (fragments.fragment(event), fragments.fragment(event, whole=True, settled=True)):
            assert check_html(html).found == [], event["kind"]
            assert not set("\r\n\x1b\x9b\x07\u2028\u202e") & set(html), event["kind"]
            html.encode()


@pytest.mark.parametrize("kind", [*KINDS, "foreign", "weather", "", None, 7])
def test_an_event_of_any_shape_is_shown(kind: object) -> None:
    odd: list[Any] = [None, 7, True, [], {}, [1], {"a": {"b": None}}, "text", 1e300]
    for value in odd:
        keys = {key for own in KINDS.values() for key in (*own.required, *own.optional)}
        html = fragments.fragment({"id": 5, "kind": kind, **dict.fromkeys(keys, value)})
        assert check_html(html).found == []
        assert 'id="e5"' in html
    assert 'id="e5"' in fragments.fragment({"id": 5, "kind": kind})


def test_an_unknown_kind_is_shown_raw() -> None:
    event = next(event for event in history() if event["kind"] == "weather")
    text = check_html(fragments.fragment(event)).text
    assert json.loads(text[text.index("{\n") :]) == event


@given(st.text(max_size=300), st.sampled_from(sorted(KINDS)))
def test_any_text_is_inert(text: str, kind: str) -> None:
    required, optional = KINDS[kind].required, KINDS[kind].optional
    html = fragments.fragment({"id": 1, "kind": kind, **dict.fromkeys((*required, *optional), text)})
    assert check_html(html).found == []
    assert "\n" not in html


@pytest.mark.parametrize(
    "kind", ["user", "text", "tool", "tool_result", "error", "result", "foreign", "weather"]
)
def test_a_huge_text_is_folded_with_its_size(kind: str) -> None:
    huge = "0123456789abcde\n" * (1 << 16)
    event = {**next(event for event in history() if event["kind"] == kind)}
    for key in {"text", "output", "input", "error", "result", "sky"} & set(event):
        event[key] = replaced(event[key], huge)
    html = fragments.fragment(event)
    assert len(html) < 64 << 10
    assert f'href="?line={event["id"]}"' in html
    assert "show all" in html
    whole = fragments.fragment(event, whole=True)
    assert len(whole) > 1 << 20
    assert "show all" not in whole


def test_a_fold_shows_the_size_of_the_whole_text() -> None:
    [event] = [event for event in history() if event.get("truncated")]
    text = check_html(fragments.fragment(event)).text
    assert f"show all {len(event['output']) / 1024:.0f} KB" in text
    assert "22 KB more were not recorded" in text


def test_a_question_shows_its_whole_command() -> None:
    command = "echo start\n" + "true &&\n" * 20_000 + "rm -rf /srv"
    event = {
        **next(event for event in history() if event["kind"] == "permission"),
        "input": {"command": command},
    }
    assert command in check_html(fragments.fragment(event)).text


def test_hidden_characters_of_a_command_are_visible() -> None:
    event = {**next(event for event in history() if event["kind"] == "permission")}
    event["input"] = {"command": "cat \u202egpj.x\u202c \u200b; rm x\r# harmless"}
    text = check_html(fragments.fragment(event)).text
    assert "cat \u27e8U+202E\u27e9gpj.x\u27e8U+202C\u27e9 \u27e8U+200B\u27e9; rm x\u240d# harmless" in text


# --- several events ----------------------------------------------------------------------------------


def test_finished_prose_replaces_its_deltas() -> None:
    events = history()
    compacted = fragments.compact(events)
    assert [event["id"] for event in compacted] == sorted({event["id"] for event in compacted})
    assert [event["text"] for event in compacted if event["kind"] == "delta"] == [
        "While that runs:\n\nthe journal of **this** boot is kept."
    ]
    assert compacted[-1] == events[-1]


def test_deltas_of_two_speakers_are_not_joined() -> None:
    def delta(number: int, text: str, parent: str | None = None) -> Event:
        return {"id": number, "kind": "delta", "turn": 1, "text": text} | (
            {"parent": parent} if parent else {}
        )

    events = [delta(1, "a"), delta(2, "x", "t"), delta(3, "y", "t"), delta(4, "b")]
    done = {"id": 5, "kind": "text", "turn": 1, "text": "xy", "parent": "t"}
    assert [(event["id"], event["text"]) for event in fragments.compact(events)] == [
        (1, "a"),
        (3, "xy"),
        (4, "b"),
    ]
    assert [(event["id"], event["text"]) for event in fragments.compact([*events, done])] == [
        (4, "ab"),
        (5, "xy"),
    ]


def test_without_events_there_are_no_fragments() -> None:
    assert fragments.compact([]) == []
    assert list(fragments.fragments([])) == []


def test_only_an_open_question_has_buttons() -> None:
    shown = dict(fragments.fragments(history()))
    asked = [event for event in history() if event["kind"] == "permission"]
    assert ["<button" in shown[event["id"]] for event in asked] == [False, True]
    end = {"id": 999, "kind": "turn_end", "turn": asked[1]["turn"], "status": "lost", "duration_ms": 0}
    assert "<button" not in dict(fragments.fragments([*history(), end]))[asked[1]["id"]]


def test_only_a_queued_prompt_can_be_withdrawn() -> None:
    shown = dict(fragments.fragments(history()))
    queued = [event["id"] for event in history() if event["kind"] == "queued"]
    assert ["<button" in shown[number] for number in queued] == [False, False, False, True]


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("timeout", "Refused: no answer in time."),
        ("agent", "The agent withdrew its question."),
        ("exit", "The question ended without an answer: no."),
        ("settings", "Refused by the settings: no."),
        ("ada", "Refused by ada: no."),
    ],
)
def test_an_answer_shows_who_gave_it(by: str, words: str) -> None:
    message = None if by in {"timeout", "agent"} else "no"
    event = {
        "id": 2,
        "kind": "answer",
        "turn": 1,
        "request": "r",
        "allow": False,
        "by": by,
        "message": message,
    }
    assert check_html(fragments.fragment(event)).text == f"2{words}"


@pytest.mark.parametrize("status", END_STATUSES)
def test_every_ending_of_a_turn_has_its_text(status: str) -> None:
    event = {"id": 2, "kind": "turn_end", "turn": 1, "status": status, "duration_ms": 61_000}
    text = check_html(fragments.fragment(event)).text
    assert "1 min 1 s" in text
    assert status == "lost" or "Lost" not in text


@pytest.mark.parametrize("how", ["exit status 3", "ended by signal INT"])
def test_a_failed_result_does_not_name_the_agent_as_the_cause(how: str) -> None:
    """With the shell agent the command failed, or the user stopped it."""
    event = {"id": 2, "kind": "result", "turn": 1, "is_error": True, "result": how, "duration_ms": 16_000}
    assert check_html(fragments.fragment(event)).text.split() == f"2 \u2717 Failed{how}".split()


def test_the_result_of_a_stopped_turn_is_no_failure() -> None:
    event = {"id": 2, "kind": "result", "turn": 1, "is_error": True, "result": INTERRUPTED, "duration_ms": 9}
    assert check_html(fragments.fragment(event)).text.split() == ["2", "\u25a0", "StoppedInterrupted."]


def test_a_result_has_the_cost_and_the_tokens_but_the_duration_is_in_the_line_of_the_turns_end() -> None:
    more = {"cost_usd": 0.5, "usage": {"input_tokens": 12_300, "output_tokens": 7}, "duration_ms": 61_000}
    event = {"id": 2, "kind": "result", "turn": 1, "is_error": False, "result": "ok", **more}
    assert check_html(fragments.fragment(event)).text.split() == "2 Result $0.50 · 12.3k in, 7 outok".split()


def test_a_short_text_is_not_folded() -> None:
    text = "x" * terminal.KEPT_WHOLE
    assert terminal.fold(text, whole=False) == (text, 0, "")
