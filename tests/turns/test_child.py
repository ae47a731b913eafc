"""The agent's exit status is its own, and after the agent was reaped no signal is sent to its number."""

import os
import subprocess
import sys

import pytest

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
