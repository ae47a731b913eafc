"""The generated parts of the documentation agree with the code."""

import pytest

from tests.docs import commands_reference
from tests.docs.pages import GENERATED, Generated, is_stale, updated


@pytest.mark.parametrize("row", GENERATED, ids=lambda row: f"{row.file}:{row.section or 'page'}")
def test_a_generated_page_is_up_to_date(row: Generated) -> None:
    assert not is_stale(row), f"{row.file} is stale: run make docs"


def test_each_row_of_the_table_of_commands_is_one_line() -> None:
    assert all(line.startswith("| ") for line in commands_reference.render().splitlines()[2:])


def test_a_section_is_replaced_and_the_text_around_it_is_kept() -> None:
    row = Generated("page.md", "numbers", lambda: "1\n2\n")
    page = "before\n<!-- generated: numbers -->\nold\n<!-- end generated -->\nafter\n"
    replaced = "before\n<!-- generated: numbers -->\n\n1\n2\n\n<!-- end generated -->\nafter\n"
    assert updated(row, page) == replaced
    assert updated(row, replaced) == replaced


def test_a_page_without_the_section_is_an_error() -> None:
    with pytest.raises(ValueError, match="generated: numbers"):
        updated(Generated("page.md", "numbers", str), "nothing\n")
