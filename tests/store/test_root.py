"""The data root is created if only it is missing, and refused if it cannot be used or others have access to it."""

import os
import subprocess
from pathlib import Path

import pytest

from breakglass.errors import BadConfig
from breakglass.store import disk
from breakglass.store import root as data_root
from tests.help.superuser import require_superuser


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "var"


def test_a_root_is_created_only_if_its_parent_exists(root: Path) -> None:
    assert data_root.prepare(root) == ""
    assert data_root.prepare(root) == ""
    with pytest.raises(BadConfig, match="No such file"):
        data_root.prepare(root / "not" / "there")


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_root_that_others_have_rights_on_is_refused_with_the_command_that_fixes_it(
    mode: int, root: Path
) -> None:
    root.mkdir()
    root.chmod(mode)
    with pytest.raises(BadConfig, match=f"do: chmod 700 {root}"):
        data_root.prepare(root)


def test_a_root_that_is_a_file_is_refused(root: Path) -> None:
    root.write_bytes(b"")
    with pytest.raises(BadConfig, match="cannot be used: Not a directory"):
        data_root.prepare(root)


def test_a_root_that_belongs_to_another_user_is_read_only(root: Path) -> None:
    require_superuser("to mount and to change owners")
    data_root.prepare(root)
    os.chown(root, 12345, -1)
    message = f"this data root is read-only: {root} belongs to user 12345, and this process is user 0"
    assert data_root.prepare(root) == message


@pytest.mark.parametrize("created_before", [True, False])
def test_a_root_that_cannot_be_written_is_left_as_it_is_with_a_warning(
    created_before: bool, root: Path
) -> None:
    require_superuser("to mount and to change owners")
    root.mkdir(0o700)
    if created_before:
        data_root.prepare(root)
    subprocess.run(["mount", "--bind", root, root], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", root], check=True)
        message = f"this data root is read-only: {root} is on a read-only mount"
        assert data_root.prepare(root) == message
        assert (root / "sessions").exists() == created_before
    finally:
        subprocess.run(["umount", root], check=True)


@pytest.mark.parametrize("exists", [True, False])
def test_a_root_on_an_untrusted_file_system_gives_a_warning_also_before_it_is_made(
    exists: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "file_system_type", lambda path: "virtiofs" if path.exists() else "")
    root = tmp_path / "var"
    if exists:
        root.mkdir(0o700)
    message = f"data: {root} is on virtiofs: locks and appends cannot be trusted there"
    assert data_root.untrusted_message(root) == message
    assert data_root.prepare(root) == ""
    (root / "read-only").touch()
    assert data_root.untrusted_message(root) == ""
