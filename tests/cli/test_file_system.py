"""Every command warns of a file system whose locks and appends cannot be trusted."""

from pathlib import Path

import pytest

from breakglass import cli
from breakglass.cli import commands
from breakglass.store import disk, sessions

WORDS = {
    "answer": ("ID", "allow"),
    "cancel": ("ID",),
    "export": ("ID",),
    "grep": ("word",),
    "log": ("ID",),
    "logins": (),
    "ls": (),
    "new": (),
    "rename": ("ID", "other"),
    "send": ("ID", "--queue", "true"),
    "stats": (),
    "token": ("show",),
    "verify": ("--all",),
}
"""Commands that write, commands that only read, and commands that make a file of the data root."""


@pytest.fixture(autouse=True)
def on_fuse(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "file_system_type", lambda _: "fuse.bindfs")
    monkeypatch.setenv("BREAKGLASS_DATA", str(root))


@pytest.mark.parametrize("name", WORDS)
def test_each_command_warns_once_of_an_untrusted_file_system(
    name: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = sessions.create(root, "shell")
    cli.main([name, *(session.id if word == "ID" else word for word in WORDS[name])])
    warning = f"breakglass: data: {root} is on fuse.bindfs: locks and appends cannot be trusted there"
    assert capsys.readouterr().err.split("\n").count(warning) == 1


def test_the_warning_changes_neither_output_nor_status(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = sessions.create(root, "shell")
    assert cli.main(["verify", session.id]) == 0
    assert capsys.readouterr().out == f"{session.directory}/events.jsonl: ok, 1 lines\n"


def test_only_completion_gives_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert "completion" in commands.NAMES
    assert cli.main(["completion", "bash"]) == 0
    assert capsys.readouterr().err == ""


def test_a_copy_of_another_host_gives_no_warning(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "hosts" / "db1" / "sessions").mkdir(parents=True)
    assert cli.main(["ls", "--host", "db1"]) == 0
    assert "cannot be trusted" not in capsys.readouterr().err
