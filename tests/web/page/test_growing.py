"""While prose grows, its finished blocks are rendered, and each is parsed once."""

import re
from html import unescape
from typing import Any

import pytest

from breakglass.web.page.growing import Asked, prose
from breakglass.web.page.long_markdown import long_markdown

LIST, CODE, TABLE = "* one\n\n* two\n\n", "```sh\ndf\n\ndu\n```\n\n", "| a | b |\n|---|---|\n| 1 | 2 |\n\n"
TEXT = f"## Disk\n\n{LIST}{CODE}{TABLE}It is **full**.\nReally.\n"


def log_of(text: str, size: int) -> list[dict[str, Any]]:
    """Return the lines of a turn whose prose arrives in pieces of `size` characters, from line 2 on."""
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    said = [{"id": 3 + n, "kind": "delta", "turn": 2, "text": piece} for n, piece in enumerate(pieces)]
    return [{"id": 2, "kind": "user", "turn": 2, "text": "?"}, *said]


def answer(found: list[dict[str, Any]], asked: Asked) -> tuple[str, str, Asked]:
    """Return the HTML, the rest, and the next question."""
    wanted = [event for event in found if event["id"] >= asked.first - 1]
    match = re.fullmatch(
        r'<div id="done" data-from="(\d+)" data-skip="(\d+)">(.*)</div><pre id="rest">\n(.*)</pre>',
        prose(wanted, asked),
        re.DOTALL,
    )
    assert match
    return match[3], unescape(match[4]), Asked(int(match[1]), int(match[2]), asked.is_ended)


@pytest.mark.parametrize("size", [1, 3, 7, 50, 500])
@pytest.mark.parametrize("text", [TEXT, TEXT.replace("\n", "\r\n")])
def test_the_blocks_that_were_asked_for_one_after_another_are_those_of_the_whole_text(
    text: str, size: int
) -> None:
    found, asked, shown = log_of(text, size), Asked(3), ""
    for end in range(2, len(found) + 1):
        html, rest, asked = answer(found[:end], asked)
        shown += html
        said = "".join(event["text"] for event in found[1:end]).replace("\r\n", "\n")
        assert said.endswith((rest, "\r"))
        assert shown.count("<pre") + shown.count("<table>") + rest.count("```sh") <= 2
    html, rest, asked = answer(found, asked._replace(is_ended=True))
    assert (shown + html, rest) == (str(long_markdown(text, whole=True).head), "")


def test_a_list_is_not_finished_by_a_blank_line() -> None:
    html, rest, _ = answer(log_of("* one\n\n* two\n\n", 4), Asked(3))
    assert (html, rest) == ("", "* one\n\n* two\n\n")


def test_prose_that_began_before_is_not_rendered() -> None:
    """Its beginning may have opened a block of code."""
    _, _, asked = answer(log_of("```\n\na\n\nb\n\n", 4), Asked(4))
    assert asked == (0, 0, False)


def test_what_another_agent_says_meanwhile_is_left_out() -> None:
    found = log_of("one\n\ntwo\n\n", 4)
    other = {"id": 6, "kind": "delta", "turn": 2, "text": "<b>", "parent": "t"}
    html, rest, _ = answer([*found, other, {"id": 7, "kind": "tool", "turn": 2}], Asked(3))
    assert (html, rest) == ("<p>one</p>\n", "two\n\n")
    assert prose([], Asked(3)) == prose([other], Asked(3))


def test_of_long_prose_only_the_last_block_is_shown_as_it_was_written() -> None:
    html, rest, asked = answer(log_of(TEXT * 1_000, 2_000), Asked(3))
    assert len(rest) < 8_000
    assert html.count("<table>") > 900
    assert asked.first > 40
    html, rest, _ = answer(log_of("[" * 15_000 + "\n\n\u202eend", 5_000), Asked(3))
    assert rest == "\u27e8U+202E\u27e9end"
