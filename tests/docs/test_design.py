"""docs/design.md shows the package as it is, and every file that it names exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "breakglass"
TEXT = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
ONE_FILE_EACH = ("cli/commands/",)
"""Folders that the map shows as one line: their files are all of one kind."""


def mapped() -> set[str]:
    """Return the modules of the map, as paths below the package. Two spaces of indentation are one level."""
    found = re.search(r"^```\nbreakglass/\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert found
    folders: list[str] = []
    modules = set()
    for line in found[1].splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        folders[depth:] = [name] if name.endswith("/") else []
        if not name.endswith("/"):
            modules.add("".join([*folders, name]))
    return modules


def present() -> set[str]:
    """Return the modules of the package, except empty `__init__.py` and the folders that are one line of the map."""
    paths = [path for path in PACKAGE.rglob("*.py") if path.read_text(encoding="utf-8").count("\n") > 1]
    names = {path.relative_to(PACKAGE).as_posix() for path in paths}
    return {name for name in names if not name.startswith(ONE_FILE_EACH)} - {"__init__.py"}


def test_the_map_names_every_module() -> None:
    assert present() - mapped() == set()


def test_the_map_names_no_module_that_does_not_exist() -> None:
    assert mapped() - present() == set()


def test_every_file_in_the_text_exists() -> None:
    named = set(re.findall(r"`((?:[\w-]+/)+[\w-]+\.(?:py|js))`", TEXT))
    assert named
    assert [path for path in named if not (PACKAGE / path).exists() and not (ROOT / path).exists()] == []
