"""CONTRIBUTING.md names files and folders that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PATHS = sorted(set(re.findall(r"`((?:breakglass|tests|docs)/[\w./]+|CHANGELOG\.md)`", TEXT)))
LISTS = {"event kind": 5, "setting": 2, "command": 2, "route of the API": 2, "agent": 2}
"""What a contributor adds, and in how many places at most."""


@pytest.mark.parametrize("path", PATHS)
def test_every_path_that_it_names_exists(path: str) -> None:
    assert [*ROOT.glob(re.sub(r"\b[A-Z]{2,}\b", "*", path))], path


@pytest.mark.parametrize("thing", LISTS)
def test_an_addition_touches_few_places(thing: str) -> None:
    section = re.search(rf"\*\*A new {thing}\*\*.*?\n\n(.*?)\n\n", TEXT, re.DOTALL)
    assert section
    assert len(re.findall(r"^[0-9]\. ", section[1], re.MULTILINE)) == LISTS[thing]
