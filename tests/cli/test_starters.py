"""What the starter of a command ignored or blocked does not reach the agent."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from breakglass.turns.processes import reset_oom_protection
from tests.cli.program import COMMAND, Data
from tests.help.servers import Server
from tests.help.starters import start_with
from tests.help.waiting import DEADLINE

BLOCKED = ("SIGTERM", "SIGUSR1", "SIGCHLD", "SIGINT")
PROTECTED = (
    "import contextlib, os, sys\n"
    "with contextlib.suppress(OSError), open('/proc/self/oom_score_adj', 'w') as file:\n"
    "    file.write(sys.argv[1])\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)
"""A program that sets its `oom_score_adj`, if it may, and then becomes another program."""
GLIBC_SIGNALS = 1 << 31 | 1 << 32
"""Signals 32 and 33, which glibc keeps for its threads. Its posix_spawn, which make uses, leaves them ignored."""
SHOW = "grep -E '^Sig(Blk|Ign)' /proc/self/status; exit 3"


def signal_sets(text: str) -> list[int]:
    """Return the sets that `SHOW` printed, without glibc's own signals: no program can change those."""
    return [
        int(found, 16) & ~GLIBC_SIGNALS
        for found in re.findall(r"Sig(?:Blk|Ign):(?:\\t|\s)+([0-9a-f]+)", text)
    ]


def send_from_starter(data: Data, ignored: str, prompt: str) -> subprocess.CompletedProcess[bytes]:
    """Run `send --wait` with the named signals ignored and some others blocked."""
    return subprocess.run(
        [*start_with(ignored=ignored.split(","), blocked=BLOCKED), *COMMAND, "send", "--wait", prompt],
        capture_output=True,
        timeout=DEADLINE,
        check=False,
        env=data.env,
        cwd=data.folder,
    )


@pytest.mark.parametrize(
    "ignored", ["SIGCHLD", "SIGINT,SIGQUIT", "SIGHUP", "SIGPIPE,SIGTERM,SIGUSR1", "SIGCHLD,SIGRTMIN"]
)
def test_an_agent_starts_with_default_signals_although_its_starter_ignored_some(
    data: Data, ignored: str
) -> None:
    data.new()
    done = send_from_starter(data, ignored, SHOW)
    assert signal_sets(done.stdout.decode()) == [0, 0], done
    assert b"exit status 3" in done.stdout + done.stderr
    assert done.returncode == 1


class StartedServer(Server):
    """A server whose starter ignores SIGCHLD."""

    prefix = start_with(ignored=["SIGCHLD"], blocked=BLOCKED)


def test_a_turn_of_a_server_that_started_with_sigchld_ignored_logs_its_exit_status(tmp_path: Path) -> None:
    server = StartedServer(tmp_path / "var")
    try:
        session = server.new_session()
        server.prompt(session, SHOW)
        assert server.wait_for_end(session) == "error"
        log = server.log(session).read_text()
    finally:
        server.kill()
    assert "exit status 3" in log
    assert signal_sets(log) == [0, 0]


@pytest.mark.parametrize(("given", "kept"), [("-900", "0"), ("-1", "0"), ("300", "300")])
def test_an_agent_does_not_inherit_protection_from_the_oom_killer(data: Data, given: str, kept: str) -> None:
    data.new()
    done = subprocess.run(
        [sys.executable, "-c", PROTECTED, given, *COMMAND, "send", "--wait", "cat /proc/self/oom_score_adj"],
        capture_output=True,
        timeout=DEADLINE,
        check=False,
        env=data.env,
        cwd=data.folder,
    )
    assert f" │ {kept}\n" in done.stdout.decode(), done


@pytest.mark.parametrize(
    ("before", "after"), [("-1000\n", "0"), ("-1\n", "0"), ("0\n", "0\n"), ("7\n", "7\n"), ("", "")]
)
def test_only_a_negative_oom_score_is_raised(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / "oom_score_adj"
    path.write_text(before)
    reset_oom_protection(str(path))
    assert path.read_text().split("\n")[0][:1] == after.split("\n")[0][:1]
    reset_oom_protection(str(tmp_path / "missing"))
