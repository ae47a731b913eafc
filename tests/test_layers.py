"""The house as docs/design.md draws it: imports go down only, and rooms of one row do not know each other."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROWS = (
    "                     __main__                     ",
    "                       cli                        ",
    "                       web                        ",
    "                      turns                       ",
    "                      config                      ",
    "        store    agents    access    verify       ",
    "                  state   masking                 ",
    "                events     text                   ",
    "                     settings                     ",
    "                      errors                      ",
)
"""The layers of the package, the highest first. A module imports only modules of lower rows."""

OWNERS = {
    "aiofiles": "store",
    "h11": "web.http",
    "h2": "web.http",
    "hypercorn": "web.http",
    "jinja2": "web",
    "markdown_it": "web",
    "markupsafe": "web",
    "msgspec": "web access",
    "nh3": "web",
    "pygments": "web",
    "quart": "web",
    "rich": "web",
    "segno": "cli",
    "watchfiles": "store.watch",
    "werkzeug": "web",
}
"""Each package that is not ours, and the one place that knows it."""

PURE = ("errors", "events", "state", "text", "masking", "agents", "verify", "web.sse")
"""Take values and return values: their tests need no folder, no clock and no loop."""

OUTSIDE = set(
    "asyncio fcntl multiprocessing os pathlib random select selectors shutil socket ssl subprocess"
    " tempfile threading time uuid".split()
)
"""Where the world begins: what the pure ones may not import."""

SLOW = set(
    "asyncio concurrent dataclasses email http inspect logging multiprocessing pydantic ssl unittest".split()
)
"""Each takes 12 ms or more (3.11, 2026-11-23); from an accepted prompt to the agent's start there are 60."""

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "breakglass"


class Import(NamedTuple):
    """One imported module: its dotted name, its line, and whether it waits for a function to be called."""

    name: str
    line: int
    lazy: bool


def name_of(path: Path) -> str:
    """Return a module's name below `breakglass`; that of the package itself is empty."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
HEIGHT = {room: -row for row, rooms in enumerate(ROWS) for room in rooms.split()}


def is_within(module: str, place: str) -> bool:
    return module == place or module.startswith(place + ".")


def imports(tree: ast.AST, *, lazy: bool = False) -> Iterator[Import]:
    """Yield every import below `tree`, those under `if TYPE_CHECKING` too: to know a type is to know its room."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            names = [f"{source}.{alias.name}" for alias in node.names] if source == "breakglass" else [source]
            yield from (Import(name, node.lineno, lazy) for name in names)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports(node, lazy=lazy or inside)


def complaints(module: str, source: str) -> list[str]:
    """Return what is wrong with the imports of `source`, one line each, were it the module of that name."""
    room = module.partition(".")[0]
    if room not in HEIGHT:
        return [f"{module} is in no row of the picture"] if module else []
    found = []
    for name, line, lazy in imports(ast.parse(source)):
        top, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if name in ("breakglass", "breakglass.__version__"):
            continue
        if top == "breakglass":
            if target != room and HEIGHT.get(target, 99) >= HEIGHT[room]:
                found.append(f"{module}:{line} imports {name}, which does not lie below it")
            if room == "cli" and target == "web" and not lazy:
                found.append(f"{module}:{line} imports {name} for commands that need no server")
        elif top not in sys.stdlib_module_names and not any(
            is_within(module, owner) for owner in OWNERS.get(top, "none").split()
        ):
            found.append(f"{module}:{line} imports {name}, which belongs to {OWNERS.get(top, 'nobody')}")
        elif top in OUTSIDE and any(is_within(module, pure) for pure in PURE):
            found.append(f"{module}:{line} imports {name}, but is pure")
    return found


def words(source: str) -> Iterator[str]:
    """Yield the attributes that `source` names, and the last part of each string that could be a path."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.rpartition("/")[2]


def loaded_by(module: str) -> set[str]:
    """Return the modules that a fresh interpreter holds after importing `breakglass.module` and nothing else."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import breakglass.{module}; print(*sys.modules)"
    return set(subprocess.check_output([sys.executable, "-I", "-c", code], text=True).split())


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_and_packages_stay_with_their_owners(module: str) -> None:
    assert complaints(module, MODULES[module].read_text()) == []


def test_the_package_itself_imports_nothing() -> None:
    assert list(imports(ast.parse(MODULES[""].read_text()))) == []


@pytest.mark.parametrize(
    ("word", "rooms"),
    [
        ("events.jsonl", {"store.log"}),
        ("O_APPEND", {"store.log", "store.repair", "access.logins", "web.http.accesslog"}),
    ],
)
def test_only_the_log_opens_a_log(word: str, rooms: set[str]) -> None:
    assert {name for name, path in MODULES.items() if word in words(path.read_text())} <= rooms


STARTUP = {
    "turns.runner": SLOW | set(OWNERS),
    "agents": SLOW | set(OWNERS),
    "cli": {package for package, owner in OWNERS.items() if owner.startswith("web")},
}
"""What must not have been imported when these have been: a runner starts once a turn, `breakglass ls` has no server."""


@pytest.mark.parametrize(
    "module", [name for name in MODULES if any(is_within(name, part) for part in STARTUP)]
)
def test_what_is_started_often_imports_nothing_slow(module: str) -> None:
    assert {
        name for part, banned in STARTUP.items() if is_within(module, part) for name in banned
    } & loaded_by(module) == set()


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("store.log", "from breakglass import web"),
        ("store.log", "def late():\n    import breakglass.web.app"),
        ("store.log", "from breakglass.agents import claude"),
        ("store.log", "from ..agents import claude"),
        ("store.log", "from breakglass.turns.runner import main"),
        ("settings", "import breakglass.events"),
        ("attic", "import os"),
        ("store.log", "from breakglass.attic import box"),
        ("cli", "from breakglass.web.app import serve"),
        ("cli", "import quart"),
        ("turns", "import hypercorn.asyncio"),
        ("store.follow", "import watchfiles"),
        ("web.api", "import requests"),
        ("events", "from os import path"),
        ("agents.claude", "import time"),
        ("web.sse", "import asyncio"),
    ],
)
def test_a_wrong_import_is_found(module: str, source: str) -> None:
    assert len(complaints(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("store.log", "from breakglass.store import seek\nimport os"),
        ("store.log", "from breakglass import __version__, events"),
        ("web.api", "from breakglass import config, turns\nimport quart"),
        ("cli", "def serve():\n    from breakglass.web import app"),
    ],
)
def test_a_right_import_passes(module: str, source: str) -> None:
    assert complaints(module, source) == []
