"""The templates: pages, and the templates of events. Pure but for reading the template and static files.

`_inert` escapes everything that a template prints and makes hidden characters visible, so no template must do it.
Only `Markup` from charts.py, markdown.py, terminal.py and tools.py is printed unchanged.
"""

import json
from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup, escape
from msgspec.structs import asdict

from breakglass import choices, text
from breakglass.events import INTERRUPTED
from breakglass.filters import FILTERS
from breakglass.store import sessions
from breakglass.text import visible
from breakglass.uploads import PICTURES, is_picture
from breakglass.vitals import SIGNS
from breakglass.web.page import charts, long_markdown, markdown, terminal, tools
from breakglass.web.page.page_data import CommonData, Page

_FOLDER = Path(__file__).parent
STATIC = _FOLDER / "static"

_FILTERS: dict[Any, str] = {
    long_markdown: "long_markdown",
    markdown: "unmarked",
    terminal: "fold terminal",
    tools: "coloured digest exact fields first_words plan raw",
    choices: "answers_text read_choices",
    text: "age context_share duration money one_line plan_status plural size status_sign strip_escapes token_counts"
    " turn_outcome",
}
"""The functions that templates use as filters, by module."""


def page(common: CommonData, content: Page) -> str:
    """Return a page. Raises jinja2.UndefinedError if a template uses a name that it did not get."""
    return _environment().get_template(content.template).render({**asdict(common), **asdict(content)})


def macro(template: str, name: str, *arguments: object) -> str:
    """Return what a macro of a template prints. Raises as `page`."""
    return str(getattr(_environment().get_template(template).module, name)(*arguments))


def document_frame(*, session: str, title: str, host: str) -> tuple[str, str]:
    """Return the text before and after the events of a session in a file of its own."""
    files = (STATIC / "app.css", _FOLDER / "templates" / "document.css")
    styles = " ".join(path.read_text(encoding="utf-8") for path in files).replace("\n", " ")
    digest = b64encode(sha256(styles.encode()).digest()).decode()
    css, mark = Markup(styles), Markup("<!-- events -->")  # nosec B704 # our own files
    template = _environment().get_template("document.html")
    html = template.render(session=session, title=title, host=host, css=css, digest=digest, events=mark)
    before, _, after = html.partition(mark)
    return before, after


@cache
def event_templates() -> dict[str, Template]:
    """Return the template of each event kind, and that for all others, `unknown`."""
    files = (_FOLDER / "templates" / "events").glob("[a-z]*.html")
    return {path.stem: _environment().get_template(f"events/{path.name}") for path in files}


@cache
def static_root() -> str:
    """Return the path under which this version of the static files is served; it changes when any file changes.

    The scripts import each other by relative paths, so a cache never mixes scripts of two versions.
    """
    digest = sha256()
    for path in sorted(STATIC.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return f"/static/{digest.hexdigest()[:12]}"


def utc_minute(ts: Any) -> str:
    """Return an event's time to the minute: `2026-11-23 03:12 UTC`."""
    return f"{ts[:10]} {ts[11:16]} UTC"


def _vital_sign(status: Any) -> str:
    """Return the character for the status of a vital sign. A status of a newer version is not good."""
    return SIGNS.get(status, SIGNS["unknown"])


def _is_of_turn(tool: Any, turn: Any) -> bool:
    """Return whether a tool's call is a program that the user asked for: the shell's script, or one of an action."""
    return str(tool) == f"shell-{turn}" or str(tool).startswith(f"action-{turn}-")


def _is_session_id(value: Any) -> bool:
    """Return whether a value of a log may be part of an address. Any program can write into a log."""
    return isinstance(value, str) and sessions.ID.fullmatch(value) is not None


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
    for module, names in _FILTERS.items():
        environment.filters.update({name: getattr(module, name) for name in names.split()})
    environment.filters["utc_minute"] = utc_minute
    environment.filters["vital_sign"] = _vital_sign
    environment.tests["of_turn"] = _is_of_turn
    environment.tests["picture"] = is_picture
    environment.tests["session_id"] = _is_session_id
    # The scripts read the same table from the page's `data-signs`.
    signs = json.dumps(text.STATUS_SIGNS, ensure_ascii=False, separators=(",", ":"))
    environment.globals.update(
        signs_json=signs,
        interrupted=INTERRUPTED,
        picture_types=PICTURES,
        charts=charts,
        filters={name: each.label for name, each in FILTERS.items()},
    )
    return environment


def _source(name: str) -> str:
    """Return a template. A template of an event is joined to one line, because a fragment must be one line."""
    source = (_FOLDER / "templates" / name).read_text(encoding="utf-8")
    return "".join(map(str.strip, source.split("\n"))) if name.startswith("events/") else source


def _inert(value: object) -> Markup:
    """Return what a template prints for `value`: escaped, hidden characters visible, on one line."""
    if value is None:
        return Markup()
    html = value if isinstance(value, Markup) else escape(visible(str(value)))
    return Markup(str(html).replace("\n", "&#10;")) if "\n" in html else html  # nosec B704 # it was escaped
