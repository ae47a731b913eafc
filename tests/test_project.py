"""The dependencies: every imported package is declared and locked, no lock names a host, and both locks agree."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock")
PIN = re.compile(r"^([a-z0-9._-]+)==(\S+)", re.MULTILINE)


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins(lock: str) -> dict[str, str]:
    return dict(PIN.findall((ROOT / lock).read_text()))


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower() for requirement in requirements}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_host(lock: str) -> None:
    assert re.findall(r"\w+://|^-", (ROOT / lock).read_text(), re.MULTILINE) == []


def test_every_requirement_is_locked() -> None:
    asked, groups = project()["project"], project()["dependency-groups"]
    assert names(asked["dependencies"] + groups["build"]) <= pins("requirements.lock").keys()
    assert names(groups["dev"]) <= pins("requirements-dev.lock").keys()


def imported_packages() -> Iterator[str]:
    """Yield the top name of every absolute import below breakglass/."""
    for path in (ROOT / "breakglass").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


def test_the_declared_dependencies_are_exactly_the_imported_packages() -> None:
    distributions = packages_distributions()
    imported = set(imported_packages()) - sys.stdlib_module_names - {"breakglass"}
    found = {distributions[package][0].lower().replace("_", "-") for package in imported}
    extras = project()["project"]["optional-dependencies"].values()
    assert found == names(project()["project"]["dependencies"]).union(*map(names, extras))


@pytest.mark.parametrize(
    "dependency",
    [
        *project()["project"]["dependencies"],
        *project()["project"]["optional-dependencies"]["notify"],
    ],
)
def test_every_dependency_has_a_lower_and_an_upper_bound(dependency: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]+>=[0-9.]+,<[0-9.]+", dependency)


def test_the_build_requirements_are_the_locked_ones() -> None:
    assert project()["build-system"]["requires"] == project()["dependency-groups"]["build"]


def test_both_locks_have_the_same_versions() -> None:
    assert pins("requirements.lock").items() <= pins("requirements-dev.lock").items()
