"""The access log: each response adds one line of ASCII, for any bytes in the request."""

import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from breakglass.web.http.accesslog import AccessLog, Entry, format_line, open_access_log

NOON = datetime(2026, 11, 23, 12, 0, 0, 7000, UTC)


@example("\x7f\n", "\u2028", b"\x7f\n\x9b")
@given(st.text(max_size=50), st.text(max_size=50), st.binary(max_size=400))
def test_any_request_adds_one_line_of_ascii_to_the_access_log(by: str, method: str, path: bytes) -> None:
    made = format_line(Entry(by, "192.0.2.1", method, path, 200, 1.25), NOON)
    assert made.endswith(b"\n")
    assert all(0x20 <= byte < 0x7F for byte in made[:-1])
    fields = json.loads(made)
    assert list(fields) == ["ts", "by", "from", "method", "path", "status", "ms"]
    assert fields["ts"] == "2026-11-23T12:00:00.007Z"
    assert len(fields["path"]) <= 300


TOKEN = b"Zq7956897d7cb622247789bd3b448a7c9f36b775337"
SESSION = b"/sessions/3f2a9c1e-0000-4000-8000-00000000abcd"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"/\x7f\n\x9b%0a" + b"x/" * 200, ("/\x7f\n\x9b%0a" + "x/" * 200)[:300]),
        (b"/" + TOKEN, "/[masked]"),
        (b"/" + TOKEN + b"/api", "/[masked]/api"),
        (b"/login/%23code=" + TOKEN[:32], "/login/%23code=[masked]"),
        (b"/a/" * 95 + TOKEN, "/a/" * 95 + "[masked]"),
        (SESSION + b"/events", SESSION.decode() + "/events"),
        (SESSION + b"a", "/sessions/[masked]"),
        (SESSION + b"/files/" + b"n" * 40 + b".png", SESSION.decode() + "/files/" + "n" * 40 + ".png"),
    ],
)
def test_a_path_is_kept_but_not_what_looks_like_a_secret(path: bytes, shown: str) -> None:
    """A user may paste a token into the address, or lose the # of a login address."""
    line = format_line(Entry("ann", "192.0.2.1", "GET", path, 404, 1.25), NOON)
    assert json.loads(line)["path"] == shown


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


@pytest.mark.parametrize("has_reader", [False, True])
def test_a_named_pipe_in_place_of_the_access_log_is_not_waited_for(
    tmp_path: Path, *, has_reader: bool
) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(path)
    log(Entry("a", "-", "GET", b"/1", 200, 1))
    path.unlink()
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK) if has_reader else None
    log(Entry("a", "-", "GET", b"/2", 200, 1))
    path.unlink()
    log(Entry("a", "-", "GET", b"/3", 200, 1))
    log.close()
    if reader is not None:
        assert os.read(reader, 1) == b""
        os.close(reader)
    assert [json.loads(line)["path"] for line in path.read_bytes().splitlines()] == ["/3"]


def test_an_access_log_on_standard_error_does_not_wait_for_the_reader_of_a_full_pipe() -> None:
    script = (
        "from breakglass.web.http.accesslog import AccessLog, Entry\n"
        "log = AccessLog()\n"
        "for number in range(2000): log(Entry('a', '-', 'GET', b'/', 200, 1))\n"
        "print('done')"
    )
    done = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.stdout and done.stderr
    with done, done.stdout, done.stderr:
        assert done.stdout.read() == b"done\n"  # no process reads standard error meanwhile
        lines = done.stderr.read().splitlines()
    assert 0 < len(lines) < 2000
    assert all(json.loads(line)["status"] == 200 for line in lines)


def test_an_access_log_that_cannot_be_written_is_told_once_at_the_start(tmp_path: Path) -> None:
    warnings: list[str] = []
    open_access_log(str(tmp_path / "log"), warnings.append)
    assert warnings == []
    open_access_log(str(tmp_path / "missing" / "log"), warnings.append)
    assert warnings == [f"access_log: {tmp_path}/missing/log cannot be written: No such file or directory"]
