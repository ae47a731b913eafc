"""A program that starts a process with the pid of a dead runner, and checks that a cancel does not kill it.

Its argument is a data root. It needs root and a pid namespace of its own (`unshare --pid --fork --mount-proc`).
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from breakglass.config import Config
from breakglass.store import sessions
from breakglass.store.turnlock import read_runner
from breakglass.turns import processes
from breakglass.turns.begin import submit_prompt
from breakglass.turns.end import cancel_turn, notify_runner, wait_for_stop
from tests.help.waiting import wait_until

settings = Config(data=Path(sys.argv[1]), environ=dict(os.environ), vitals=False)
session = sessions.create(settings.data, "shell")
submit_prompt(settings, session, "sleep 1000", by="ann")
runner, started = wait_until(lambda: read_runner(session), "the runner's entry in the lock file")
os.kill(runner, signal.SIGKILL)
wait_until(lambda: not processes.stat(runner), "the runner's pid to be free")
Path("/proc/sys/kernel/ns_last_pid").write_text(str(runner - 1))  # the kernel's next pid is the runner's
other = subprocess.Popen(["sleep", "1000"], start_new_session=True)
assert other.pid == runner, (other.pid, runner)
assert processes.start_time(runner) != started
notify_runner(session)
assert cancel_turn(session, by="ann") is False
assert wait_for_stop(session).status == "lost"
assert other.poll() is None
print("the other process is alive")
other.kill()
