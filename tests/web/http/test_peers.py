"""Who is at the other end of a Unix socket: the kernel says it, and a process of a turn is told from all others."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakglass.settings import parse_peers
from breakglass.turns.processes import MARK
from breakglass.web.http.limits import DEFAULT_LIMITS
from tests.help.raw_server import raw_server

CALL = "curl -s -o /dev/null -w %{http_code} --unix-socket socket -H X-User:ann http://localhost/api/x"
OWN = f"unix:{os.geteuid()}"


def answer(command: str, folder: Path, **environ: str) -> str:
    """Return what a shell prints that runs a command in the socket's folder."""
    words = {"PATH": os.environ["PATH"], **environ}
    return subprocess.run(
        ["sh", "-c", command], env=words, cwd=folder, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture(scope="module", params=[OWN, "unix", f"unix:{os.geteuid() + 1}"])
def socket_of(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """A listed proxy, and the folder of a socket whose server lists it."""
    folder = tmp_path_factory.mktemp("peers")
    proxies = parse_peers("proxies", [request.param])
    with raw_server(folder, DEFAULT_LIMITS, unix=folder / "socket", proxies=proxies, user_header=b"x-user"):
        yield request.param, folder


def test_a_user_header_counts_only_from_a_listed_user_outside_turns(socket_of: tuple[str, Path]) -> None:
    listed, folder = socket_of
    assert answer(CALL, folder) == ("200" if listed in (OWN, "unix") else "401")
    mark = {MARK: "session/1/2:3"}
    assert answer(CALL, folder, **mark) == "401"
    assert answer(f'env -i "PATH=$PATH" {CALL}; :', folder, **mark) == "401", "its parent has the mark"
