"""Which pages and sections are generated, and how they are written into their files.

A hand-written page marks a generated section with `<!-- generated: NAME -->` and `<!-- end generated -->`.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from breakglass.cli.man_page import man_page
from tests.docs import api_reference, commands_reference, events_reference, settings_reference

ROOT = Path(__file__).parents[2]


class Generated(NamedTuple):
    """A page, or one section of a hand-written page."""

    file: str
    section: str | None
    """None for the whole page."""
    render: Callable[[], str]


GENERATED = (
    Generated("docs/api.md", "operations", api_reference.render),
    Generated("docs/contract.md", "operations", api_reference.render_table),
    Generated("docs/contract.md", "events", events_reference.render),
    Generated("docs/contract.md", "commands", commands_reference.render),
    Generated("docs/contract.md", "settings", settings_reference.render_table),
    Generated("docs/settings.md", None, settings_reference.render),
    Generated("docs/breakglass.1", None, man_page),
)


def updated(row: Generated, text: str) -> str:
    """Return the page `text` with its generated part renewed. Raises ValueError if the section is not marked."""
    if row.section is None:
        return row.render()
    start, end = f"<!-- generated: {row.section} -->\n", "<!-- end generated -->\n"
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"{row.file}: expected one section marked {start.strip()}")
    return pattern.sub(lambda _: f"{start}\n{row.render().strip()}\n\n{end}", text)


def is_stale(row: Generated) -> bool:
    """Whether the file differs from what the code says."""
    path = ROOT / row.file
    return not path.exists() or updated(row, text := path.read_text(encoding="utf-8")) != text


def write(row: Generated) -> None:
    """Write the generated part into its file."""
    path = ROOT / row.file
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(updated(row, text), encoding="utf-8")
