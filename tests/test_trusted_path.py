"""A file is trusted only if no user besides root and this one can change it or exchange it."""

import os
import pwd
import struct
import subprocess
from pathlib import Path

import pytest

from breakglass.errors import BadConfig
from breakglass.trusted_path import check_trusted
from tests.help.superuser import require_superuser

MALLORY = 12345
OTHER = 23456
USER_OBJ, USER, GROUP_OBJ, MASK, OTHERS = 1, 2, 4, 0x10, 0x20
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in (
        (USER_OBJ, 7, 0xFFFFFFFF),
        (USER, 7, MALLORY),
        (GROUP_OBJ, 0, 0xFFFFFFFF),
        (MASK, 7, 0xFFFFFFFF),
        (OTHERS, 0, 0xFFFFFFFF),
    )
)
"""`setfacl -m user:12345:rwx` (linux/posix_acl_xattr.h)."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A trusted file in two directories of its own."""
    path = tmp_path / "top" / "inner" / "file"
    path.parent.mkdir(parents=True, mode=0o755)
    path.write_text("")
    path.chmod(0o644)
    return path


def refusal(path: Path) -> str:
    """Return the sentence that refuses a path."""
    with pytest.raises(BadConfig) as caught:
        check_trusted(path)
    return str(caught.value)


def test_a_file_of_our_own_in_our_own_directories_is_trusted(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_trusted(file)
    monkeypatch.chdir(file.parent)
    check_trusted(Path("file"))
    check_trusted(Path("..", "inner", "file"))


@pytest.mark.parametrize(("levels", "mode"), [(0, 0o664), (0, 0o646), (1, 0o775), (2, 0o777)])
def test_a_file_or_directory_that_others_may_write_is_refused(levels: int, mode: int, file: Path) -> None:
    require_superuser("to change owners")
    step = [file, *file.parents][levels]
    os.chown(step, -1, OTHER)
    step.chmod(mode)
    owner = subprocess.check_output(["id", "-un"], text=True).strip()
    assert refusal(file) == (
        f"not trusted: others than its owner, {owner}, may write {step} ({mode:03o});"
        f" do: chmod go-w {step}, or use another place"
    )


def test_a_group_of_only_this_user_may_write(file: Path) -> None:
    """With the umask 002 and a group for each user, every new directory is like this."""
    require_superuser("to change owners")
    os.chown(file.parent, -1, 0)
    file.parent.chmod(0o775)
    check_trusted(file)
    file.parent.chmod(0o777)
    assert "(777)" in refusal(file)


@pytest.mark.parametrize("levels", [0, 1])
def test_a_file_or_directory_that_an_access_control_list_opens_is_refused(levels: int, file: Path) -> None:
    """The list opens it to another user. The mode shows that as a right of the group, which has only this user."""
    step = [file, *file.parents][levels]
    os.chown(step, -1, os.getgid())
    os.setxattr(step, "system.posix_acl_access", ACL)
    assert step.stat().st_mode & 0o777 == 0o770
    assert f"may write {step} (770); do: chmod go-w {step}" in refusal(file)
    step.chmod(0o750)
    check_trusted(file)  # the list has no effect any more


def test_a_group_that_is_the_first_one_of_another_user_is_not_private(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table of groups does not list such a user."""
    require_superuser("to change owners")
    os.chown(file, -1, 0)
    file.chmod(0o664)
    check_trusted(file)
    other = pwd.struct_passwd(("toor", "x", 1000, 0, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwall", lambda: [pwd.getpwuid(0), other])
    assert f"may write {file} (664)" in refusal(file)


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_a_file_or_directory_of_another_user_is_refused(levels: int, file: Path) -> None:
    require_superuser("to change owners")
    step = [file, *file.parents][levels]
    os.chown(step, MALLORY, -1)
    assert refusal(file) == (
        f"not trusted: {step} belongs to user {MALLORY}, not to root; do: chown root {step}, or use another place"
    )


def test_in_a_sticky_directory_the_owner_of_the_entry_decides(file: Path) -> None:
    file.parent.chmod(0o1777)
    check_trusted(file)
    require_superuser("to change owners")
    os.chown(file, MALLORY, -1)
    assert f"{file} belongs to user {MALLORY}" in refusal(file)


def test_a_sticky_directory_of_another_user_is_refused(file: Path) -> None:
    require_superuser("to change owners")
    file.parent.chmod(0o1777)
    os.chown(file.parent, MALLORY, -1)
    assert f"{file.parent} belongs to user {MALLORY}" in refusal(file)


@pytest.mark.parametrize("target", ["../inner/file", "{file}"])
def test_a_link_is_followed_and_each_directory_on_the_way_is_checked(target: str, file: Path) -> None:
    elsewhere = file.parents[1] / "elsewhere"
    elsewhere.mkdir()
    link = elsewhere / "link"
    link.symlink_to(target.format(file=file))
    check_trusted(link)
    file.parent.chmod(0o777)
    assert f"may write {file.parent} (777)" in refusal(link)
    file.parent.chmod(0o755)
    elsewhere.chmod(0o777)
    assert f"may write {elsewhere} (777)" in refusal(link)


def test_a_link_of_another_user_is_refused_in_a_sticky_directory_too(file: Path) -> None:
    require_superuser("to change owners")
    file.parent.chmod(0o1777)
    link = file.parent / "link"
    link.symlink_to(file)
    os.chown(link, MALLORY, -1, follow_symlinks=False)
    assert f"{link} belongs to user {MALLORY}" in refusal(link)


def test_a_linked_directory_leads_up_from_its_target(file: Path) -> None:
    link = file.parents[2] / "link"
    link.symlink_to(file.parent)
    check_trusted(link / ".." / "inner" / "file")
    file.parents[1].chmod(0o777)
    assert f"may write {file.parents[1]} (777)" in refusal(link / ".." / "inner" / "file")


def test_a_loop_of_links_and_a_missing_file_are_errors_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="Too many levels"):
        check_trusted(tmp_path / "loop")
    with pytest.raises(FileNotFoundError):
        check_trusted(tmp_path / "missing")


def test_a_pipe_of_our_own_is_trusted() -> None:
    reader, writer = os.pipe()
    try:
        check_trusted(Path(f"/proc/self/fd/{reader}"))
        check_trusted(Path(f"/dev/fd/{reader}"))
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize(
    ("mode", "is_accepted"), [(0o600, True), (0o640, True), (0o644, False), (0o604, False)]
)
def test_a_secret_may_be_read_by_its_group_but_not_by_every_user(
    mode: int, is_accepted: bool, file: Path
) -> None:
    file.chmod(mode)
    if is_accepted:
        check_trusted(file, is_secret=True)
        return
    with pytest.raises(
        BadConfig, match=rf"every user may read {file}, of \w+ \({mode:03o}\); do: chmod o-rwx"
    ):
        check_trusted(file, is_secret=True)


@pytest.mark.parametrize(("owner", "is_trusted"), [(0, True), (MALLORY, True), (OTHER, False)])
def test_a_user_trusts_files_of_root_and_of_their_own(
    owner: int, is_trusted: bool, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_superuser("to change owners")
    os.chown(file, owner, -1)
    monkeypatch.setattr(os, "geteuid", lambda: MALLORY)
    if is_trusted:
        check_trusted(file)
    else:
        assert f"{file} belongs to user {OTHER}, not to root or {MALLORY}; do:" in refusal(file)
