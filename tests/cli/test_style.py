"""Colours appear only if they are wanted."""

from breakglass.cli.style import paint


def test_paint_leaves_a_text_unchanged_without_colours() -> None:
    assert paint("x", "failure", colours=False) == "x"
    assert paint("x", "failure", colours=True) == "\x1b[31mx\x1b[0m"
    assert paint("", "failure", colours=True) == ""
    assert paint("x", "prose", colours=True) == "x"
