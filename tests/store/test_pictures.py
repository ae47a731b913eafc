"""Pictures of tools are files beside the log, named by their hash. No other file is kept, and the disk never fills."""

import os
from hashlib import sha256
from pathlib import Path

import pytest

from breakglass.errors import NotFound
from breakglass.store import pictures
from breakglass.uploads import is_picture

PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)
NAME = f"{sha256(PNG).hexdigest()}.png"
FILE = f"pictures/{NAME}"
RECORDED = {"file": FILE, "type": "image/png", "bytes": len(PNG)}


def kept(session: Path, *given: bytes) -> list[dict[str, object]]:
    fd = os.open(session, os.O_RDONLY)
    try:
        return pictures.store(fd, given)
    finally:
        os.close(fd)


def test_a_picture_is_written_once_and_read_by_its_name(tmp_path: Path) -> None:
    assert kept(tmp_path, PNG, PNG) == [RECORDED, RECORDED]
    written = (tmp_path / "pictures" / NAME).stat()
    assert kept(tmp_path, PNG) == [RECORDED]
    assert (tmp_path / "pictures" / NAME).stat().st_mtime_ns == written.st_mtime_ns
    assert os.listdir(tmp_path / "pictures") == [NAME]
    assert written.st_mode & 0o777 == 0o600
    with os.fdopen(pictures.open_picture(str(tmp_path), NAME), "rb") as file:
        assert file.read() == PNG
    assert pictures.is_unchanged(str(tmp_path), FILE)
    (tmp_path / "pictures" / NAME).write_bytes(PNG[:-1])
    assert not pictures.is_unchanged(str(tmp_path), FILE)


@pytest.mark.parametrize("data", [b"", b"<svg onload=alert(1)>", b"%PDF-1", PNG + bytes(pictures.MAX_BYTES)])
def test_what_is_no_picture_or_too_large_is_left_out(tmp_path: Path, data: bytes) -> None:
    assert kept(tmp_path, data, PNG) == [RECORDED]


def test_a_session_keeps_no_more_than_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_TOTAL", 2 * len(PNG))
    found = kept(tmp_path, *(PNG[:-1] + bytes([n]) for n in range(4)))
    assert len(found) == len(os.listdir(tmp_path / "pictures")) == 2


def test_no_link_is_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "pictures").symlink_to(outside)
    assert kept(tmp_path, PNG) == []
    (tmp_path / "pictures").unlink()
    (tmp_path / "pictures").mkdir()
    (outside / "secret").write_bytes(PNG)
    (tmp_path / "pictures" / NAME).symlink_to(outside / "secret")
    with pytest.raises(NotFound):
        pictures.open_picture(str(tmp_path), NAME)


@pytest.mark.parametrize(
    "name", ["", "../events.jsonl", "a.png", f"{NAME}/", NAME.replace("png", "svg"), "x" * 5_000]
)
def test_a_name_that_is_not_ours_is_not_found(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound):
        pictures.open_picture(str(tmp_path), name)
    assert not is_picture(f"pictures/{name}")
