"""One name for one thing: no old name came back, and no format for users is defined twice."""

import re
from pathlib import Path

import pytest

from tests.docs.test_language import ROOT

HERE = Path(__file__).resolve()
OLD_FILES = ("here", "desk", "door", "place", "words", "packing", "prose", "porch", "known", "wire", "plan")
"""Modules that got a clearer name. No file has the old one."""
OLD_NAMES = re.compile(
    r"\b(Desk|_?Porch|Door|_?bury|_?undertaker|see_off|Story|_?climb|_?rung|LAMPS|Tally|read_signer|Signer)\b"
    r"|\bclass (Print|Taken|State|Task|Queued|Plan)\b"
)
OLD_WORDS = re.compile(
    r"\b(lamps?|porch|undertaker|strangers?|mends?|mended|mending|nudges?|nudged)\b", re.IGNORECASE
)
"""Metaphors, and second names of things: a torn line is repaired, a line is foreign, a caller is anonymous."""
TEXTS = sorted(
    path
    for folder in ("breakglass", "tests", "docs")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".md", ".js", ".html", ".css") and path != HERE and "captures" not in path.parts
)
DEFINITIONS = {
    "def duration": "breakglass/text.py",
    "def age": "breakglass/text.py",
    "def status_sign": "breakglass/text.py",
    "STATUS_SIGNS:": "breakglass/text.py",
    "def cut": "breakglass/text.py",
    "def one_line": "breakglass/text.py",
    "def visible": "breakglass/text.py",
    "_DANGEROUS =": "breakglass/text.py",
    "function duration": "breakglass/web/page/static/text.js",
    "function joinLines": "breakglass/web/page/static/text.js",
    "const statusSign": "breakglass/web/page/static/text.js",
}
"""A definition, and the only file that has it. tests/browser/test_text.py compares the script's with the server's."""


def test_no_module_has_an_old_name() -> None:
    assert [str(path) for path in TEXTS if path.suffix in (".py", ".js") and path.stem in OLD_FILES] == []


@pytest.mark.parametrize("old", [OLD_NAMES, OLD_WORDS], ids=["names", "words"])
def test_no_old_name_is_used(old: re.Pattern[str]) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in TEXTS
        for match in old.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(("definition", "place"), DEFINITIONS.items())
def test_a_format_for_users_is_defined_once(definition: str, place: str) -> None:
    pattern = re.compile(
        rf"\b{re.escape(definition)}(?![a-z_])" if definition[0] != "_" else re.escape(definition)
    )
    package = [path for path in TEXTS if "breakglass" in path.relative_to(ROOT).parts[:1]]
    found = [
        str(path.relative_to(ROOT))
        for path in package
        for _ in pattern.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == [place]
