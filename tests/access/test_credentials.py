"""The token, the logins, the brake on guessing, and the access log."""

import json
import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from breakglass.access.credentials import (
    LOGIN_SECONDS,
    Access,
    Credential,
    csrf_matches,
    csrf_token,
)
from breakglass.access.logins import append
from breakglass.access.throttle import MAX_ADDRESSES, Throttle
from breakglass.access.tokens import open_token, rotate_token
from breakglass.errors import BadConfig, CannotRecord
from breakglass.web.guard.cookies import cookie_name, cookies_named, set_cookie
from breakglass.web.http.accesslog import AccessLog, Entry, format_line


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def log_in(access: Access, token: str, agent: str = "a phone") -> bytes:
    cookie = access.log_in(token, address="192.0.2.1", agent=agent)
    assert cookie is not None
    return cookie.encode()


# --- the token ----------------------------------------------------------------------------------


def test_a_token_is_made_once_of_256_bits_and_only_we_may_read_it(tmp_path: Path) -> None:
    token = open_token(tmp_path)
    assert len(token) == 43
    assert open_token(tmp_path) == token
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["token"], "nothing unfinished is left"


def test_of_many_that_make_a_token_at_once_all_get_the_same(tmp_path: Path) -> None:
    start = threading.Barrier(16)

    def make(_: int) -> str:
        start.wait()
        return open_token(tmp_path)

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(make, range(16)))) == 1


@pytest.mark.parametrize(
    "token", ["", "short", "x" * 31, "x" * 32 + " ", "x" * 32 + "\n", "ä" * 40, "x" * 513]
)
def test_a_set_token_that_can_be_guessed_or_not_be_sent_refuses_to_start(tmp_path: Path, token: str) -> None:
    with pytest.raises(BadConfig, match="BREAKGLASS_TOKEN is no token") as caught:
        Access(tmp_path, token=token)
    assert token not in str(caught.value) or token in ("", "short")


@pytest.mark.parametrize("content", [b"", b"\n", b"short\n", b"\xff" * 40])
def test_a_token_file_that_holds_none_refuses_to_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    (tmp_path / "token").chmod(0o600)
    with pytest.raises(BadConfig, match="is no token"):
        Access(tmp_path)


def test_a_token_file_that_others_may_read_refuses_to_start(tmp_path: Path) -> None:
    open_token(tmp_path)
    (tmp_path / "token").chmod(0o640)
    with pytest.raises(BadConfig, match="chmod 600"):
        Access(tmp_path)


