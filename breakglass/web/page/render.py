"""Events and pages as HTML: one template an event kind, for the page and for the stream alike.

Pure but for reading the templates. Every string that is put into a template is made visible and escaped, whether
or not its author thought of it (`_inert`); only `Markup` from prose.py, terminal.py and tools.py passes.

A fragment is one `<li id="e12" data-kind=… data-turn=…>`, the same bytes for the same event always, so it can
be kept by line. It holds no CR and no LF (`&#10;` stands for one), so on the stream it is one `data:` line; no
session id and no CSRF token, so its links and buttons point at the page around it: `?line=12` is a query of the
session's page, and the buttons of a permission belong to that page's `<form id="answer">`.

The names that each page needs (a name missing is an error):

* all: `csrf` (str, the token of the forms; "" before login), `root` (str: the path below which a proxy shows us, "" for
  none), `host` (str: the machine's name), `static` (str: `root` and `static_root()`), `may_act` (bool: not somebody
  who watches), `now` (RFC 3339, UTC).
* login.html: `next` (str: where to go then), `error` (str or None).
* error.html: `status` (int), `title`, `detail` (str: what happened, what was kept, what to do).
* sessions.html: `listed`, `agents`, `presets`, `key` (str, fresh for each page: the Idempotency-Key of the plain
  form), `query` (str: the search, "" for none), `archived` (bool: those are listed too).
* session.html: `session`, `listed`, `presets`, `key`, `events` (list of fragments), `first_id`, `last_id` (int, the
  lines on this page from and to), `earlier`, `later` (bool: whether the log has lines before and after
  those), `beat` (seconds between two `beat`s of the stream).

`listed` is sessions in the order of `by_urgency`, and how many there are in all. A session is a dict: `id`, `title`,
`agent`, `model`, `created`, `updated`, `last_event_id`, `turn_active`, `status`, `asking` (as the API has them),
`first_prompt`, `last_line` (str: the last prose), `cost` (US dollars), `archived`. `agents` is a list of `{name,
ready, default, note}`; `presets` of `{label, text, agent}`. `is_shell` (bool): who answers there takes commands.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template, TemplateError
from markupsafe import Markup, escape

from breakglass import text
from breakglass.events import Event
from breakglass.text import visible
from breakglass.web.page import markdown, terminal, tools, words

_HERE = Path(__file__).parent
STATIC = _HERE / "static"

Fragment = tuple[int, Markup]
"""The id of the last event that a fragment shows, and its HTML."""


def fragment(event: Event, *, whole: bool = False, settled: bool = False) -> Markup:
    """Return the HTML of one event. Never raises: what its template cannot show is shown raw.

    `whole`: nothing is folded. `settled`: a question that nobody can answer any more, or a prompt that waits no more:
    it has no buttons.
    """
    template = _templates().get(str(event.get("kind")), _unknown())
    try:
        html = template.render(e=event, whole=whole, settled=settled)
    except (TemplateError, TypeError, ValueError, AttributeError, LookupError):  # a key missing or misshapen
        html = _unknown().render(e=event, whole=whole, settled=settled)
    return Markup(html)  # nosec B704 - a template, which escapes


def fragments(events: Iterable[Event], *, whole: bool = False) -> Iterator[Fragment]:
    """Yield the fragments of several events in a row: prose once, and no buttons for what is settled among them."""
    compacted = compact(events)
    settled = _settled(compacted)
    for event in compacted:
        yield event["id"], fragment(event, whole=whole, settled=event["id"] in settled)


def compact(events: Iterable[Event]) -> list[Event]:
    """Return the events without the deltas that a later `text` holds whole; deltas in a row become one.

    A joined delta has the id of its last piece. Order and ids stay rising.
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
    for event, after in pairwise([*events, {}]):
        if event.get("kind") != "delta":
            joined.append(event)
            continue
        texts.append(str(event.get("text", "")))
        if any(event.get(key) != after.get(key) for key in ("kind", "turn", "parent")):
            joined.append({**event, "text": "".join(texts)})
            texts = []
    return joined


def _settled(events: list[Event]) -> set[int]:
    """Return the ids of what waits no more: questions answered or of an ended turn, prompts begun or taken back."""
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
            case "user" | "withdrawn" if isinstance(event.get("queued"), int):
                settled.add(event["queued"])
    return settled


def page(name: str, names: Mapping[str, Any]) -> str:
    """Return a page. Raises jinja2.UndefinedError for a name that it needs and is not given."""
    return _environment().get_template(name).render(names)


def by_urgency(sessions: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return sessions in the list's order: those that ask, those that run, then the latest first."""
    latest = sorted(sessions, key=lambda session: str(session["updated"]), reverse=True)
    return sorted(latest, key=lambda session: (not session["asking"], not session["turn_active"]))


@cache
def static_root() -> str:
    """Return the path under which this version of the static files is served; it changes when any of them does.

    The scripts import each other by relative paths, so all of them are of one version, whatever a cache holds.
    """
    digest = sha256()
    for path in sorted(STATIC.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return f"/static/{digest.hexdigest()[:12]}"


# --- Jinja -------------------------------------------------------------------------------------------


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_inert,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(signs=text.STATUS_SIGNS, max_markdown=markdown.MAX_MARKDOWN)
    for module, names in _FILTERS.items():
        environment.filters.update({name: getattr(module, name) for name in names.split()})
    return environment


def _source(name: str) -> str:
    """Return a template, those of events on one line: a newline of ours would be one more `data:` line each time."""
    text = (_HERE / "templates" / name).read_text(encoding="utf-8")
    return "".join(map(str.strip, text.split("\n"))) if name.startswith("events/") else text


_FILTERS: dict[Any, str] = {
    markdown: "markdown unmarked",
    terminal: "fold terminal",
    tools: "coloured fields first_words plan raw",
    text: "age duration money one_line size strip_escapes token_counts",
    words: "clock heading shown_status",
}


def _inert(value: object) -> Markup:
    """Return what goes into a template for `value`: escaped, without hidden characters, on one line."""
    if value is None:
        return Markup()
    html = value if isinstance(value, Markup) else escape(visible(str(value)))
    return Markup(str(html).replace("\n", "&#10;")) if "\n" in html else html  # nosec B704 - it was escaped


@cache
def _templates() -> dict[str, Template]:
    """Return the kinds that have a template. One that has none yet is shown as unknown."""
    files = (_HERE / "templates" / "events").glob("[a-z]*.html")
    return {path.stem: _environment().get_template(f"events/{path.name}") for path in files}


@cache
def _unknown() -> Template:
    return _environment().get_template("events/unknown.html")
