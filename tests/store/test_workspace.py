"""The files in a workspace. An agent owns it, so nothing in it is trusted."""

import os
from pathlib import Path

import pytest

from breakglass.errors import CannotRecord, Conflict, NotFound
from breakglass.store import workspace
from breakglass.uploads import MAX_FILES


def read(directory: Path, path: str) -> bytes:
    with os.fdopen(workspace.open_file(str(directory), path), "rb") as file:
        return file.read()


def test_a_file_is_stored_under_a_name_that_is_not_taken(tmp_path: Path) -> None:
    directory = tmp_path / "ws"
    assert workspace.store(str(directory), "a.txt", b"one") == "uploads/a.txt"
    assert workspace.store(str(directory), "a.txt", b"two") == "uploads/a-2.txt"
    assert (read(directory, "uploads/a.txt"), read(directory, "uploads/a-2.txt")) == (b"one", b"two")
    assert (directory / "uploads/a.txt").stat().st_mode & 0o777 == 0o600


def test_no_link_leads_out_of_the_workspace(tmp_path: Path) -> None:
    secret, directory = tmp_path / "secret", tmp_path / "ws"
    secret.mkdir()
    (secret / "key").write_text("k")
    directory.mkdir()
    (directory / "file").symlink_to(secret / "key")
    (directory / "folder").symlink_to(secret)
    os.mkfifo(directory / "pipe")
    for path in ("file", "folder/key", "folder", "pipe", "../secret/key", str(secret / "key"), "none", "a\0"):
        with pytest.raises(NotFound):
            workspace.open_file(str(directory), path)
    assert workspace.list_files(str(directory)) == ([], True)
    (directory / "uploads").symlink_to(secret)
    with pytest.raises(CannotRecord):
        workspace.store(str(directory), "a", b"x")
    assert [each.name for each in secret.iterdir()] == ["key"]


def test_a_listing_has_the_upper_directories_first_and_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for path in ("a/b/deep", "a/low", "z", "ü\n"):
        (tmp_path / path).write_bytes(b"123")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).touch()  # no address can name it
    found = workspace.list_files(str(tmp_path))
    assert [(each.path, each.bytes) for each in found.files] == [
        ("z", 3),
        ("ü\n", 3),
        ("a/low", 3),
        ("a/b/deep", 3),
    ]
    assert found.is_complete
    monkeypatch.setattr(workspace, "MAX_LISTED", 2)
    assert [each.path for each in workspace.list_files(str(tmp_path)).files] == ["z", "ü\n"]
    assert not workspace.list_files(str(tmp_path)).is_complete
    assert workspace.list_files(str(tmp_path / "none")) == ([], True)


def test_the_number_and_the_size_of_files_have_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "uploads"
    folder.mkdir()
    for number in range(MAX_FILES):
        (folder / str(number)).touch()
    with pytest.raises(Conflict, match="200 files already"):
        workspace.store(str(tmp_path), "a", b"x")
    (folder / "0").unlink()
    monkeypatch.setattr(workspace, "MAX_TOTAL", 5)
    with pytest.raises(Conflict, match="at most"):
        workspace.store(str(tmp_path), "a", b"123456")
    monkeypatch.setattr(workspace, "LEFT_FREE", 1 << 60)
    with pytest.raises(CannotRecord, match="nearly full"):
        workspace.store(str(tmp_path), "a", b"1")
    assert not (folder / "a").exists()
