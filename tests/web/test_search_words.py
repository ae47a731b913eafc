"""The same hostile words find the same lines over HTTP, on the page and on the command line."""

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.cli.program import Data
from tests.help.logs import line
from tests.help.servers import Server, serving

LONG = "long-" * 200
TEXTS = (
    'he said "no space" left',
    "first line\n\tsecond line",
    "Grüße aus der Straße",
    "cafe\u0301 combined",
    "a.*b[0-9]+$ (x|y)",
    r"C:\Users\u00e4",
    "smile 😀 \u2028 end",
    "nul\0byte and \x1b[31mred",
    "<script>alert('x')</script>",
    "-e --kind=user %s %00 &amp; #tag",
    f"x{LONG}x",
    "ﬁle KELVIN \u212a",
)
"""Line N of the log, from line 2 on."""
FOREIGN = (
    rb'{"id":14,"ts":"2026-11-23T01:02:03.004Z","kind":"text","turn":2,"text":"sch\u00f6n \ud83d\ude80 \ud800!"}',
    b"plain text of another program \xff, sch\xc3\xb6n",
)
"""Lines 14 and 15: JSON as others write it, with a half of a pair, and no JSON."""
WORDS = {
    '"no space"': [2],
    '"said \'no"': [],
    "said left": [2],
    '"first line second"': [3],
    "LINE": [3],
    "grüsse": [4],
    "GRÜSSE STRASSE": [4],
    "STRAẞE": [4],
    "gru\u0308ße": [4],
    "café": [5],
    "CAFE\u0301": [5],
    ".*b[0-9]+$": [6],
    "(x|y)": [6],
    r"C:\Users": [7],
    r"\u00e4": [7],
    "😀": [8],
    "\u2028": None,
    "nul\0byte": [9],
    "\x1b[31m": [9],
    "<SCRIPT>": [10],
    "--KIND=user": [11],
    "-e --kind": [11],
    "%00": [11],
    "&amp;": [11],
    LONG: [12],
    "FILE kelvin": [13],
    "schön": [14, 15],
    "🚀": [14],
    "\ufffd!": [14],
    "another program": [15],
    "program \ufffd,": [15],
}
"""Lines that have the words; None: no words, so the search is refused."""


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Data]]:
    folder = tmp_path_factory.mktemp("words")
    with serving(folder / "var") as server:
        with server.log(server.new_session(title="t")).open("ab") as log:
            log.writelines(line(number, "text", text=text) for number, text in enumerate(TEXTS, 2))
            log.writelines(each + b"\n" for each in FOREIGN)
        yield server, Data(folder)


@pytest.mark.parametrize(("words", "lines"), WORDS.items(), ids=range(len(WORDS)))
def test_hostile_words_find_their_lines(
    searched: tuple[Server, Data], words: str, lines: list[int] | None
) -> None:
    server, _ = searched
    status, body, _ = server.ask("GET", f"/api/search?q={quote(words)}")
    if lines is None:
        assert status == 422
        return
    assert (status, sorted(hit["line"] for hit in body["hits"])) == (200, lines)
    page = server.ask("GET", f"/search?q={quote(words)}")[1].decode()
    assert page.count("<mark>") == len(lines)
    assert "<script>" not in page


def test_the_command_finds_the_same(searched: tuple[Server, Data]) -> None:
    _, data = searched
    for words, lines in WORDS.items():
        if lines is not None and "\0" not in words:
            done = data.run("grep", "--json", "--", words)
            found = [json.loads(each)["line"] for each in done.stdout.decode().splitlines()]
            assert (sorted(found), done.returncode) == (lines, 0 if lines else 1), words
