"""The tables of `make mutate` fit the code: modules and tests exist, and each mistake can still be made."""

from pathlib import Path

import pytest

from tests.mutation.heart import MISTAKES, NEAREST, ONLY, Mistake, path_of

PROJECT = Path(__file__).parents[2]


def source(module: str) -> str:
    return (PROJECT / "breakglass" / f"{module}.py").read_text()


@pytest.mark.parametrize("module", NEAREST)
def test_each_module_has_tests_that_exist(module: str) -> None:
    assert source(module)
    for each in NEAREST[module].split():
        file, _, test = path_of(each).partition("::")
        assert f"def {test}(" in (PROJECT / file).read_text() or not test


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: f"{mistake.module} {mistake.new}")
def test_each_mistake_is_one_place_of_a_module_that_is_tried(mistake: Mistake) -> None:
    assert source(mistake.module).count(mistake.old) == 1
    assert mistake.module in NEAREST
    assert mistake.module not in ONLY
