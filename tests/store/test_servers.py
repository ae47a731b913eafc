"""The addresses of running servers: only a server that runs is believed."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from breakglass.store.servers import RunningServer, registered, running_servers

HERE = RunningServer("http://127.0.0.1:8420/", "http://127.0.0.1:8420/login")
KILLED = """
import os, sys
from pathlib import Path
from breakglass.store.servers import RunningServer, registered
with registered(Path(sys.argv[1]), RunningServer("http://127.0.0.1:1/", None)):
    os.kill(os.getpid(), 9)
"""


def test_a_server_is_found_while_it_runs_and_not_after_it(tmp_path: Path) -> None:
    assert running_servers(tmp_path) == []
    with registered(tmp_path, HERE):
        assert running_servers(tmp_path) == [HERE]
        directory = tmp_path / "servers"
        (path,) = directory.iterdir()
        assert [stat.S_IMODE(each.stat().st_mode) for each in (directory, path)] == [0o700, 0o600]
    assert running_servers(tmp_path) == []
    assert list((tmp_path / "servers").iterdir()) == []


def test_all_servers_of_a_data_root_are_found(tmp_path: Path) -> None:
    other = RunningServer("/run/breakglass/socket", None)
    with registered(tmp_path, HERE), registered(tmp_path, other):
        assert sorted(running_servers(tmp_path)) == [other, HERE]


def test_a_killed_server_is_not_believed_and_its_file_is_deleted(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    assert len(list((tmp_path / "servers").iterdir())) == 1
    with registered(tmp_path, HERE):
        assert running_servers(tmp_path) == [HERE]
    assert list((tmp_path / "servers").iterdir()) == []


def test_the_copy_of_a_data_root_has_no_running_server(tmp_path: Path) -> None:
    with registered(tmp_path, HERE):
        (path,) = (tmp_path / "servers").iterdir()
        copy = tmp_path / "copy" / "servers"
        copy.mkdir(parents=True)
        (copy / path.name).write_bytes(path.read_bytes())
        assert running_servers(tmp_path / "copy") == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"address": "x"}', '{"other": 1}'])
def test_a_damaged_file_is_not_believed(tmp_path: Path, content: str) -> None:
    with registered(tmp_path, HERE):
        (path,) = (tmp_path / "servers").iterdir()
        path.write_text(content)
        assert running_servers(tmp_path) == []


def test_the_address_of_a_server_is_not_kept_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), registered(tmp_path, HERE):
        1 // 0  # noqa: B018
    assert list((tmp_path / "servers").iterdir()) == []


def test_a_named_pipe_among_the_files_is_no_server_and_stops_nothing(tmp_path: Path) -> None:
    with registered(tmp_path, HERE):
        os.mkfifo(tmp_path / "servers" / "1-pipe.json")
        assert running_servers(tmp_path) == [HERE]
