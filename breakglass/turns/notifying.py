"""Starts the process that sends notifications, from any process that appends. Knows no service and no secret address.

The process is started when a turn begins, and again by a server or a runner that finds it dead while something may have
to be told (store/untold.py). It depends on none of them. The runner imports this module at the start of every turn, so
it imports nothing slow.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from breakglass.agents import environ
from breakglass.errors import NotFound
from breakglass.store import log, seek, untold
from breakglass.store.log import Log
from breakglass.store.sessions import Session, list_sessions
from breakglass.turns import processes

if TYPE_CHECKING:  # at run time, the settings would delay the runner
    from breakglass.config import Config

_CODE = "from breakglass.notifier.process import main; main()"


class Sender(NamedTuple):
    """How the process is started."""

    root: str
    argv: tuple[str, ...]
    environ: dict[str, str]


def has_destinations(config: "Config") -> bool:
    """Return whether notifications go anywhere: to a `[[notify]]`, or to the browser of a login."""
    if config.notify:
        return True
    if not untold.has_subscriptions(config.data):
        return False
    from breakglass.access.subscriptions import Subscribers  # most data roots have none

    return bool(Subscribers(config.data).all())


def sender_of(config: "Config") -> Sender | None:
    """Return how the process is started, None if notifications go nowhere."""
    if not has_destinations(config):
        return None
    root = os.path.abspath(config.data)
    addresses = [each.url_env for each in config.notify if each.url_env]
    # -I: nothing in the working directory may change what it imports.
    argv = (sys.executable, "-I", "-c", _CODE, root, str(config.file or ""))
    return Sender(root, argv, environ.helper_environment(config.environ, addresses))


def mark_turn(config: "Config", session: Session, opened: Log, *, is_first: bool) -> None:
    """Note that a turn begins, if notifications go anywhere.

    Call it under the log's lock, before the prompt is appended. On a full disk the note is left out: the turn matters
    more.
    """
    if has_destinations(config):
        with contextlib.suppress(OSError):
            untold.mark(session.root, session.id, opened.end, is_first=is_first)


def mark_running_turns(root: Path) -> None:
    """Note the turns that run. They began without a note if no browser took notifications then."""
    for session, state in list_sessions(root):
        if state.turn is None:
            continue
        with contextlib.suppress(NotFound, OSError):
            fd = log.open_reader(session.directory)
            try:
                end = seek.find_end(fd, log.size(fd))
                untold.mark(root, session.id, seek.find_after(fd, state.turn - 1, end), is_first=False)
            finally:
                os.close(fd)


def start_sender(sender: Sender | None) -> int:
    """Start the process if something may have to be told and it does not run. Return its pid, else 0.

    The caller reaps it, or exits.
    """
    if sender is None:
        return 0
    root = Path(sender.root)
    if not untold.is_pending(root) or untold.is_sender_running(root):
        return 0
    null = ((os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3))
    with contextlib.suppress(OSError):
        return os.posix_spawn(
            sender.argv[0],
            sender.argv,
            sender.environ,
            file_actions=list(null),
            setsid=True,
            setsigmask=(),
            setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
        )
    return 0


def start_and_reap(sender: Sender | None) -> None:
    """Start the process as `start_sender`, and reap it when it exits, for a process that goes on."""
    import threading  # the runner does not need it

    if pid := start_sender(sender):
        # Without a free thread the dead process stays a zombie until this one ends.
        with contextlib.suppress(RuntimeError):
            threading.Thread(target=_reap, args=(pid,), name=f"reap {pid}", daemon=True).start()


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


class RunnerSender:
    """The process as the child of a runner, which kills all its descendants at the end of a turn."""

    def __init__(self, sender: Sender | None) -> None:
        self._sender = sender
        self._started = 0, 0
        """The pid of the process that this one started last, and its start time."""

    def start(self) -> None:
        """Start the process if that is needed. After the end of the last turn, it outlives the runner."""
        if pid := start_sender(self._sender):
            self._started = pid, processes.start_time(pid)

    def kill(self) -> None:
        """Kill the process that `start` started: it must not be among those that the agent left running."""
        pid, started = self._started
        if pid and processes.is_alive(pid, started):  # then it is a child that nobody has reaped
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
