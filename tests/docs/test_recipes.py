"""The recipes show every kind of event. tests/test_readme.py runs their commands."""

from pathlib import Path

from breakglass.kinds import KINDS

RECIPES = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")


def test_each_kind_of_event_is_in_a_recipe() -> None:
    assert [kind for kind in KINDS if f'.kind == "{kind}"' not in RECIPES] == []
