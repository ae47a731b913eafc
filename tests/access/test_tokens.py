"""The tokens and their files."""

import os
import stat
import string
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from breakglass.access.credentials import Access
from breakglass.access.tokens import is_private, open_token, readable_tokens
from breakglass.errors import BadConfig, CannotRecord
from breakglass.settings import is_guessable
from tests.help.credentials import make_token
from tests.help.superuser import require_superuser


def test_a_token_is_made_once_with_256_bits_in_a_private_file(tmp_path: Path) -> None:
    token = open_token(tmp_path)
    assert len(token) == 43
    assert open_token(tmp_path) == token
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["token"], "a temporary file is left"


def test_concurrent_first_starts_agree_on_one_token(tmp_path: Path) -> None:
    start = threading.Barrier(16)

    def make(_: int) -> str:
        start.wait()
        return open_token(tmp_path)

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(make, range(16)))) == 1


@pytest.mark.parametrize(
    "token", ["", "short", "x" * 31, "x" * 32 + " ", "x" * 32 + "\n", "ä" * 40, "x" * 513]
)
def test_a_short_or_malformed_configured_token_prevents_the_start(tmp_path: Path, token: str) -> None:
    with pytest.raises(BadConfig, match="BREAKGLASS_TOKEN is no token") as caught:
        Access(tmp_path, token=token)
    assert token not in str(caught.value) or token in ("", "short")


@pytest.mark.parametrize("content", [b"", b"\n", b"short\n", b"\xff" * 40])
def test_a_token_file_without_a_valid_token_prevents_the_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    (tmp_path / "token").chmod(0o600)
    with pytest.raises(BadConfig, match="is no token"):
        Access(tmp_path)


def test_a_token_file_that_others_may_read_prevents_the_start(tmp_path: Path) -> None:
    open_token(tmp_path)
    (tmp_path / "token").chmod(0o640)
    with pytest.raises(BadConfig, match="chmod 600"):
        Access(tmp_path)


