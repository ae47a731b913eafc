"""The suite itself: it does not import the code that it tests."""

import ast
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.contract


def imports(source: str) -> list[str]:
    nodes = list(ast.walk(ast.parse(source)))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return plain + [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]


def test_the_suite_imports_neither_the_package_nor_another_test_folder() -> None:
    names = {name for path in Path(__file__).parent.glob("*.py") for name in imports(path.read_text("utf-8"))}
    others = {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names}
    assert others == {"pytest", "tests.contract.driver", "tests.contract.lists"}
