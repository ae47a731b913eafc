"""The agent's exit status is its own, and after the agent was reaped no signal is sent to its number."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from breakglass.turns.child import Child
from tests.help.log_files import open_files

# The script runs in a process of its own, because `reap` reaps every dead child of its process.
SCRIPT = """
import os, sys
from breakglass.turns.child import Child
held, gate = os.pipe()
orphan = os.fork()
if not orphan:
    os.close(gate)
    os.read(held, 1)
    os._exit(7)
wakeup, _ = os.pipe2(os.O_NONBLOCK)
child = Child(["sh", "-c", sys.argv[1]], dict(os.environ), wakeup, linger=1.0, merge_stderr=True)
os.waitid(os.P_PID, child._process.pid, os.WEXITED | os.WNOWAIT)
child.reap_orphans()
os.close(gate)  # the orphan is older than the agent and dies after it: a wait for any child finds the orphan first
os.waitid(os.P_PID, orphan, os.WEXITED | os.WNOWAIT)
while not child.has_ended():
    child.wait(0.1)
child.reap_orphans()
sent = []
os.killpg = lambda *arguments: sent.append(arguments)
child.interrupt()
print(child.code, sent)
"""


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("exit 0", 0), ("kill -9 $$", -9)])
def test_the_exit_status_of_an_orphan_is_not_taken_for_the_agents(script: str, code: int) -> None:
    printed = subprocess.check_output([sys.executable, "-c", SCRIPT, script], cwd=os.getcwd(), text=True)
    assert printed == f"{code} []\n"


@contextmanager
def running(script: str, *, linger: float = 0.2) -> Iterator[Child]:
    """Run a shell script as an agent whose standard error is apart. It is killed at the end."""
    wakeup, other = os.pipe2(os.O_NONBLOCK)
    child = Child(["sh", "-c", script], dict(os.environ), wakeup, linger=linger, merge_stderr=False)
    try:
        yield child
    finally:
        child.write(b"", ends=True)
        while not child.has_ended():
            child.wait(0.1)
        child.close()
        os.close(wakeup)
        os.close(other)


def test_a_closed_child_leaves_no_descriptor_open() -> None:
    before = open_files()
    with running("echo out; echo err >&2; cat"):
        pass
    assert open_files() == before


def test_an_agent_that_has_not_exited_has_the_status_of_one_that_could_not_be_killed() -> None:
    with running("cat") as child:
        assert child.code == -9
    assert child.code == 0


def test_output_that_is_collected_is_returned_soon_although_nothing_more_comes() -> None:
    with running("echo a; read x; echo b; cat") as child:
        began = time.monotonic()
        found = b""
        while b"a" not in found:
            found += child.wait(60.0)
        child.write(b"go\n", ends=False)
        while b"b" not in found:
            found += child.wait(60.0)
        assert time.monotonic() - began < 30.0
        assert child.printed == 4


def test_quick_output_is_collected_into_few_pieces() -> None:
    # On a busy machine the program may print so slowly that each line comes alone.
    assert any(len(pieces_of_quick_output()) < 7 for _ in range(20))


def pieces_of_quick_output() -> list[bytes]:
    with running("for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.002; done; cat") as child:
        pieces: list[bytes] = []
        while b"8" not in b"".join(pieces):
            pieces += filter(None, [child.wait(60.0)])
        child.write(b"", ends=True)
    assert b"".join(pieces) == b"1\n2\n3\n4\n5\n6\n7\n8\n"
    return pieces


def read_until(child: Child, text: bytes) -> bytes:
    output = b""
    while text not in output and not child.has_ended():
        output += child.wait(5.0) or b""
    return output


def test_an_interrupt_reaches_the_agent() -> None:
    with running("trap 'echo stopped; exit' INT; echo up; read -r line; echo not stopped") as child:
        assert read_until(child, b"up\n") == b"up\n"
        child.interrupt()
        child.write(b"\n", ends=True)  # a shell without the signal reads this line and goes on
        assert read_until(child, b"stopped\n") == b"stopped\n"


def test_input_for_an_agent_that_does_not_read_yet_delays_nothing() -> None:
    size = 1_000_000  # more than the pipes of both directions hold
    with running(f"head -c {size} /dev/zero; cat | wc -c") as child:
        child.write(b"x" * size, ends=True)
        assert read_until(child, b"\n").lstrip(b"\0") == b"%d\n" % size


def test_an_orphan_that_holds_the_output_open_delays_the_end_by_linger_only(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    began = time.monotonic()
    with running(f"(read x <{gate}; echo late) & echo up") as child:
        found = b""
        while not child.has_ended():
            found += child.wait(60.0)
        assert found == b"up\n"
        assert child.code == 0
    assert time.monotonic() - began < 30.0
    gate.write_text("go")


def test_the_end_of_standard_error_is_kept() -> None:
    with running("head -c 10000 /dev/zero | tr '\\0' x >&2; echo end >&2") as child:
        while not child.has_ended():
            child.wait(1.0)
        assert child.stderr == "x" * 4092 + "end\n"