@pytest.mark.parametrize("name", ["token", "token.readonly"])
def test_a_token_file_is_never_reached_through_a_link(tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").write_text("x" * 43)
    (tmp_path / "elsewhere").chmod(0o600)
    (tmp_path / name).symlink_to("elsewhere")
    with pytest.raises(BadConfig, match="cannot be read as a token"):
        Access(tmp_path)


def test_a_root_where_no_token_can_be_kept_says_so(tmp_path: Path) -> None:
    with pytest.raises(CannotRecord, match="No such file"):
        Access(tmp_path / "missing")


def test_nothing_that_holds_a_token_holds_it_in_clear(tmp_path: Path) -> None:
    token = "0123456789abcdef" * 3
    access = Access(tmp_path, token=token)
    cookie = log_in(access, token)
    found = access.identify(None, [cookie])
    held = repr(vars(access)) + repr([vars(kept) for kept in access._token_files.values()]) + repr(found)
    written = (tmp_path / "logins.jsonl").read_text()
    assert all(secret not in held + written for secret in (token, cookie.decode()))


# --- who it is ----------------------------------------------------------------------------------


def test_the_set_token_counts_and_the_kept_one_does_not(tmp_path: Path) -> None:
    kept = open_token(tmp_path)
    access = Access(tmp_path, token="s" * 32)
    assert access.identify(b"s" * 32, []) is not None
    assert access.identify(kept.encode(), []) is None


@pytest.mark.parametrize("given", [b"", b"\n", b"x", b"\xff\xfe", "tökén".encode(), b"x" * 10_000])
def test_any_other_bytes_are_nobody(tmp_path: Path, given: bytes) -> None:
    access = Access(tmp_path)
    token = open_token(tmp_path).encode()
    for wrong in (given, token + given, token.swapcase()):
        assert wrong == token or access.identify(wrong, [wrong]) is None
    assert access.log_in("\ud800 tökén", address="-") is None


def test_without_its_file_nobody_has_the_token(tmp_path: Path) -> None:
    access = Access(tmp_path)
    (tmp_path / "token").unlink()
    assert access.identify(b"", [b""]) is None
    (tmp_path / "token").write_text("")
    assert access.identify(b"", [b""]) is None


def test_a_watchers_token_and_its_logins_may_not_act(tmp_path: Path) -> None:
    access = Access(tmp_path)
    token = open_token(tmp_path, may_act=False)
    assert token != open_token(tmp_path)
    by_token, by_cookie = access.identify(token.encode(), []), access.identify(None, [log_in(access, token)])
    assert by_token is not None
    assert by_cookie is not None
    assert [(found.may_act, found.name) for found in (by_token, by_cookie)] == [(False, "watcher")] * 2


def test_every_login_has_a_value_of_its_own_which_is_not_the_token(tmp_path: Path) -> None:
    access = Access(tmp_path)
    token = open_token(tmp_path)
    cookies = {log_in(access, token) for _ in range(5)}
    assert len(cookies) == 5
    assert token.encode() not in cookies


def test_several_servers_on_one_root_know_each_others_logins_and_revocations(tmp_path: Path) -> None:
    one, two = Access(tmp_path), Access(tmp_path)
    cookie = log_in(one, open_token(tmp_path))
    found = two.identify(None, [b"of another program", cookie])
    assert found is not None
    assert two.still_valid(found)
    assert one.revoke(one.logins()[0].id)
    assert not two.still_valid(found)
    assert two.identify(None, [cookie]) is None


def test_logins_from_many_threads_all_hold(tmp_path: Path) -> None:
    access = Access(tmp_path)
    token = open_token(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        cookies = list(pool.map(lambda _: log_in(access, token), range(64)))
    assert all(Access(tmp_path).identify(None, [cookie]) for cookie in cookies)
    assert len((tmp_path / "logins.jsonl").read_bytes().splitlines()) == 64


def test_logins_are_listed_the_latest_first_and_revoked_one_by_one(tmp_path: Path) -> None:
    access = Access(tmp_path)
    cookies = [log_in(access, open_token(tmp_path), agent) for agent in ("first", "second", "third")]
    assert [(login.by, login.address, login.agent) for login in access.logins()] == [
        ("owner", "192.0.2.1", agent) for agent in ("third", "second", "first")
    ]
    assert access.revoke(access.logins()[1].id)
    assert not access.revoke("nobody")
    assert [bool(access.identify(None, [cookie])) for cookie in cookies] == [True, False, True]


def test_logging_out_ends_this_login_only(tmp_path: Path) -> None:
    access = Access(tmp_path)
    cookies = [log_in(access, open_token(tmp_path)) for _ in range(2)]
    found = access.identify(None, [cookies[0]])
    assert found is not None
    access.log_out(found)
    assert [bool(access.identify(None, [cookie])) for cookie in cookies] == [False, True]
    access.log_out(Credential("owner", may_act=True, kind="token", key=b""))


def test_a_login_ends_when_its_time_is_over(tmp_path: Path) -> None:
    clock = Clock()
    access = Access(tmp_path, now=clock)
    cookie = log_in(access, open_token(tmp_path))
    clock.now += LOGIN_SECONDS - 1
    found = access.identify(None, [cookie])
    assert found is not None
    clock.now += 1
    assert (access.identify(None, [cookie]), access.still_valid(found), access.logins()) == (None, False, [])


def test_a_new_token_ends_the_old_one_and_its_logins_at_once_and_no_others(tmp_path: Path) -> None:
    access = Access(tmp_path)
    old, watcher = open_token(tmp_path), open_token(tmp_path, may_act=False)
    held = [
        access.identify(old.encode(), []),
        access.identify(None, [log_in(access, old)]),
        access.identify(None, [log_in(access, watcher)]),
    ]
    new = rotate_token(tmp_path)
    assert [found and access.still_valid(found) for found in held] == [False, False, True]
    assert access.identify(new.encode(), []) is not None
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_a_server_with_another_set_token_does_not_take_the_logins_of_the_first(tmp_path: Path) -> None:
    cookie = log_in(Access(tmp_path, token="a" * 32), "a" * 32)
    assert Access(tmp_path, token="a" * 32).identify(None, [cookie]) is not None
    assert Access(tmp_path, token="b" * 32).identify(None, [cookie]) is None


# --- the file of logins -------------------------------------------------------------------------


def test_on_a_disk_that_takes_nothing_people_still_get_in_and_out(tmp_path: Path) -> None:
    access = Access(tmp_path)
    (tmp_path / "logins.jsonl").mkdir()
    cookies = [log_in(access, open_token(tmp_path)) for _ in range(2)]
    assert all(access.identify(None, [cookie]) for cookie in cookies)
    with pytest.raises(CannotRecord, match="after a restart"):
        access.revoke(access.logins()[0].id)
    assert [bool(access.identify(None, [cookie])) for cookie in cookies] == [True, False]
    (tmp_path / "logins.jsonl").rmdir()
    log_in(access, open_token(tmp_path))
    later = Access(tmp_path)
    assert [bool(later.identify(None, [cookie])) for cookie in cookies] == [True, False], (
        "written once it could be"
    )


@pytest.mark.parametrize(
    "foreign",
    [
        b"\n",
        b"\xff\x00\n",
        b"{}\n",
        b"[]\n",
        b'{"kind":"login"}\n',
        b'{"kind":"login","expires":"x"}\n',
        b'{"kind":"lo',
    ],
)
def test_a_line_that_is_none_of_ours_changes_nothing(tmp_path: Path, foreign: bytes) -> None:
    access = Access(tmp_path)
    before = log_in(access, open_token(tmp_path))
    with open(tmp_path / "logins.jsonl", "ab") as file:
        file.write(foreign)
    after = log_in(access, open_token(tmp_path))
    assert all(Access(tmp_path).identify(None, [cookie]) for cookie in (before, after))


def test_a_line_is_appended_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "logins.jsonl"
    append(path, b"one\n")
    script = (
        "import resource, sys, pathlib; from breakglass.access.logins import append\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (6, 6)); append(pathlib.Path(sys.argv[1]), b'two' * 9)"
    )
    failed = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)
    assert "OSError: [Errno 28]" in failed.stderr
    assert path.read_bytes() == b"one\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_file_of_logins_is_never_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "logins.jsonl").symlink_to("elsewhere")
    log_in(Access(tmp_path), open_token(tmp_path))
    assert not (tmp_path / "elsewhere").exists()


# --- forms and cookies --------------------------------------------------------------------------


def test_a_forms_field_belongs_to_one_login(tmp_path: Path) -> None:
    access = Access(tmp_path)
    found = [access.identify(None, [log_in(access, open_token(tmp_path))]) for _ in range(2)]
    one, other = (credential for credential in found if credential)
    assert csrf_matches(one, csrf_token(one))
    assert not any(
        csrf_matches(one, wrong) for wrong in (csrf_token(other), "", "ä\ud800", csrf_token(one)[:-1])
    )
    assert csrf_matches(
        access.credential_of_proxy_user("ann"), csrf_token(access.credential_of_proxy_user("ann"))
    )
    assert not csrf_matches(
        access.credential_of_proxy_user("ann"), csrf_token(access.credential_of_proxy_user("bob"))
    )


@pytest.mark.parametrize(
    ("origin", "name", "secure"),
    [
        ("https://ops.example.com", "__Host-breakglass", True),
        ("https://ops.example.com:8443", "__Host-breakglass-8443", True),
        ("http://127.0.0.1:8420", "breakglass-8420", False),
        ("http://[::1]:8420", "breakglass-8420", False),
        ("http://localhost", "breakglass", False),
    ],
)
def test_a_cookie_is_bound_as_tightly_as_its_origin_allows(origin: str, name: str, secure: bool) -> None:
    attributes = set_cookie(origin, "v").split("; ")
    assert (cookie_name(origin), attributes[0]) == (name, f"{name}=v")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
    assert ("Secure" in attributes) is secure
    assert not any(attribute.startswith("Domain") for attribute in attributes)
    assert "Max-Age=0" in set_cookie(origin, "", seconds=0)


@pytest.mark.parametrize(
    ("header", "values"),
    [
        (b"a=1", [b"1"]),
        (b"b=2; a=1;a=3", [b"1", b"3"]),
        (b"aa=1; xa=2; a =3; A=4", []),
        (b"", []),
        (b";;=;a", [b""]),
        (b"a=" + b"; a=".join(b"%d" % n for n in range(9)), [b"0", b"1", b"2", b"3"]),
    ],
)
def test_the_cookies_of_a_name_are_found_and_no_others(header: bytes, values: list[bytes]) -> None:
    assert cookies_named("a", header) == values


# --- the brake on guessing ----------------------------------------------------------------------


def test_wrong_tokens_are_slowed_down_per_address_for_a_minute() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    assert [throttle.count_wrong_token("a") for _ in range(12)] == [0] * 10 + [61, 61]
    assert throttle.count_wrong_token("b") == 0
    clock.now += 59
    assert throttle.count_wrong_token("a") == 2
    clock.now += 1
    assert throttle.count_wrong_token("a") == 0


def test_a_flood_of_addresses_costs_no_memory() -> None:
    throttle = Throttle(Clock())
    for number in range(5000):
        throttle.count_wrong_token(str(number))
    assert len(throttle._wrong) == MAX_ADDRESSES


# --- the access log -----------------------------------------------------------------------------

NOON = datetime(2026, 11, 23, 12, 0, 0, 7000, UTC)


@example("\x7f\n", "\u2028", b"\x7f\n\x9b")
@given(st.text(max_size=50), st.text(max_size=50), st.binary(max_size=400))
def test_whatever_is_asked_for_the_log_gains_one_line_of_ascii(by: str, method: str, path: bytes) -> None:
    made = format_line(Entry(by, "192.0.2.1", method, path, 200, 1.25), NOON)
    assert made.endswith(b"\n")
    assert all(0x20 <= byte < 0x7F for byte in made[:-1])
    fields = json.loads(made)
    assert list(fields) == ["ts", "by", "from", "method", "path", "status", "ms"]
    assert (fields["ts"], fields["path"]) == ("2026-11-23T12:00:00.007Z", path[:300].decode("latin-1"))


def test_a_log_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(path, now=lambda: NOON)
    log(Entry("a", "-", "GET", b"/1", 200, 1))
    path.rename(tmp_path / "access.log.1")
    log(Entry("b", "-", "GET", b"/2", None, 1))
    log.close()
    log(Entry("c", "-", "GET", b"/3", 200, 1))
    log.close()
    files = (tmp_path / "access.log.1", path)
    said = [[json.loads(row)["by"] for row in file.read_text().splitlines()] for file in files]
    assert said == [["a"], ["b", "c"]]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_log_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "missing" / "access.log")
    log(Entry(None, "-", "GET", b"/", 200, 1))
    (tmp_path / "missing").mkdir()
    log(Entry(None, "-", "GET", b"/", 200, 1))
    log.close()
    assert len((tmp_path / "missing" / "access.log").read_bytes().splitlines()) == 1
