"""What the starter of a command ignored or blocked does not reach the agent."""

import re
import subprocess
import sys

import pytest

from tests.cli.program import COMMAND, Data
from tests.help.waiting import DEADLINE

STARTER = (
    "import os, signal, sys\n"
    "for name in sys.argv[1].split(','):\n"
    "    signal.signal(getattr(signal, name), signal.SIG_IGN)\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD, signal.SIGINT})\n"
    "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])\n"
)
"""A program that ignores the named signals, blocks four, and then becomes `python ARGUMENTS`."""
EMPTY = "0000000000000000"
SHOW = "grep -E '^Sig(Blk|Ign)' /proc/self/status; exit 3"


def send_from_starter(data: Data, ignored: str, prompt: str) -> subprocess.CompletedProcess[bytes]:
    """Run `send --wait` below `STARTER`."""
    return subprocess.run(
        [sys.executable, "-c", STARTER, ignored, *COMMAND[1:], "send", "--wait", prompt],
        capture_output=True,
        timeout=DEADLINE,
        check=False,
        env=data.env,
        cwd=data.folder,
    )


@pytest.mark.parametrize(
    "ignored", ["SIGCHLD", "SIGINT,SIGQUIT", "SIGHUP", "SIGPIPE,SIGTERM,SIGUSR1", "SIGCHLD,SIGRTMIN"]
)
def test_an_agent_starts_with_default_signals_whatever_its_starter_ignored(data: Data, ignored: str) -> None:
    data.new()
    done = send_from_starter(data, ignored, SHOW)
    assert re.findall(r"Sig(?:Blk|Ign):\s+([0-9a-f]+)", done.stdout.decode()) == [EMPTY, EMPTY], done
    assert b"exit status 3" in done.stdout + done.stderr
    assert done.returncode == 1
