"""The layers inside breakglass/web, and the modules that may use private names of dependencies."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.test_layers import MODULES, imports, is_within, parse

WEB_ROWS = (
    "              serve              ",
    "         workers   app           ",
    "  api  forms  action_pages  search_pages  stats_pages  metrics ",
    "         pages    openapi        ",
    "       files  push  hub_forms    ",
    "        context   operations     ",
    "  console  bodies  searching  schemas  operation ",
    "   page   lost_turns  sender_watch ",
    "        guard     stream         ",
    "              sse                ",
    "              http               ",
)
"""The layers of breakglass/web, the highest first: modules and folders. A module imports only lower rows."""

WEB_HEIGHT = {part: -row for row, parts in enumerate(WEB_ROWS) for part in parts.split()}
BORROWED_FROM = {"hypercorn", "h11", "h2", "quart"}
"""The packages whose private names only web/http may use. Its tests compare a digest of each used function."""

DOCUMENTED = {"_asdict", "_replace"}
"""Methods of named tuples. They begin with an underscore, but they are public."""


def web_imports(source: str) -> Iterator[str]:
    """Yield the modules of breakglass.web that `source` imports, without the `breakglass.web.`."""
    for node in ast.walk(parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("breakglass.web."):
                yield name.removeprefix("breakglass.web.")


def wrong_imports(part: str, source: str) -> list[str]:
    """Return the imports of `source` from rows that are not below `part`, a module or folder of breakglass/web."""
    if part not in WEB_HEIGHT:
        return [f"{part} is in no row"]
    targets = {name.partition(".")[0] for name in web_imports(source)} - {part}
    return sorted(target for target in targets if WEB_HEIGHT.get(target, 99) >= WEB_HEIGHT[part])


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Return modules that import each other in a circle, [] if there is none."""
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


def private_names(source: str) -> set[str]:
    """Return the private names of other modules' objects, if `source` imports one of `BORROWED_FROM`."""
    tree = parse(source)
    if not any(name.partition(".")[0] in BORROWED_FROM for name, _, _ in imports(tree)):
        return set()
    own = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_self(node.value)}
    own |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    found = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} - own
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in BORROWED_FROM:
            found |= {*(node.module or "").split("."), *(alias.name for alias in node.names)}
    return {name for name in found if name.startswith("_") and not name.startswith("__")} - DOCUMENTED


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def foreign_bases(source: str) -> set[str]:
    """Return the names that `source` imports from one of `BORROWED_FROM` and derives a class from."""
    tree = parse(source)
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (getattr(node, "module", None) or alias.name).partition(".")[0] in BORROWED_FROM
    }
    bases = {
        ast.unparse(base) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases
    }
    return {base for base in bases if base.partition(".")[0] in imported}


WEB_MODULES = {name.removeprefix("web."): path for name, path in MODULES.items() if name.startswith("web.")}


@pytest.mark.parametrize("module", WEB_MODULES)
def test_inside_web_imports_go_down(module: str) -> None:
    assert wrong_imports(module.partition(".")[0], WEB_MODULES[module].read_text()) == []


def test_inside_web_no_modules_import_each_other_in_a_circle() -> None:
    graph = {
        module: {
            other
            for name in web_imports(path.read_text())
            for other in WEB_MODULES
            if other != module and is_within(name, other)
        }
        for module, path in WEB_MODULES.items()
    }
    assert circle(graph) == []


@pytest.mark.parametrize("module", [name for name in MODULES if not is_within(name, "web.http")])
def test_private_names_of_dependencies_are_used_in_web_http_only(module: str) -> None:
    source = MODULES[module].read_text()
    assert (private_names(source), foreign_bases(source)) == (set(), set())


@pytest.mark.parametrize(
    ("part", "source"),
    [
        ("http", "from breakglass.web.guard.guard import Guard"),
        ("http", "def late():\n    from breakglass.web.guard import rules"),
        ("guard", "from breakglass.web import stream"),
        ("page", "import breakglass.web.app"),
        ("attic", ""),
    ],
)
def test_a_wrong_import_inside_web_is_found(part: str, source: str) -> None:
    assert len(wrong_imports(part, source)) == 1


def test_a_circle_of_imports_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}


@pytest.mark.parametrize(
    "source",
    [
        "from h11._readers import READERS",
        "from quart.app import _x",
        "import quart\ndef f(app):\n    app._prepare()",
    ],
)
def test_a_private_name_of_a_dependency_is_found(source: str) -> None:
    assert len(private_names(source)) == 1


def test_a_class_derived_from_a_dependency_is_found() -> None:
    assert foreign_bases("from quart import Quart\nclass App(Quart):\n    pass") == {"Quart"}
    assert foreign_bases("import h11\nclass Mine(h11.Connection):\n    pass") == {"h11.Connection"}
    assert foreign_bases("class Mine(Other):\n    pass") == set()
