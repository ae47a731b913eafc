"""docs/design.md shows the package as it is, and every file that it names exists."""

import re
from pathlib import Path

from tests.test_layers import MODULES, PURE

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "breakglass"
TEXT = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
ONE_FILE_EACH = ("cli/commands/",)
"""Folders that the map shows as one line: their files are all of one kind."""
UNMARKED = {"errors.py", "turn_limits.py"}
"""Pure modules that only declare exceptions and constants. The map does not mark them."""


def mapped() -> dict[str, str]:
    """Return the modules of the map with their descriptions. Two spaces of indentation are one level of the path."""
    found = re.search(r"^```\nbreakglass/\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert found
    folders: list[str] = []
    modules = {}
    for line in found[1].splitlines():
        name, *about = line.split()
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        folders[depth:] = [name] if name.endswith("/") else []
        if not name.endswith("/"):
            modules["".join([*folders, name])] = " ".join(about)
    return modules


def present() -> set[str]:
    """Return the modules of the package, except empty `__init__.py` and the folders that are one line of the map."""
    paths = [path for path in PACKAGE.rglob("*.py") if path.read_text(encoding="utf-8").count("\n") > 1]
    names = {path.relative_to(PACKAGE).as_posix() for path in paths}
    return {name for name in names if not name.startswith(ONE_FILE_EACH)} - {"__init__.py"}


def test_the_map_names_every_module() -> None:
    assert present() - set(mapped()) == set()


def test_the_map_names_no_module_that_does_not_exist() -> None:
    assert set(mapped()) - present() == set()


def test_the_map_marks_the_modules_that_are_pure() -> None:
    claimed = {MODULES[name].relative_to(PACKAGE).as_posix() for name in PURE}
    marked = {name for name, about in mapped().items() if about.endswith("; pure")}
    outside_agents = {name for name in claimed if not name.startswith("agents/")}
    assert marked == outside_agents - UNMARKED


def test_every_file_in_the_text_exists() -> None:
    named = set(re.findall(r"`((?:[\w-]+/)+[\w-]+\.(?:py|js))`", TEXT))
    assert named
    assert [path for path in named if not (PACKAGE / path).exists() and not (ROOT / path).exists()] == []
