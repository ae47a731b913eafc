"""Which settings file is read, and that no other user can choose it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from breakglass import settings_file as module
from breakglass.errors import BadConfig
from breakglass.load_config import load_config
from tests.help.superuser import require_superuser

MALLORY = 12345

Refuse = Callable[[Path], None]


def open_to_others(file: Path) -> None:
    file.chmod(0o666)


def of_another_user(file: Path) -> None:
    require_superuser("to change owners")
    os.chown(file, MALLORY, -1)


def in_a_directory_of_another_user(file: Path) -> None:
    of_another_user(file.parent)


WAYS = [open_to_others, of_another_user, in_a_directory_of_another_user]
"""How another user gets to change a file."""


class Places:
    """A directory for each default place, and what a program there reads."""

    def __init__(self, top: Path) -> None:
        self.data, self.home, self.system, self.here = (
            top / name for name in ("data", "home", "etc", "here")
        )
        self.own = self.home / ".config" / "breakglass"
        for directory in (self.data, self.own, self.system, self.here):
            directory.mkdir(parents=True)
        self.warnings: list[str] = []

    def write(self, directory: Path, port: int) -> Path:
        file = directory / "breakglass.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"port = {port}")
        return file

    def port(self, path: str | None = None, *, is_data_named: bool = True) -> int:
        """Return the port of the settings."""
        named = {"BREAKGLASS_DATA": str(self.data)} if is_data_named else {}
        return load_config({"HOME": str(self.home), **named}, path, warn=self.warnings.append).port


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    found = Places(tmp_path)
    monkeypatch.setattr(module, "SYSTEM_DIRECTORY", found.system)
    monkeypatch.chdir(found.here)
    return found


def test_the_first_file_that_exists_is_read_data_root_home_system_current_directory(places: Places) -> None:
    read = [places.port()]
    for port, directory in enumerate((places.here, places.system, places.own, places.data), 1):
        places.write(directory, port)
        read.append(places.port())
    assert read == [8420, 1, 2, 3, 4]
    places.write(places.here / "var", 5)
    assert (places.port(), places.port(is_data_named=False)) == (4, 5)
    assert load_config({"BREAKGLASS_DATA": "x"}, None, {"data": str(places.data)}).port == 4
    assert places.warnings == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["", "var"])
def test_a_file_that_another_user_can_change_is_ignored_in_the_current_directory(
    name: str, way: Refuse, places: Places
) -> None:
    file = places.write(places.here / name, 1)
    way(file)
    assert places.port(is_data_named=False) == 8420
    (warning,) = places.warnings
    assert warning.startswith(f"{file} is ignored: not trusted: ")
    assert str(file if way is not in_a_directory_of_another_user else file.parent) in warning


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("place", ["data", "own", "system", "named"])
def test_a_file_that_another_user_can_change_is_an_error_in_every_other_place(
    place: str, way: Refuse, places: Places
) -> None:
    file = places.write(places.here if place == "named" else getattr(places, place), 1)
    way(file)
    with pytest.raises(
        BadConfig, match=rf"^{file}: not trusted: .*{file.parent}.*; do: ch(own root|mod go-w) /"
    ):
        places.port(str(file) if place == "named" else None)
    assert places.warnings == []


def test_a_link_that_leads_nowhere_is_an_error_and_ignored_in_the_current_directory(places: Places) -> None:
    (places.here / "breakglass.toml").symlink_to("missing")
    assert places.port() == 8420
    assert "No such file" in places.warnings[0]
    (places.system / "breakglass.toml").symlink_to("missing")
    with pytest.raises(BadConfig, match=r"etc/breakglass.toml: could not be read: No such file"):
        places.port()


def test_a_very_large_file_or_an_endless_pipe_does_not_fill_the_memory(places: Places) -> None:
    file = places.write(places.system, 1)
    with file.open("a") as opened:
        opened.write("#" * (1 << 20))
    with pytest.raises(BadConfig, match=rf"^{file}: expected at most 1 MiB of TOML$"):
        places.port()


@pytest.mark.parametrize("below", ["", "ID", "ID/repository/deep"])
def test_a_file_below_the_workspaces_of_a_data_root_is_ignored(
    below: str, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspaces = places.here / "var" / "workspaces"
    directory = workspaces / below
    directory.mkdir(parents=True)
    monkeypatch.chdir(directory)
    file = places.write(directory, 1)
    assert places.port() == 1, "a directory of that name alone is not a data root"
    (places.here / "var" / "sessions").mkdir()
    assert places.port() == 8420
    assert places.warnings == [
        f"{file} is ignored: an agent may have written it, because it is below {workspaces}"
    ]


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that every user may enter."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


def test_a_command_in_a_directory_of_another_user_warns_and_goes_on(shared: Path) -> None:
    (shared / "breakglass.toml").write_text("no toml")
    of_another_user(shared)
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd(), "BREAKGLASS_DATA": str(shared / "data")}
    done = subprocess.run(
        [sys.executable, "-m", "breakglass", "agents"],
        cwd=shared,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == (
        f"breakglass: {shared}/breakglass.toml is ignored: not trusted: {shared} belongs to user {MALLORY},"
        f" not to root; do: chown root {shared}, or use another place\n"
    )


def port_as_user(uid: int, file: Path) -> str:
    """Return the port that a process of another user reads, or its error."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            os.setuid(uid)
            os.write(writer, str(load_config({}, str(file)).port).encode())
        except BadConfig as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as pipe:
        text = pipe.read()
    os.wait()
    return text


def test_a_user_reads_a_file_of_root_and_of_their_own_but_not_of_another(shared: Path) -> None:
    file = shared / "x.toml"
    file.write_text("port = 1")
    of_another_user(shared)
    seen = []
    for owner in (0, MALLORY, MALLORY + 1):
        os.chown(file, owner, -1)
        seen.append(port_as_user(MALLORY, file))
    why = f"{file} belongs to user {MALLORY + 1}, not to root or {MALLORY}"
    refused = f"{file}: not trusted: {why}; do: chown {MALLORY} {file}, or use another place"
    assert seen == ["1", "1", refused]
