"""What else happens on a machine while processes are killed: copies are listed, logs are renamed, other users work.

Each disturbance repeats in a thread of its own until `finish`, which fails if something was wrong. None of them may
harm a turn, except that a turn ends if its log is away.
"""

import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from breakglass import verify
from breakglass.store import sessions, turnlock
from breakglass.store.sessions import Session
from breakglass.turns import processes
from tests.help.servers import Server, environment
from tests.help.session_logs import events_of
from tests.help.starters import start_with
from tests.help.waiting import DEADLINE

PAUSE_SECONDS = 1.0
"""The longest pause between two disturbances of a kind."""
AWAY_SECONDS = 2.0
"""The longest time for which a log is renamed. A runner notices it within a second."""
SIGNALS = ("SIGCHLD", "SIGHUP", "SIGINT", "SIGPIPE")
COMMAND = (sys.executable, "-m", "breakglass")


def random_starter(rng: random.Random) -> tuple[str, ...]:
    """Return a command prefix that ignores some of `SIGNALS` and blocks some."""
    ignored, blocked = (rng.sample(SIGNALS, rng.randrange(len(SIGNALS) + 1)) for _ in range(2))
    return start_with(ignored=ignored, blocked=blocked)


class ServerOfAnyStarter(Server):
    """A server that is started each time with other signals ignored and blocked."""

    def __init__(self, data: Path, rng: random.Random, *arguments: str, **env: str) -> None:
        self._rng = rng
        super().__init__(data, *arguments, **env)

    def start(self) -> None:
        self.prefix = random_starter(self._rng)
        super().start()


class Disturbance:
    """One kind of disturbance, which repeats in a thread."""

    def __init__(self, disturb: Callable[[random.Random], None], seed: float) -> None:
        self.times = 0
        self._disturb = disturb
        self._rng = random.Random(seed)
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._over.wait(self._rng.random() * PAUSE_SECONDS):
                self._disturb(self._rng)
                self.times += 1
        except BaseException as error:  # noqa: BLE001 — `finish` raises it
            self._error = error

    def finish(self) -> None:
        """Wait for the last one. Raises what went wrong."""
        self._over.set()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        if self._error:
            raise self._error


class Disturbances:
    """All kinds of disturbance. The log of the session `renamed` is away again and again."""

    def __init__(self, server: Server, folder: Path, renamed: str, seed: int) -> None:
        self._data = server.data
        self._folder = folder
        self._log = server.log(renamed)
        self._shell = Session(server.data, server.new_session(agent="shell"))
        self._others = [*self._start_others(renamed)]
        rng = random.Random(seed)
        kinds = {"copies": self._list_copy, "renames": self._rename_log, "senders": self._send}
        self._kinds = {name: Disturbance(disturb, rng.random()) for name, disturb in kinds.items()}

    def finish(self) -> dict[str, int]:
        """End all disturbances, and return how often each happened. Fails if something was wrong."""
        for each in self._kinds.values():
            each.finish()
        return {name: each.times for name, each in self._kinds.items()}

    def count_killed_others(self) -> int:
        """Return how many processes of others were killed, and end the rest."""
        killed = sum(each.poll() is not None for each in self._others)
        for each in self._others:
            each.kill()
            each.wait()
        return killed

    def _start_others(self, session: str) -> list["subprocess.Popen[bytes]"]:
        """Start processes that resemble those of a turn: they belong to a copy, to another session, or to no turn."""
        place = turnlock.place(Session(self._data, session).directory)
        other = "10000000-0000-4000-8000-000000000000"
        marks = (processes.mark(session, 2, "1:1"), processes.mark(other, 2, place), f"{session}/2", "")
        sleep = ["sleep", "100000"]
        named = [sys.executable, "-c", "import time; time.sleep(100000)", f"session={session}", "turn=2"]
        return [
            subprocess.Popen(command, env=environment(self._data, **{processes.MARK: mark}), cwd=self._data)
            for command in (sleep, named)
            for mark in marks
        ]

    def _list_copy(self, _: random.Random) -> None:
        """Copy the data root while it is written, and list the copy, which ends the copy's turns."""
        copy = self._folder / "copy"
        subprocess.run(["cp", "-a", self._data, copy], check=False, stderr=subprocess.DEVNULL)  # files vanish
        done = subprocess.run(
            [*COMMAND, "ls"], env=environment(copy), capture_output=True, check=False, timeout=DEADLINE
        )
        assert done.returncode == 0, done
        for session in sessions.ids(copy):
            path = Path(Session(copy, session).directory, "events.jsonl")
            if path.exists():  # it was not away
                with path.open("rb") as file:
                    assert [each for each in verify.findings(file) if not each.is_note] == []
        shutil.rmtree(copy)

    def _rename_log(self, rng: random.Random) -> None:
        away = self._log.with_name("away")
        os.rename(self._log, away)
        time.sleep(rng.random() * AWAY_SECONDS)  # the fault itself: how long the log is away
        assert not self._log.exists(), "a log was created in the place of the renamed one"
        os.rename(away, self._log)

    def _send(self, rng: random.Random) -> None:
        """Send a command that fails, from a starter with unusual signals: the log must say so."""
        code = rng.randrange(1, 100)
        send = [*random_starter(rng), *COMMAND, "send", "--wait", self._shell.id, f"exit {code}"]
        done = subprocess.run(
            send, env=environment(self._data), capture_output=True, check=False, timeout=DEADLINE
        )
        statuses = [event["status"] for event in events_of(self._shell) if event["kind"] == "turn_end"]
        assert (done.returncode, statuses[-1]) == (1, "error"), done
        assert re.search(rb"exit status %d\b" % code, done.stdout + done.stderr), done
