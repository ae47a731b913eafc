"""Each command that may write warns of a file system whose locks and appends cannot be trusted."""

from pathlib import Path

import pytest

from breakglass import cli
from breakglass.store import disk, sessions

WRITING = (
    ("new",),
    ("send", "ID", "--queue", "true"),
    ("cancel", "ID"),
    ("answer", "ID", "allow"),
    ("rename", "ID", "other"),
    ("archive", "ID"),
    ("ls",),
    ("token", "show"),
    ("logins",),
)


@pytest.mark.parametrize("words", WRITING, ids=lambda words: words[0])
def test_a_command_that_may_write_warns_of_an_untrusted_file_system(
    words: tuple[str, ...], root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session = sessions.create(root, "shell")
    monkeypatch.setattr(disk, "file_system_type", lambda _: "fuse.bindfs")
    monkeypatch.setenv("BREAKGLASS_DATA", str(root))
    cli.main([session.id if word == "ID" else word for word in words])
    warning = f"breakglass: data: {root} is on fuse.bindfs: locks and appends cannot be trusted there"
    assert capsys.readouterr().err.split("\n").count(warning) == 1


def test_a_command_that_only_reads_gives_no_warning(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session = sessions.create(root, "shell")
    monkeypatch.setattr(disk, "file_system_type", lambda _: "fuse.bindfs")
    monkeypatch.setenv("BREAKGLASS_DATA", str(root))
    assert cli.main(["verify", session.id]) == 0
    assert capsys.readouterr().err == ""
