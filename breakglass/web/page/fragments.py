"""Events as HTML fragments: the same bytes for the page and for the stream. Pure but for reading the templates.

How this works
--------------
Each event kind has a template in templates/events/. A fragment is one `<li id="e12" data-kind=… data-turn=…>`. Rules:

* The same event gives the same bytes, so a fragment can be cached by its line number. Only hostile text, which spends
  the budget of budget.py, may be formatted once and plain another time. On a page, the end of a turn also says what the
  lines before it say (turn_ends.py).
* A fragment has no CR and no LF (`&#10;` stands for a newline), so it fits on one `data:` line of the stream.
* A fragment has no session id and no CSRF token. Its links and buttons use the page around it. `?line=12` is a query of
  the session's page, and the buttons of a question belong to that page's `<form id="answer">`.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import Any

from jinja2 import Template, TemplateError
from markupsafe import Markup

from breakglass.events import Event
from breakglass.web.page.budget import WHOLE_SECONDS, Budget
from breakglass.web.page.render import event_templates
from breakglass.web.page.turn_ends import TurnEnd, find_turn_ends

Fragment = tuple[int, Markup]
"""The id of the last event that a fragment shows, and its HTML."""


def fragment(
    event: Event,
    *,
    whole: bool = False,
    settled: bool = False,
    alone: bool = False,
    folded: bool = False,
    turn_end: TurnEnd | None = None,
    addresses: Mapping[str, str] | None = None,
) -> Markup:
    """Return the HTML of one event. Never raises: an event that does not fit its template is shown as raw JSON.

    `whole`: nothing is folded. `settled`: the question or the queued prompt is no longer open, so it has no buttons.
    `alone`: the events around it are not shown, so its line number links to a page with them.
    `folded`: the end of its turn stands for it. `turn_end`: what it stands for; None if that is not known yet.
    `addresses`: where files are, by their paths; None if the page around the fragment serves them.
    """
    template = _templates().get(str(event.get("kind")), _unknown())
    values = {"e": event, "whole": whole, "settled": settled, "alone": alone, "addresses": addresses}
    try:
        html = template.render(values, folded=folded, stands_for=turn_end)
    except (TemplateError, TypeError, ValueError, AttributeError, LookupError):  # a missing or malformed key
        html = _unknown().render(values)
    return Markup(html)  # nosec B704 # templates escape


def fragments(
    events: Iterable[Event],
    *,
    whole: bool = False,
    alone: bool = False,
    joined: bool = False,
    addresses: Mapping[str, str] | None = None,
) -> Iterator[Fragment]:
    """Yield the fragments of consecutive events: each prose once, and buttons only where they still work.

    `joined`: the end of a turn stands for the lines before it that say the same.
    """
    compacted = compact(events)
    settled = _settled(compacted)
    ends = find_turn_ends(compacted) if joined else {}
    folded = frozenset[int]().union(*(each.folded for each in ends.values()))
    budget = Budget(WHOLE_SECONDS, WHOLE_SECONDS) if whole else Budget()
    for event in compacted:
        number = event["id"]
        with budget.event():
            html = fragment(
                event,
                whole=whole,
                settled=number in settled,
                alone=alone,
                folded=number in folded,
                turn_end=ends.get(number),
                addresses=addresses,
            )
        yield number, html


def compact(events: Iterable[Event]) -> list[Event]:
    """Return the events without the deltas whose finished `text` follows; other adjacent deltas are joined.

    A joined delta has the id of its last piece, and `from` is that of its first one. The order of the events and of
    their ids is kept.
    """
    kept: list[Event | None] = []
    pieces: dict[tuple[Any, Any], list[int]] = {}
    for event in events:
        speaker = (event.get("turn"), event.get("parent"))
        if event.get("kind") == "text":
            for index in pieces.pop(speaker, ()):
                kept[index] = None
        elif event.get("kind") == "delta":
            pieces.setdefault(speaker, []).append(len(kept))
        kept.append(event)
    return _joined([event for event in kept if event is not None])


def _joined(events: list[Event]) -> list[Event]:
    joined: list[Event] = []
    texts: list[str] = []
    begin = 0
    for event, after in pairwise([*events, {}]):
        if event.get("kind") != "delta":
            joined.append(event)
            continue
        begin = begin if texts else event["id"]
        texts.append(str(event.get("text", "")))
        if any(event.get(key) != after.get(key) for key in ("kind", "turn", "parent")):
            joined.append({**event, "text": "".join(texts), "from": begin})
            texts = []
    return joined


def _settled(events: list[Event]) -> set[int]:
    """Return the ids of questions and queued prompts that are no longer open.

    A question is settled by its answer or the end of its turn. A queued prompt is settled by its turn, its withdrawal,
    or its delivery to the running agent.
    """
    asked: dict[int, tuple[object, object]] = {}
    settled: set[int] = set()
    for event in events:
        turn, request = event.get("turn"), event.get("request")
        match event.get("kind"):
            case "permission":
                asked[event["id"]] = (turn, request)
            case "answer":
                settled |= {number for number, question in asked.items() if question == (turn, request)}
            case "turn_end":
                settled |= {number for number, question in asked.items() if question[0] == turn}
            case "user" | "steered" | "withdrawn" if isinstance(event.get("queued"), int):
                settled.add(event["queued"])
    return settled


@cache
def _templates() -> dict[str, Template]:
    return event_templates()


def _unknown() -> Template:
    return _templates()["unknown"]
