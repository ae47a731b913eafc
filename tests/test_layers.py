"""The layers of CONTRIBUTING.md: imports go down only, and packages of one row do not import each other."""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROWS = (
    "                     __main__                     ",
    "                       cli                        ",
    "              web  notifier  relay                ",
    "                 turns  doctor                    ",
    "                     vitals                       ",
    "             load_config   sandbox                ",
    "                      config                      ",
    "  store  agents  access  verify  actions  targets  export  settings_file notify relay_settings",
    "       state   masking   choices   query   filters   stats   uploads   timeline ",
    "             events    text    seals              ",
    "    settings  turn_limits  trusted_path  plain_file  kinds  tally ",
    "                errors  suggestion                ",
)
"""The layers of the package, the highest first. A module imports only modules of lower rows."""

OWNERS = {
    "apprise": "notifier",
    "aiofiles": "store",
    "cryptography": "access.push_key",
    "h11": "web.http",
    "h2": "web.http",
    "hpack": "web.http",
    "hypercorn": "web.http",
    "jinja2": "web",
    "markdown_it": "web",
    "mdit_py_plugins": "web",
    "markupsafe": "web",
    "msgspec": "web access verify.bulk",
    "nats": "relay.engine relay.acks",
    "nh3": "web",
    "nacl": "relay.heads",
    "nkeys": "relay.keys relay.heads",
    "pygments": "web",
    "prometheus_client": "web.metrics",
    "psutil": "vitals",
    "pywebpush": "notifier.push",
    "quart": "web",
    "requests": "notifier.push",
    "rich": "web",
    "segno": "cli",
    "watchfiles": "store.watch",
    "werkzeug": "web",
}
"""Each third-party package, and the modules that may import it."""

OUTSIDE = set(
    "asyncio fcntl multiprocessing os pathlib random select selectors shutil socket ssl subprocess"
    " tempfile threading time uuid".split()
)
"""Modules for files, clocks, processes, sockets and event loops. The pure modules may not import them."""

SLOW = set(
    "asyncio concurrent dataclasses email http inspect logging multiprocessing pydantic ssl unittest".split()
)
"""Modules that are slow to import: a runner has 60 ms from an accepted prompt to the agent's start."""

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "breakglass"


class Import(NamedTuple):
    """One imported module: its dotted name, its line, and whether the import is inside a function."""

    name: str
    line: int
    lazy: bool


parse = functools.cache(ast.parse)
"""Several tests look at each module."""


def name_of(path: Path) -> str:
    """Return a module's name below `breakglass`; the package itself has an empty name."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def claims_to_be_pure(source: str) -> bool:
    """Return whether the docstring of a module says "Pure." without an exception. A package says it for its modules."""
    return "Pure" in source and re.search(r"\bPure[.:]", ast.get_docstring(parse(source)) or "") is not None


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
PURE = {"errors", "turn_limits"} | {
    name for name, path in MODULES.items() if claims_to_be_pure(path.read_text())
}
"""They take values and return values. Their tests need no directory, no clock and no event loop."""
LEVEL = {package: -row for row, packages in enumerate(ROWS) for package in packages.split()}
"""The height of each package: a larger number is higher."""


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def imports(tree: ast.AST, *, lazy: bool = False) -> Iterator[Import]:
    """Yield every import below `tree`. Imports under `if TYPE_CHECKING` count too: a type is a dependency."""
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


def violations(module: str, source: str) -> list[str]:
    """Return the wrong imports of `source` as the module of that name, one line each."""
    package = module.partition(".")[0]
    if package not in LEVEL:
        return [f"{module} is in no row of ROWS"] if module else []
    found = []
    for name, line, lazy in imports(parse(source)):
        top, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if name in ("breakglass", "breakglass.__version__"):
            continue
        if top == "breakglass":
            if target != package and LEVEL.get(target, 99) >= LEVEL[package]:
                found.append(f"{module}:{line} imports {name}, which is not in a lower row")
            if package == "cli" and target == "web" and not lazy:
                found.append(f"{module}:{line} imports {name}, which commands without a server must not load")
        elif top not in sys.stdlib_module_names and not any(
            is_within(module, owner) for owner in OWNERS.get(top, "none").split()
        ):
            found.append(
                f"{module}:{line} imports {name}, which only {OWNERS.get(top, 'no module')} may import"
            )
        elif top in OUTSIDE and any(is_within(module, pure) for pure in PURE):
            found.append(f"{module}:{line} imports {name}, but is pure")
    return found


def names_in(source: str) -> Iterator[str]:
    """Yield the attributes that `source` uses, and the last path component of each string."""
    for node in ast.walk(parse(source)):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.rpartition("/")[2]


def loaded_by(*modules: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after it imports only these of the package."""
    # No import statement: a module may have the name of a keyword.
    imports = "".join(f"__import__('breakglass.{module}'); " for module in modules)
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {imports} print(*sys.modules)"
    return set(subprocess.check_output([sys.executable, "-I", "-c", code], text=True).split())


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_and_third_party_packages_stay_with_their_owners(module: str) -> None:
    assert violations(module, MODULES[module].read_text()) == []


