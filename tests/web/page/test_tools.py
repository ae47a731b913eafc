"""The input of a tool call: its first words, its fields and its edits, with nothing left out."""

from typing import Any

import pytest

from breakglass.web.page.terminal import KEPT_WHOLE
from breakglass.web.page.tools import MAX_DIFF, diff, fields, first_words, plan
from tests.help.html_check import check_html

FIRST = [
    ({"description": "Show", "command": "df -h\n  /var"}, "df -h /var"),
    ({"file_path": "/etc/hosts", "content": "x"}, "/etc/hosts"),
    ({"unknown": "words"}, "words"),
    ({"command": "  ", "other": "words"}, "words"),
    ({"limit": 3}, '{ "limit": 3 }'),
    ({}, ""),
    (None, ""),
    ("a plain string", "a plain string"),
    (["a", 1], '[ "a", 1 ]'),
    ({"command": 7}, '{ "command": 7 }'),
]


@pytest.mark.parametrize(("value", "words"), FIRST)
def test_the_first_words_describe_the_call(value: Any, words: str) -> None:
    assert first_words(value) == words


@pytest.mark.parametrize(
    "names", [("old_string", "new_string"), ("oldText", "newText"), ("old_str", "new_str")]
)
def test_an_edit_is_shown_as_a_difference(names: tuple[str, str]) -> None:
    old, new = names
    found = fields({"file_path": "/x", old: "a\nb", new: "a\nc"})
    assert [field.name for field in found] == ["file_path", "edit"]
    assert found[1].shown == "<span>  a</span>\n<del>\u2212 b</del>\n<ins>+ c</ins>"


def test_several_edits_are_numbered() -> None:
    edits = [
        {"old_string": "a", "new_string": "b"},
        {"old_string": "c", "new_string": "d", "replace_all": True},
    ]
    found = fields({"file_path": "/x", "edits": edits})
    assert [field.name for field in found] == ["file_path", "edit 1", "replace_all 2", "edit 2"]


def test_an_edit_that_is_too_long_stays_two_texts() -> None:
    found = fields({"old_string": "a" * KEPT_WHOLE, "new_string": "b" * KEPT_WHOLE + "c"})
    assert [field.name for field in found] == ["old_string", "new_string"]


def test_fields_that_are_no_edit_are_unchanged() -> None:
    for value in ({"old_string": "a"}, {"old_string": 1, "new_string": "b"}, {"edits": [1]}, {"edits": "x"}):
        assert [field.name for field in fields(value)] == list(value)


def test_nothing_of_an_input_is_left_out() -> None:
    many = {f"key {number}": number for number in range(1000)}
    [field] = fields(many)
    assert all(f'"key {number}": {number}' in field.text for number in range(1000))


def test_a_difference_leaves_out_distant_lines_and_marks_them() -> None:
    old = "\n".join(map(str, range(100)))
    text = check_html(diff(old, old.replace("50", "fifty").replace("90", "ninety"))).text
    assert "\u2212 50\n+ fifty" in text
    assert "\u22ef" in text
    assert "  10\n" not in text


def test_an_edit_without_a_difference_says_so() -> None:
    assert "no difference" in diff("a", "a")


def test_texts_with_too_many_lines_are_not_compared() -> None:
    old = "same\n" * MAX_DIFF
    assert diff(old, old + "more").count("<del>") == MAX_DIFF + 1


def test_a_difference_is_inert() -> None:
    html = diff("<script>", "</pre><img src=x onerror=alert(1)>")
    assert check_html(html).found == []


@pytest.mark.parametrize(
    "value", [None, [], {"todos": 1}, {"todos": ["x"]}, {"todos": [{"status": "x"}]}, {}]
)
def test_an_input_that_is_no_plan_has_no_steps(value: Any) -> None:
    assert plan(value) == []


def test_a_plan_is_a_list_of_steps() -> None:
    assert plan([{"text": "look", "status": "completed"}]) == [("completed", "look")]
    assert plan({"todos": [{"content": "look", "status": "completed"}, {"content": "act"}]}) == [
        ("completed", "look"),
        ("pending", "act"),
    ]