@pytest.mark.parametrize("name", ["token", "token.readonly"])
def test_a_token_file_must_not_be_a_link(tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").write_text(make_token("elsewhere"))
    (tmp_path / "elsewhere").chmod(0o600)
    (tmp_path / name).symlink_to("elsewhere")
    with pytest.raises(BadConfig, match="cannot be read as a token"):
        Access(tmp_path)


def test_a_token_file_that_becomes_a_link_while_serving_is_refused(tmp_path: Path) -> None:
    token = open_token(tmp_path)
    access = Access(tmp_path)
    (tmp_path / "token").rename(tmp_path / "elsewhere")
    (tmp_path / "token").symlink_to("elsewhere")
    assert access.identify(token.encode(), ()) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_token_whose_file_is_opened_to_others_while_serving_is_refused_until_it_is_private(
    tmp_path: Path, mode: int
) -> None:
    token = open_token(tmp_path).encode()
    access = Access(tmp_path)
    seen = []
    for each in (0o600, mode, 0o600):
        (tmp_path / "token").chmod(each)
        seen.append(access.identify(token, ()) is not None)
    assert seen == [True, False, True]


@pytest.mark.parametrize(
    "token",
    [
        *(
            "s" * 32,
            "changeme" * 4,
            "changeme-" * 4,
            "test-token-" * 4,
            "0123456789" * 4,
            "0123456789abcdef" * 3,
        ),
        *("abcdefghijklmnopqrstuvwxyz012345", "qwertyuiop" * 4, "0" * 40 + "1", "password" * 3 + "12345678"),
    ],
)
def test_a_token_that_repeats_itself_or_counts_up_prevents_the_start(tmp_path: Path, token: str) -> None:
    message = "is too easy to guess: it repeats itself or counts up. Leave it out, and one is made."
    with pytest.raises(BadConfig) as raised:
        Access(tmp_path, token=token)
    assert str(raised.value) == f"BREAKGLASS_TOKEN {message}"
    (tmp_path / "token").write_text(token + "\n")
    (tmp_path / "token").chmod(0o600)
    with pytest.raises(BadConfig) as raised:
        Access(tmp_path)
    assert str(raised.value) == f"{tmp_path / 'token'} {message}"


def test_random_tokens_are_not_guessable() -> None:
    made = Random(7)
    for alphabet in ("0123456789abcdef", string.ascii_lowercase, string.ascii_letters + string.digits):
        assert not any(is_guessable("".join(made.choices(alphabet, k=32))) for _ in range(300))


@pytest.mark.parametrize(
    ("mode", "owner", "expected"),
    [(0o600, 0, True), (0o400, 0, True), (0o600, None, True), (0o600, 12345, False), (0o640, None, False)],
)
def test_a_token_file_belongs_to_root_or_to_this_user_alone(
    mode: int, owner: int | None, expected: bool
) -> None:
    owner = os.geteuid() if owner is None else owner
    assert is_private(os.stat_result((stat.S_IFREG | mode, 1, 1, 1, owner, 0, 44, 0, 0, 0))) is expected


EXPECTED = "expected 32 to 512 of A-Z a-z 0-9 . _ ~ + / = -. Leave it out, and one is made."


def test_a_token_refused_while_serving_is_reported_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = open_token(tmp_path).encode()
    access, file = Access(tmp_path), tmp_path / "token"
    seen: list[str] = []

    def use() -> bool:
        caplog.clear()
        found = [access.identify(token, ()) is not None for _ in range(3)]
        seen.extend(record.getMessage() for record in caplog.records)
        assert token.decode() not in caplog.text
        return all(found)

    assert use()
    file.chmod(0o640)
    assert not use()
    file.chmod(0o600)
    assert use()
    file.write_text("short\n")
    assert not use()
    file.unlink()
    assert not use()
    file.mkdir()
    assert not use()
    assert seen == [
        f"breakglass: {file} is not used: others may read it: `chmod 600` it, and rotate the token",
        f"breakglass: {file} is not used: its content is no token (5 characters): {EXPECTED}",
        f"breakglass: {file} is not used: it was deleted",
        f"breakglass: {file} is not used: it is not a plain file",
    ]


def test_a_token_file_of_another_user_prevents_the_start(tmp_path: Path) -> None:
    require_superuser("to change owners")
    open_token(tmp_path)
    os.chown(tmp_path / "token", 12345, -1)
    with pytest.raises(BadConfig, match="may be read by others"):
        Access(tmp_path)


def test_a_token_file_that_another_user_gets_while_serving_is_refused(tmp_path: Path) -> None:
    require_superuser("to change owners")
    token = open_token(tmp_path).encode()
    access = Access(tmp_path)
    assert access.identify(token, ()) is not None
    os.chown(tmp_path / "token", 12345, -1)
    assert access.identify(token, ()) is None


def test_a_missing_data_root_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CannotRecord, match="No such file"):
        Access(tmp_path / "missing")


def make_device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero: it can be read without end


OTHER_FILES = {"a named pipe": os.mkfifo, "a directory": os.mkdir, "a device": make_device}


@pytest.mark.parametrize("make", OTHER_FILES.values(), ids=OTHER_FILES.keys())
@pytest.mark.parametrize("name", ["token", "token.readonly"])
def test_a_token_file_that_is_no_plain_file_is_one_clear_error_and_no_wait(
    name: str, make: Callable[[Path], object], tmp_path: Path
) -> None:
    make(tmp_path / name)
    (tmp_path / name).chmod(0o600)
    with pytest.raises(BadConfig) as raised:
        Access(tmp_path)
    assert str(raised.value) == f"{tmp_path / name} cannot be read as a token: it is not a plain file"
    assert len(readable_tokens(tmp_path)) == (name != "token")


@pytest.mark.parametrize("make", OTHER_FILES.values(), ids=OTHER_FILES.keys())
def test_a_token_file_that_becomes_another_kind_of_file_ends_the_token(
    make: Callable[[Path], object], tmp_path: Path
) -> None:
    token = open_token(tmp_path)
    access = Access(tmp_path)
    assert access.identify(token.encode(), [])
    (tmp_path / "token").unlink()
    make(tmp_path / "token")
    assert access.identify(token.encode(), []) is None


@pytest.mark.parametrize("make", OTHER_FILES.values(), ids=OTHER_FILES.keys())
def test_with_a_login_file_that_is_no_plain_file_logins_are_kept_in_memory(
    make: Callable[[Path], object], tmp_path: Path
) -> None:
    make(tmp_path / "logins.jsonl")
    access = Access(tmp_path)
    cookie = access.log_in(open_token(tmp_path), address="::1")
    assert cookie
    assert access.identify(None, [cookie.encode()])
    assert access.logins()
