"""The logins of a data root, and the file that contains them."""

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from breakglass.access.credentials import LOGIN_SECONDS, PLAIN_SECONDS, Access, Credential
from breakglass.access.logins import append, told_logins
from breakglass.access.tokens import open_token
from breakglass.errors import CannotRecord
from tests.help.clock import Clock
from tests.help.credentials import log_in


def test_every_login_has_its_own_cookie_that_is_not_the_token(tmp_path: Path) -> None:
    access = Access(tmp_path)
    token = open_token(tmp_path)
    cookies = {log_in(access, token) for _ in range(5)}
    assert len(cookies) == 5
    assert token.encode() not in cookies


def test_servers_on_one_data_root_share_logins_and_revocations(tmp_path: Path) -> None:
    one, two = Access(tmp_path), Access(tmp_path)
    cookie = log_in(one, open_token(tmp_path))
    found = two.identify(None, [b"of another program", cookie])
    assert found is not None
    assert two.still_valid(found)
    assert one.revoke(one.logins()[0].id)
    assert not two.still_valid(found)
    assert two.identify(None, [cookie]) is None


def test_logins_from_many_threads_are_all_valid(tmp_path: Path) -> None:
    access = Access(tmp_path)
    token = open_token(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        cookies = list(pool.map(lambda _: log_in(access, token), range(64)))
    assert all(Access(tmp_path).identify(None, [cookie]) for cookie in cookies)
    assert len((tmp_path / "logins.jsonl").read_bytes().splitlines()) == 64


def test_logins_are_listed_the_latest_first_and_revoked_one_by_one(tmp_path: Path) -> None:
    access = Access(tmp_path)
    cookies = [log_in(access, open_token(tmp_path), agent) for agent in ("first", "second", "third")]
    assert [(login.by, login.address, login.user_agent) for login in access.logins()] == [
        ("owner", "192.0.2.1", agent) for agent in ("third", "second", "first")
    ]
    assert access.revoke(access.logins()[1].id)
    assert not access.revoke("unknown")
    assert [bool(access.identify(None, [cookie])) for cookie in cookies] == [True, False, True]


def test_logging_out_ends_this_login_only(tmp_path: Path) -> None:
    access = Access(tmp_path)
    cookies = [log_in(access, open_token(tmp_path)) for _ in range(2)]
    found = access.identify(None, [cookies[0]])
    assert found is not None
    access.log_out(found)
    assert [bool(access.identify(None, [cookie])) for cookie in cookies] == [False, True]
    access.log_out(Credential("owner", may_act=True, kind="token", key=b""))


def test_a_login_expires(tmp_path: Path) -> None:
    clock = Clock()
    access = Access(tmp_path, now=clock)
    cookie = log_in(access, open_token(tmp_path))
    clock.now += LOGIN_SECONDS - 1
    found = access.identify(None, [cookie])
    assert found is not None
    clock.now += 1
    assert (access.identify(None, [cookie]), access.still_valid(found), access.logins()) == (None, False, [])


def test_a_login_over_plain_http_ends_after_12_hours_without_use_and_after_30_days_in_any_case(
    tmp_path: Path,
) -> None:
    clock = Clock()
    access = Access(tmp_path, now=clock)
    cookie = (access.log_in(open_token(tmp_path), address="-", idle=PLAIN_SECONDS) or "").encode()
    other = Access(tmp_path, now=clock)
    began = clock.now
    while found := access.identify(None, [cookie]):
        assert clock.now < began + 30 * 86_400
        assert other.identify(None, [cookie]) == found
        if seconds := access.seconds_to_renew(found):
            access.renew(found, seconds)
        assert access.seconds_to_renew(found) == 0, "it was renewed just now"
        clock.now += 11 * 3600 + 59 * 60
    assert clock.now - began >= 30 * 86_400
    assert len((tmp_path / "logins.jsonl").read_bytes().splitlines()) < 70
    unused = (access.log_in(open_token(tmp_path), address="-", idle=PLAIN_SECONDS) or "").encode()
    clock.now += 12 * 3600
    assert access.identify(None, [unused]) is None


def test_a_renewal_revives_no_login_that_was_revoked(tmp_path: Path) -> None:
    clock = Clock()
    access = Access(tmp_path, now=clock)
    cookie = (access.log_in(open_token(tmp_path), address="-", idle=PLAIN_SECONDS) or "").encode()
    found = access.identify(None, [cookie])
    assert found is not None
    clock.now += 7200
    seconds = access.seconds_to_renew(found)
    assert seconds == 12 * 3600
    access.revoke(access.logins()[0].id)
    access.renew(found, seconds)
    assert access.identify(None, [cookie]) is None


def test_users_can_log_in_and_out_while_the_disk_takes_no_writes(tmp_path: Path) -> None:
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
        "it was not written once the disk took writes again"
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
def test_malformed_lines_of_the_login_file_are_skipped(tmp_path: Path, foreign: bytes) -> None:
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


def test_the_login_file_must_not_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "logins.jsonl").symlink_to("elsewhere")
    log_in(Access(tmp_path), open_token(tmp_path))
    assert not (tmp_path / "elsewhere").exists()


def test_a_link_in_place_of_the_login_file_gives_no_login(tmp_path: Path) -> None:
    access = Access(tmp_path)
    cookie = log_in(access, open_token(tmp_path))
    (tmp_path / "logins.jsonl").rename(tmp_path / "elsewhere")
    (tmp_path / "logins.jsonl").symlink_to("elsewhere")
    assert access.identify(None, [cookie]) is None
    assert Access(tmp_path).identify(None, [cookie]) is None


def test_a_line_that_is_no_object_tells_nothing() -> None:
    told = b'{"kind":"notified","cause":"login","about":7,"to":"notify[0]","sent":true}'
    assert list(told_logins([b'["notified"]', b'"notified', told])) == [("login:7", "notify[0]")]
