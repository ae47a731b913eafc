"""The blocks of docs/deploy.md, for the tests that run them."""

import re
from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"
_BELOW_A_PATH = re.compile(r"^( *)(?:(\S.*?) +)?# below a path: (.*)$")


def page() -> str:
    """Return the text of the page."""
    return _PAGE.read_text(encoding="utf-8")


def block(language: str, word: str) -> str:
    """Return the first block in a language that contains `word`."""
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", page(), re.MULTILINE | re.DOTALL)
    return next(each for each in found if word in each)


def below_a_path(text: str) -> str:
    """Return a block as its comments `below a path` change it.

    The comment stands behind the line that it replaces, or on the line above it, or it is a line to add.
    """
    lines: list[str] = []
    pending = ""
    for line in text.split("\n"):
        if pending and line.split()[:1] == pending.split()[:1]:
            continue  # it was replaced by the comment above it
        pending = ""
        if found := _BELOW_A_PATH.match(line):
            lines.append(found[1] + found[3])
            pending = "" if found[2] else found[3]
        else:
            lines.append(line)
    return "\n".join(lines)
