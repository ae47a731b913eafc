"""The scripts' own text functions give the same text as breakglass/text.py."""

from breakglass.text import STATUS_SIGNS, duration, join_lines
from tests.browser.conftest import NewUser

MILLISECONDS = (
    *(0, 1, 240, 999, 1000, 1240, 3400, 9949, 9950, 14_000, 59_400, 59_600),
    *(60_000, 200_000, 3_599_400, 3_600_000, 7_500_000, 360_000_000),
    *(0.5, 2.5, 1050, 1150, 1250, 2250, 3450, 10_500, 12_500, 59_500, 62_500),  # halves of the last digit
)
TEXTS = (
    "",
    "echo a",
    "  two\n\tlines ",
    "x" * 80,
    "x" * 81,
    "word " * 30,
    "\U0001f525 burns " * 20,
    "ä\u0308 " * 60,
)


def test_the_scripts_format_durations_headings_and_signs_as_the_server_does(new_user: NewUser) -> None:
    page = new_user().open()
    text_js = "import(document.body.dataset.static + '/text.js')"
    durations = page.evaluate(f"async (all) => all.map((await {text_js}).duration)", list(MILLISECONDS))
    assert durations == [duration(ms) for ms in MILLISECONDS]
    joined = page.evaluate(
        f"async (all) => {{ const {{ joinLines }} = await {text_js}; return all.map((text) => joinLines(text, 80)); }}",
        list(TEXTS),
    )
    assert joined == [join_lines(text, 80) for text in TEXTS]
    signs = page.evaluate(f"async (all) => all.map((await {text_js}).statusSign)", list(STATUS_SIGNS))
    assert signs == [list(sign) for sign in STATUS_SIGNS.values()]
