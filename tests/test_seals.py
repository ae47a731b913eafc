"""`verify` names the first stretch of lines that differs from what was sealed. jq and coreutils find the same."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from breakglass import verify
from breakglass.events import Draft
from tests.help.logs import check_seals, line, sealed_log

TURN: list[Draft | bytes] = [
    ("user", {"turn": 2, "queued": None}),
    b"a foreign line, \xff\r",
    ("tool_result", {"turn": 2, "output": "na\u00efve \U0001f600\n" * 3}),
    ("turn_end", {"turn": 2}),
]
RENAMES: list[Draft | bytes] = [("renamed", {}), ("renamed", {})]
LOG = sealed_log([[("created", {}), *TURN], RENAMES, RENAMES])
"""Sealed are the lines 1 to 5, 6 to 8 and 9 to 11."""
LINES = [each + b"\n" for each in LOG.split(b"\n")[:-1]]
NEWEST = re.findall(rb'"sha256":"([0-9a-f]{64})"', LOG)[-1].decode()
RECIPE = re.search(
    r"```sh\n(LOG=[^`]*?sha256sum[^`]*?)```", Path("docs/recipes.md").read_text(encoding="utf-8"), re.DOTALL
)


def sealing(log: bytes, witnessed: tuple[int, str] | None = None) -> list[str]:
    """Return what `verify` finds about the seals of a log."""
    lines = [each + b"\n" for each in log.split(b"\n")[:-1]]
    found = [each.what for each in verify.findings(lines, verify.Verifier(witnessed)) if not each.is_note]
    return [what for what in found if "seal" in what]


def by_coreutils(log: bytes, folder: Path) -> str:
    """Return what the recipe prints about a log."""
    assert RECIPE
    (folder / "events.jsonl").write_bytes(log)
    script = RECIPE[1].split("\n", 1)[1].replace("$LOG", str(folder / "events.jsonl"))
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False).stdout.strip()


def test_the_sample_is_sealed_and_sound(tmp_path: Path) -> None:
    assert check_seals(LOG) == [(1, 5), (6, 8), (9, 11)]
    assert sealing(LOG) == []
    assert by_coreutils(LOG, tmp_path) == f"11:{NEWEST}"


def flipped(number: int, old: bytes) -> Callable[[], bytes]:
    """Return the log with one bit of the first `old` on this line flipped."""

    def change() -> bytes:
        changed = LINES[number - 1].replace(old, old[:-1] + bytes([old[-1] ^ 1]), 1)
        assert changed != LINES[number - 1]
        return b"".join([*LINES[: number - 1], changed, *LINES[number:]])

    return change


CHANGES: dict[str, tuple[Callable[[], bytes], str]] = {
    "a digit of an id": (flipped(2, b'"id":2'), "1 to 5"),
    "a digit of a time": (flipped(5, b"T01:02:03.004"), "1 to 5"),
    "a letter of a text": (flipped(2, b"ls"), "1 to 5"),
    "a byte of a character": (flipped(4, "\u00ef".encode()), "1 to 5"),
    "a byte that is no UTF-8": (flipped(3, b"\xff"), "1 to 5"),
    "a carriage return": (flipped(3, b"\r"), "1 to 5"),
    "an escaped newline": (flipped(4, b"\\n"), "1 to 5"),
    "a quote": (flipped(4, b'"output":"'), "1 to 5"),
    "a brace": (flipped(7, b"{"), "6 to 8"),
    "a letter of a key": (flipped(7, b'"title'), "6 to 8"),
    "a newline becomes another byte": (flipped(7, b"\n"), "6 to 8"),
    "a digit of a seal's sha256": (
        lambda: LOG.replace(NEWEST.encode(), b"0" + NEWEST[1:].encode()),
        "9 to 11",
    ),
    "a digit of a seal's prev": (flipped(9, b'"prev":"' + LINES[8].split(b'"prev":"')[1][:1]), "6 to 8"),
    "the first line of a seal": (flipped(9, b'"from":6'), "6 to 8"),
    "the last line of a seal": (flipped(9, b'"lines":8'), "6 to"),
    "the time of a seal": (flipped(6, b"T01:02:03.004"), "6 to 8"),
    "the kind of a seal": (flipped(6, b"seale"), "1 to 8"),
    "a line dropped": (lambda: b"".join(LINES[:3] + LINES[4:]), "1 to 5"),
    "a line dropped near the end": (lambda: b"".join(LINES[:9] + LINES[10:]), "9 to 11"),
    "two lines swapped": (lambda: b"".join([*LINES[:6], LINES[7], LINES[6], *LINES[8:]]), "6 to 8"),
    "a line inserted": (lambda: b"".join([*LINES[:7], b"hello\n", *LINES[7:]]), "6 to 8"),
    "a line twice": (lambda: b"".join([*LINES[:2], LINES[1], *LINES[2:]]), "1 to 5"),
    "a seal dropped": (lambda: b"".join(LINES[:5] + LINES[6:]), "1 to 8"),
    "a stretch dropped with its seal": (lambda: b"".join(LINES[:6] + LINES[9:]), "6 to 11"),
    "the beginning dropped": (lambda: b"".join(LINES[6:]), "1 to 8"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_log_is_found_at_the_first_stretch_that_differs(change: str, tmp_path: Path) -> None:
    changed, stretch = CHANGES[change]
    (found,) = sealing(changed())
    assert f"lines {stretch}" in found
    assert found.endswith("differ from what was sealed")
    assert by_coreutils(changed(), tmp_path).endswith(" differ")


def test_a_log_without_a_seal_breaks_no_rule() -> None:
    assert sealing(line(1, "created") + line(2, "renamed")) == []


def test_a_log_that_was_cut_off_is_found_by_a_seal_kept_elsewhere() -> None:
    cut = b"".join(LINES[:9])
    assert sealing(cut) == []
    assert sealing(cut, (11, NEWEST)) == ["there is no seal of line 11: lines were cut off, or written anew"]


def test_a_log_that_was_written_anew_is_found_by_a_seal_kept_elsewhere() -> None:
    anew = sealed_log([[("created", {"host": "other"}), *TURN], RENAMES, RENAMES])
    assert sealing(anew) == []
    assert sealing(anew, (11, NEWEST)) == [f"lines 1 to 11 were written anew: their seal was {NEWEST}"]


@pytest.mark.parametrize("digits", [16, 63, 64])
def test_a_log_that_only_grew_agrees_with_a_seal_kept_elsewhere(digits: int) -> None:
    grown = LOG + line(13, "renamed")
    assert sealing(grown, (11, NEWEST[:digits])) == []
