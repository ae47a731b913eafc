"""A browser's subscription belongs to its login and ends with it, also without a server."""

import stat
import threading
from pathlib import Path

import pytest

from breakglass.access import subscriptions
from breakglass.access.credentials import Access, Credential
from breakglass.access.logins import Push
from breakglass.access.push_key import FILE, PushKey, open_push_key, read_push_key
from breakglass.access.subscriptions import Subscribers
from breakglass.access.tokens import open_token, rotate_token
from breakglass.errors import BadConfig, Conflict

PUSH = Push("https://web.push.apple.com/x", "key", "auth", 100)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def logged_in(access: Access, token: str, idle: int = 0) -> Credential:
    cookie = access.log_in(token, address="10.0.0.1", idle=idle)
    assert cookie
    found = access.identify(None, [cookie.encode()])
    assert found
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def token(root: Path) -> str:
    return open_token(root)


def test_it_ends_by_logout_and_by_revocation(root: Path, token: str) -> None:
    access, all_now = Access(root), Subscribers(root).all
    first, second = logged_in(access, token), logged_in(access, token)
    subscriptions.subscribe(access, first, PUSH)
    subscriptions.subscribe(access, second, PUSH)
    assert [each.push for each in all_now()] == [PUSH, PUSH]
    access.log_out(first)
    assert len(all_now()) == 1
    login = access.login_of(second)
    assert login
    access.revoke(login.id)
    assert all_now() == []


def test_it_ends_when_the_token_is_rotated_without_a_server(root: Path, token: str) -> None:
    access = Access(root)
    subscriptions.subscribe(access, logged_in(access, token), PUSH)
    watcher = open_token(root, may_act=False)
    subscriptions.subscribe(access, logged_in(access, watcher), PUSH)
    rotate_token(root)
    assert [each.may_act for each in Subscribers(root).all()] == [False]
    rotate_token(root, may_act=False)
    assert Subscribers(root).all() == []


def test_it_ends_when_a_server_starts_with_another_configured_token(root: Path) -> None:
    old, new = "0f9d2c7b81e64a35" * 2, "7b81e64a350f9d2c" * 2
    subscriptions.note_token(root, old)
    access = Access(root, token=old)
    subscriptions.subscribe(access, logged_in(access, old), PUSH)
    size = (root / "logins.jsonl").stat().st_size
    subscriptions.note_token(root, old)  # a restart
    assert (root / "logins.jsonl").stat().st_size == size
    assert len(Subscribers(root).all()) == 1
    subscriptions.note_token(root, new)
    assert Subscribers(root).all() == []
    assert old.encode() not in (root / "logins.jsonl").read_bytes()


def test_it_ends_with_an_idle_login_and_goes_on_with_one_in_use(root: Path, token: str) -> None:
    clock = Clock()
    access = Access(root, now=clock)
    credential = logged_in(access, token, idle=12 * 3600)
    subscriptions.subscribe(access, credential, PUSH)
    subscribers = Subscribers(root, clock)
    clock.now += 6 * 3600
    access.renew(credential, access.seconds_to_renew(credential))
    clock.now += 11 * 3600
    assert len(subscribers.all()) == 1
    clock.now += 2 * 3600
    assert subscribers.all() == []


def test_a_login_has_one_subscription_and_dropping_an_older_one_keeps_it(root: Path, token: str) -> None:
    access = Access(root)
    credential = logged_in(access, token)
    subscriptions.subscribe(access, credential, PUSH)
    (old,) = Subscribers(root).all()
    newer = Push("https://web.push.apple.com/y", "key", "auth", 200)
    subscriptions.subscribe(access, credential, newer)
    subscriptions.drop(root, old, 300)
    assert [each.push for each in Subscribers(root).all()] == [newer]
    size = (root / "logins.jsonl").stat().st_size
    subscriptions.subscribe(access, credential, newer)  # a page that was opened again
    assert (root / "logins.jsonl").stat().st_size == size
    subscriptions.unsubscribe(access, credential, 400)
    assert Subscribers(root).all() == []


def test_a_token_in_a_header_has_no_login_to_bind_it_to(root: Path, token: str) -> None:
    access = Access(root)
    with pytest.raises(Conflict, match="belong to a login"):
        subscriptions.subscribe(access, access.identify(token.encode(), []), PUSH)
    with pytest.raises(Conflict, match="belong to a login"):
        subscriptions.subscribe(access, access.credential_of_proxy_user("ann"), PUSH)


def test_the_key_is_made_once_by_any_number_of_threads_and_only_its_owner_reads_it(root: Path) -> None:
    found: list[PushKey] = []
    threads = [threading.Thread(target=lambda: found.append(open_push_key(root))) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len({*found}) == 1
    assert len(found) == 8
    assert stat.S_IMODE((root / FILE).stat().st_mode) == 0o600
    assert [path.name for path in root.iterdir()] == [FILE]


@pytest.mark.parametrize(
    ("content", "mode", "text"), [("{}", 0o600, "read as a key"), ("x", 0o644, "by others")]
)
def test_a_key_that_is_damaged_or_shown_to_others_is_refused(
    content: str, mode: int, text: str, root: Path
) -> None:
    (root / FILE).write_text(content)
    (root / FILE).chmod(mode)
    with pytest.raises(BadConfig, match=text):
        open_push_key(root)
    (root / FILE).unlink()
    with pytest.raises(FileNotFoundError):
        read_push_key(root)
