"""Colours are for terminals that have them."""

from breakglass.cli.style import paint


def test_paint_colours_nothing_where_there_are_no_colours() -> None:
    assert paint("x", "wrong", colours=False) == "x"
    assert paint("x", "wrong", colours=True) == "\x1b[31mx\x1b[0m"
    assert paint("", "wrong", colours=True) == ""
    assert paint("x", "prose", colours=True) == "x"