def test_modules_of_every_layer_claim_to_be_pure() -> None:
    assert {"events", "state", "agents", "verify", "web.sse", "web.guard.rules", "cli.transcript"} <= PURE
    assert not claims_to_be_pure('"""Templates. Pure but for reading a file."""')


def test_the_package_itself_imports_nothing() -> None:
    assert list(imports(ast.parse(MODULES[""].read_text()))) == []


@pytest.mark.parametrize(
    ("word", "owners"),
    [
        ("events.jsonl", {"store.log"}),
        (
            "O_APPEND",
            {
                "store.log",
                "store.repair",
                "store.untold",
                "access.logins",
                "web.http.accesslog",
                "relay.copies",
                "relay.heads",
            },
        ),
    ],
)
def test_only_the_log_opens_a_log(word: str, owners: set[str]) -> None:
    assert {name for name, path in MODULES.items() if word in names_in(path.read_text())} <= owners


MAX_LINES = {"file": 350, "class": 150, "function": 40}
"""The lines that a part of the package may have. A longer one is split by subject."""


def sizes(source: str) -> Iterator[tuple[str, str, int]]:
    """Yield what each part of `source` is, its name and its lines: the file, its classes and its functions."""
    yield "file", "", source.count("\n")
    for node in ast.walk(parse(source)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            what = "class" if isinstance(node, ast.ClassDef) else "function"
            yield what, node.name, (node.end_lineno or 0) - node.lineno + 1


@pytest.mark.parametrize("module", MODULES)
def test_no_file_class_or_function_is_too_long(module: str) -> None:
    found = sizes(MODULES[module].read_text())
    assert [(what, name, lines) for what, name, lines in found if lines > MAX_LINES[what]] == []


def test_a_part_that_is_too_long_is_found() -> None:
    source = "class Long:\n" + "    x = 1\n" * 150 + "def short():\n    pass\n" + "x = 1\n" * 200
    assert list(sizes(source)) == [("file", "", 353), ("class", "Long", 151), ("function", "short", 2)]


STARTUP = {
    "turns.runner": SLOW | set(OWNERS),
    "agents": SLOW | set(OWNERS),
    "cli": {package for package, owner in OWNERS.items() if owner.startswith("web")},
    "cli.commands.grep": {"tomllib", "hashlib", "ctypes", "socket"},
    "cli.commands.stats": {"tomllib", "hashlib", "ctypes", "socket", "multiprocessing"},
}
"""The modules that the import of each of these must not load. A runner starts for every turn; `ls` has no server;
a user waits for the first hit of a search."""


@pytest.mark.parametrize(("part", "banned"), STARTUP.items())
def test_programs_that_start_often_import_nothing_slow(part: str, banned: set[str]) -> None:
    assert banned & loaded_by(*(module for module in MODULES if is_within(module, part))) == set()


@pytest.mark.parametrize("module", ["turns.runner", "web.serve"])
def test_runner_and_web_server_work_without_the_library_of_the_engine(module: str) -> None:
    assert {"nats", "nkeys", "nacl", "breakglass.relay"} & loaded_by(module) == set()


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
    assert len(violations(module, source)) == 1


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
    assert violations(module, source) == []
