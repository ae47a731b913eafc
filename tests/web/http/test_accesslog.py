"""The access log: each response adds one line of ASCII, for any bytes in the request."""

import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from breakglass.web.http.accesslog import AccessLog, Entry, format_line

NOON = datetime(2026, 11, 23, 12, 0, 0, 7000, UTC)


@example("\x7f\n", "\u2028", b"\x7f\n\x9b")
@given(st.text(max_size=50), st.text(max_size=50), st.binary(max_size=400))
def test_any_request_adds_one_line_of_ascii_to_the_access_log(by: str, method: str, path: bytes) -> None:
    made = format_line(Entry(by, "192.0.2.1", method, path, 200, 1.25), NOON)
    assert made.endswith(b"\n")
    assert all(0x20 <= byte < 0x7F for byte in made[:-1])
    fields = json.loads(made)
    assert list(fields) == ["ts", "by", "from", "method", "path", "status", "ms"]
    assert (fields["ts"], fields["path"]) == ("2026-11-23T12:00:00.007Z", path[:300].decode("latin-1"))


def test_an_access_log_that_was_moved_away_is_created_again(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(path, now=lambda: NOON)
    log(Entry("a", "-", "GET", b"/1", 200, 1))
    path.rename(tmp_path / "access.log.1")
    log(Entry("b", "-", "GET", b"/2", None, 1))
    log.close()
    log(Entry("c", "-", "GET", b"/3", 200, 1))
    log.close()
    files = (tmp_path / "access.log.1", path)
    names = [[json.loads(row)["by"] for row in file.read_text().splitlines()] for file in files]
    assert names == [["a"], ["b", "c"]]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_in_place_of_the_access_log_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "another file of the user"
    target.write_text("precious\n")
    (tmp_path / "access.log").symlink_to(target)
    log = AccessLog(tmp_path / "access.log")
    log(Entry(None, "-", "GET", b"/", 200, 1))
    log.close()
    assert target.read_text() == "precious\n"


def test_a_named_pipe_without_a_reader_as_access_log_stops_no_request(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "access.log")
    log = AccessLog(tmp_path / "access.log")
    log(Entry(None, "-", "GET", b"/", 200, 1))
    log.close()


def test_an_unwritable_access_log_stops_no_request(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "missing" / "access.log")
    log(Entry(None, "-", "GET", b"/", 200, 1))
    (tmp_path / "missing").mkdir()
    log(Entry(None, "-", "GET", b"/", 200, 1))
    log.close()
    assert len((tmp_path / "missing" / "access.log").read_bytes().splitlines()) == 1
