"""Which credential belongs to a token or a cookie, and when it ends."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from breakglass.access.credentials import Access, csrf_matches, csrf_token
from breakglass.access.tokens import open_token, rotate_token
from tests.help.credentials import log_in, make_token


def test_no_object_and_no_file_keeps_a_secret_in_clear(tmp_path: Path) -> None:
    token = make_token("t")
    access = Access(tmp_path, token=token)
    cookie = log_in(access, token)
    found = access.identify(None, [cookie])
    held = (
        repr(vars(access))
        + repr(vars(access._tokens))
        + repr(vars(access._logins))
        + repr([vars(kept) for kept in access._tokens._files.values()])
        + repr(found)
    )
    written = (tmp_path / "logins.jsonl").read_text()
    assert all(secret not in held + written for secret in (token, cookie.decode()))


def test_a_configured_token_replaces_the_one_in_the_file(tmp_path: Path) -> None:
    kept = open_token(tmp_path)
    access = Access(tmp_path, token=make_token("s"))
    assert access.identify(make_token("s").encode(), []) is not None
    assert access.identify(kept.encode(), []) is None


@pytest.mark.parametrize("given", [b"", b"\n", b"x", b"\xff\xfe", "tökén".encode(), b"x" * 10_000])
def test_any_other_bytes_give_no_credential(tmp_path: Path, given: bytes) -> None:
    access = Access(tmp_path)
    token = open_token(tmp_path).encode()
    for wrong in (given, token + given, token.swapcase()):
        assert wrong == token or access.identify(wrong, [wrong]) is None
    assert access.log_in("\ud800 tökén", address="-") is None


def test_without_its_file_no_token_is_valid(tmp_path: Path) -> None:
    access = Access(tmp_path)
    (tmp_path / "token").unlink()
    assert access.identify(b"", [b""]) is None
    (tmp_path / "token").write_text("")
    assert access.identify(b"", [b""]) is None


def test_the_read_only_token_and_its_logins_may_not_act(tmp_path: Path) -> None:
    access = Access(tmp_path)
    token = open_token(tmp_path, may_act=False)
    assert token != open_token(tmp_path)
    by_token, by_cookie = access.identify(token.encode(), []), access.identify(None, [log_in(access, token)])
    assert by_token is not None
    assert by_cookie is not None
    assert [(found.may_act, found.name) for found in (by_token, by_cookie)] == [(False, "watcher")] * 2


def test_rotating_a_token_ends_it_and_its_logins_and_no_others(tmp_path: Path) -> None:
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


def test_logins_are_invalid_for_a_server_with_another_configured_token(tmp_path: Path) -> None:
    one, another = make_token("one"), make_token("another")
    cookie = log_in(Access(tmp_path, token=one), one)
    assert Access(tmp_path, token=one).identify(None, [cookie]) is not None
    assert Access(tmp_path, token=another).identify(None, [cookie]) is None


@pytest.mark.parametrize(
    "name", ["settings", "session", "timeout", "agent", "exit", "owner", "watcher", "Owner"]
)
def test_a_proxys_user_with_a_name_of_ours_is_told_from_it(name: str, tmp_path: Path) -> None:
    access = Access(tmp_path)
    assert access.credential_of_proxy_user(name).name == f"proxy:{name}"
    assert access.credential_of_proxy_user(f"{name}2").name == f"{name}2"


def test_a_csrf_token_belongs_to_one_login(tmp_path: Path) -> None:
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


def test_a_csrf_token_that_the_page_chose_does_not_follow_from_the_cookie(tmp_path: Path) -> None:
    access, chosen = Access(tmp_path), "c" * 64
    cookie = access.log_in(open_token(tmp_path), address="-", csrf=chosen)
    assert cookie is not None
    found = access.identify(None, [cookie.encode()])
    assert found is not None
    assert csrf_token(found) == "", "a page must not show it to a program that has the cookie only"
    derived = csrf_token(replace(found, csrf=""))
    assert len(derived) == 32
    given = [chosen, derived, "", "c" * 63, "\ud800"]
    assert [csrf_matches(found, each) for each in given] == [True, False, False, False, False]
    assert chosen not in (tmp_path / "logins.jsonl").read_text() + repr(found)
