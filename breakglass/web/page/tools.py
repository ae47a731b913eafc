"""The input of a tool call for reading: its first words, its fields, and its edits as differences.

Pure but for the clock of budget.py.

The agent chooses the input, so it can have any shape. All of it is shown, because the user decides by it.
"""

import hashlib
import json
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from breakglass.text import one_line, visible
from breakglass.web.page.budget import is_spent
from breakglass.web.page.markdown import highlight
from breakglass.web.page.terminal import KEPT_WHOLE

FIRST_WORDS = 120
"""Characters of a tool's input that its line shows."""

MAX_DIFF = 200
"""Lines of each side that are compared, shared by all edits of one input: difflib is quadratic or worse."""

MAX_FIELDS = 40
"""Fields of an input up to which each is shown separately."""

CONTEXT = 3
"""Unchanged lines shown before and after a change."""

_MAIN_FIELDS = (
    "command",
    "file_path",
    "path",
    "notebook_path",
    "pattern",
    "query",
    "url",
    "description",
    "prompt",
)
"""The fields that describe a call best, the best first."""

_EDITS = (("old_string", "new_string"), ("oldText", "newText"), ("old_str", "new_str"))
"""The pairs of fields that hold an edit: of Claude Code, the Agent Client Protocol and Anthropic's text editor."""


class Field(NamedTuple):
    """One field of an input."""

    name: str
    text: str = ""
    """The value, unchanged if it is text, else as JSON."""
    language: str = ""
    """The language to colour it in; "" for plain text."""
    shown: Markup | None = None
    """The value as HTML, if it is a difference."""


def first_words(value: Any) -> str:
    """Return the start of the field that describes a call best, on one line."""
    if isinstance(value, dict):
        described = [
            value[key] for key in _MAIN_FIELDS if isinstance(value.get(key), str) and value[key].strip()
        ]
        strings = described or [item for item in value.values() if isinstance(item, str) and item.strip()]
        value = strings[0] if strings else value
    if value in ({}, [], None):
        return ""
    text = value[: 8 * FIRST_WORDS] if isinstance(value, str) else raw(value)
    return one_line(text, FIRST_WORDS)


def fields(value: Any, limit: int = MAX_DIFF) -> list[Field]:
    """Return the fields of an input in their order, then its edits, each as one difference.

    An edit that is too long to be shown without folding stays two fields of text. An input with many fields, or with
    long names of fields, becomes one field of JSON.
    """
    if isinstance(value, str):
        return [Field("", value)]
    if (
        not isinstance(value, dict)
        or len(value) > MAX_FIELDS
        or max(map(len, value), default=0) > FIRST_WORDS
    ):
        return [Field("", raw(value), "json")]
    rest, edits = dict(value), []
    for old, new in _EDITS:
        if _is_pair(rest, old, new) and len(rest[old]) + len(rest[new]) <= 2 * KEPT_WHOLE:
            edits.append(Field("edit", shown=diff(rest.pop(old), rest.pop(new), limit)))
    if _are_edits(rest.get("edits")):
        several = rest.pop("edits")
        for number, item in enumerate(several, 1):
            of_item = fields(item, limit // len(several))
            edits += [field._replace(name=f"{field.name} {number}") for field in of_item]
    return [_field(name, item, value) for name, item in rest.items()] + edits


def _is_pair(value: dict[str, Any], old: str, new: str) -> bool:
    return isinstance(value.get(old), str) and isinstance(value.get(new), str)


def _are_edits(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, dict) and any(_is_pair(item, old, new) for old, new in _EDITS) for item in value
    )


def _field(name: str, item: Any, value: dict[str, Any]) -> Field:
    if not isinstance(item, str):
        return Field(name, raw(item), "json")
    if name == "command":
        return Field(name, item, "bash")
    if name in ("content", "file_text", "new_source"):
        path = next((str(value[key]) for key in ("file_path", "path") if key in value), "")
        return Field(name, item, path.rpartition(".")[2] or "text")
    return Field(name, item)


def raw(value: Any) -> str:
    """Return a value as indented JSON."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def exact(value: Any) -> str:
    """Return a value as JSON in ASCII, which the page prints unchanged and a form sends back unchanged."""
    return json.dumps(value)


def digest(said: str) -> str:
    """Return a short digest, by which the page's scripts see that two lines say the same; "" for no text."""
    words = said.strip()
    return hashlib.blake2s(words.encode(errors="replace"), digest_size=6).hexdigest() if words else ""


def plan(value: Any) -> list[tuple[str, str]]:
    """Return the steps of a plan event or of a tool's input as (status, text); [] if it is no plan."""
    steps = (value.get("todos") or value.get("entries")) if isinstance(value, dict) else value
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        return []
    found = [(str(step.get("status", "pending")), step.get("text", step.get("content"))) for step in steps]
    return [] if any(text is None for _, text in found) else [(status, str(text)) for status, text in found]


def coloured(field: Field) -> Markup:
    """Return a field's value as HTML."""
    if field.shown is not None:
        return field.shown
    return highlight(field.text, field.language) if field.language else escape(visible(field.text))


# --- differences -----------------------------------------------------------------------------------


def diff(old: str, new: str, limit: int = MAX_DIFF) -> Markup:
    """Return the difference line by line, as `<del>` and `<ins>` with their signs, and some unchanged lines around.

    Texts of more than `limit` lines, and those beyond the budget, are not compared: all old lines are removed and all
    new lines added.
    """
    before, after = old.split("\n"), new.split("\n")
    if max(len(before), len(after)) > limit or is_spent():
        return Markup("\n").join([*_rows("del", "\u2212", before), *_rows("ins", "+", after)])
    shown: list[Markup] = []
    groups = list(SequenceMatcher(None, before, after, autojunk=False).get_grouped_opcodes(CONTEXT))
    for number, group in enumerate(groups):
        if number:
            shown.append(Markup("<span>\u22ef</span>"))
        for tag, i, j, k, m in group:
            if tag == "equal":
                shown += _rows("span", " ", before[i:j])
            else:
                shown += _rows("del", "\u2212", before[i:j]) + _rows("ins", "+", after[k:m])
    return Markup("\n").join(shown) if shown else Markup("<span>  no difference</span>")


def _rows(tag: str, sign: str, lines: list[str]) -> list[Markup]:
    row = Markup(f"<{tag}>{sign} {{}}</{tag}>")  # nosec B704 # the parts are constants
    return [row.format(visible(line)) for line in lines]
