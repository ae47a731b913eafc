"""One-time codes: who can use one, how often and how long."""

import os
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from breakglass.access import login_codes
from breakglass.access.credentials import Access
from breakglass.access.login_codes import make_code, use_code
from breakglass.access.tokens import open_token, rotate_token
from breakglass.errors import CannotRecord, ReadOnly
from tests.help.credentials import make_token

NOW = 1_800_000_000.0


@pytest.mark.parametrize("may_act", [True, False])
def test_a_code_opens_one_login_with_its_own_rights(tmp_path: Path, may_act: bool) -> None:
    access = Access(tmp_path)
    open_token(tmp_path, may_act=may_act)
    code = make_code(tmp_path, may_act=may_act)
    cookie = access.log_in_with_code(code, address="192.0.2.1")
    assert cookie is not None
    credential = access.identify(None, [cookie.encode()])
    assert credential is not None
    assert (credential.name, credential.may_act) == ("owner" if may_act else "watcher", may_act)
    assert access.log_in_with_code(code, address="192.0.2.1") is None


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, True), (599, True), (600, None), (86_400, None), (-1, None), (-86_400, None)],
)
def test_a_code_expires_after_ten_minutes_and_when_the_clock_is_set_back(
    tmp_path: Path, seconds: float, expected: bool | None
) -> None:
    code = make_code(tmp_path, now=NOW)
    assert use_code(tmp_path, code, NOW + seconds) is expected
    assert use_code(tmp_path, code, NOW) is None


def test_of_simultaneous_uses_of_a_code_one_opens_a_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accesses = [Access(tmp_path) for _ in range(2)]  # as two worker processes
    code = make_code(tmp_path)
    read, barrier = login_codes._read, threading.Barrier(8)

    def read_together(path: Path) -> tuple[bool, int] | None:
        found = read(path)
        barrier.wait(20)  # every use has read the code before one deletes it
        return found

    monkeypatch.setattr(login_codes, "_read", read_together)
    with ThreadPoolExecutor(8) as pool:
        cookies = list(pool.map(lambda n: accesses[n % 2].log_in_with_code(code, address="-"), range(8)))
    assert sum(cookie is not None for cookie in cookies) == 1


def test_only_the_hash_of_a_code_is_kept_in_a_private_file(tmp_path: Path) -> None:
    code = make_code(tmp_path)
    directory = tmp_path / "login-codes"
    (path,) = directory.iterdir()
    assert [stat.S_IMODE(each.stat().st_mode) for each in (directory, path)] == [0o700, 0o600]
    assert code not in path.name + path.read_text()
    assert len(code) == 32


@pytest.mark.parametrize("code", ["", "x", "../token", "\0", "\ud800", "a" * 100_000])
def test_other_text_is_no_code(tmp_path: Path, code: str) -> None:
    access = Access(tmp_path)
    make_code(tmp_path)
    assert access.log_in_with_code(code, address="-") is None
    assert len(list((tmp_path / "login-codes").iterdir())) == 1


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"may_act": true}', b'{"may_act":1,"expires":"x"}', b"\xff"]
)
def test_a_damaged_code_file_opens_no_login(tmp_path: Path, content: bytes) -> None:
    code = make_code(tmp_path)
    (path,) = (tmp_path / "login-codes").iterdir()
    path.write_bytes(content)
    assert Access(tmp_path).log_in_with_code(code, address="-") is None


def test_a_link_in_place_of_a_code_opens_no_login(tmp_path: Path) -> None:
    code = make_code(tmp_path)
    (path,) = (tmp_path / "login-codes").iterdir()
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert Access(tmp_path).log_in_with_code(code, address="-") is None


def test_rotating_the_token_ends_its_codes(tmp_path: Path) -> None:
    access = Access(tmp_path)
    code = make_code(tmp_path)
    rotate_token(tmp_path)
    assert access.log_in_with_code(code, address="-") is None


def test_a_code_that_is_used_during_a_rotation_opens_no_lasting_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = Access(tmp_path)
    code = make_code(tmp_path)
    read = login_codes._read

    def rotate_then_read(path: Path) -> tuple[bool, int] | None:
        found = read(path)
        monkeypatch.setattr("breakglass.access.tokens.delete_codes", lambda root: None)  # it has run already
        rotate_token(tmp_path)
        return found

    monkeypatch.setattr(login_codes, "_read", rotate_then_read)
    cookie = access.log_in_with_code(code, address="-")
    assert access.identify(None, [str(cookie).encode()]) is None


def test_a_code_for_view_only_access_needs_the_read_only_token(tmp_path: Path) -> None:
    code = make_code(tmp_path, may_act=False)
    assert Access(tmp_path).log_in_with_code(code, address="-") is None


def test_a_code_that_cannot_be_deleted_opens_no_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    access, code = Access(tmp_path), make_code(tmp_path)

    def refuse(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(CannotRecord, match="No space left on device; log in with the token"):
        access.log_in_with_code(code, address="-")


def test_a_full_disk_makes_no_code_and_says_how_to_log_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **named: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("breakglass.access.login_codes.json.dumps", refuse)
    with pytest.raises(
        CannotRecord, match="No space left on device; log in with the token: breakglass token show"
    ):
        make_code(tmp_path)
    assert list((tmp_path / "login-codes").iterdir()) == []


def test_expired_codes_are_deleted_when_one_is_made(tmp_path: Path) -> None:
    for seconds in (0, 1, 700):
        make_code(tmp_path, now=NOW + seconds)
    assert len(list((tmp_path / "login-codes").iterdir())) == 1


def test_in_a_read_only_root_no_code_is_used_up(tmp_path: Path) -> None:
    code = make_code(tmp_path)
    access = Access(
        tmp_path, token=make_token("t"), read_only=lambda: "this data root is read-only: a mirror"
    )
    with pytest.raises(ReadOnly, match="a mirror; log in with the token"):
        access.log_in_with_code(code, address="-")
    assert len(list((tmp_path / "login-codes").iterdir())) == 1


def test_a_named_pipe_among_the_codes_opens_no_login_and_stops_nothing(tmp_path: Path) -> None:
    code = make_code(tmp_path)
    (path,) = (tmp_path / "login-codes").iterdir()
    path.unlink()
    os.mkfifo(path)
    assert use_code(tmp_path, code, time.time()) is None
    os.mkfifo(path)
    assert len(make_code(tmp_path)) == len(code)
