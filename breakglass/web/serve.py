"""The server put together: its sockets, its guard, its processes, its end.

Worker processes share the listening sockets and nothing else: they meet in the files.
"""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import cast

from breakglass.access import tokens
from breakglass.access.credentials import Access
from breakglass.config import Config
from breakglass.store import root, watch
from breakglass.turns import processes
from breakglass.web.app import create_app
from breakglass.web.guard.guard import App, Guard
from breakglass.web.guard.request import Door
from breakglass.web.http import accesslog, addresses, server
from breakglass.web.http.http1 import Settings

TOLD = frozenset({signal.SIGTERM, signal.SIGINT})
"""The signals that stop a server."""
HELD = TOLD | {signal.SIGCHLD}
"""The signals that the process which keeps workers has blocked, and asks for where nothing else is going on: a handler
could come between a fork and the note of its worker, or be inherited by a worker that has none of its own yet."""
PAUSE = 1.0
"""Seconds at least from a worker's start to that of its successor: one that dies at once would take a core by dying."""


def run(config: Config, *, workers: int = 1, announce: Callable[[str, str | None], None]) -> int:
    """Serve until told to stop, and return the exit status. Raises BadConfig, before anything is served.

    `announce` is told where the server is and its login address, None where the token is nobody's to print.
    """
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, HELD if workers > 1 else ())  # before any thread
    for warning in (*root.prepare(config.data), *addresses.doubts(config)):
        print(f"breakglass: {warning}", file=sys.stderr, flush=True)
    processes.hide()
    watch.preload(str(config.data))
    access = Access(config.data, token=config.token)
    hypercorn = server.configure(config.tls_cert, config.tls_key)
    sockets = addresses.open_sockets(config)
    port = addresses.port_of(sockets[0])
    guarded = Guarded(config, access, addresses.door(config, port), hypercorn)
    for each in sockets:
        each.listen(server.BACKLOG)  # before the address is told: whoever reads it may come at once
    token = tokens.open_token(config.data) if config.token is None else None
    announce(addresses.own_address(config, port), token and addresses.login_address(config, port, token))
    return guarded.one(sockets) if workers == 1 else _several(guarded, sockets, workers, signals)


class Guarded:
    """The application behind its guard, ready to be served by this process or by each of several."""

    def __init__(self, config: Config, access: Access, door: Door, settings: Settings) -> None:
        self._config = config
        self._access = access
        self._door = door
        self._settings = settings
        self._log = accesslog.opened(config.access_log)

    def one(self, sockets: list[socket.socket]) -> int:
        """Serve in this process until told to stop."""
        asyncio.run(self._serve(sockets))
        return 0

    async def _serve(self, sockets: list[socket.socket]) -> None:
        app = create_app(self._config, self._access)
        guard = Guard(cast(App, app), self._door, self._access, log=self._log)
        told = asyncio.Event()
        for number in TOLD:
            asyncio.get_running_loop().add_signal_handler(number, told.set)
        server.raise_descriptor_limit()
        await server.serve(
            guard,
            self._settings,
            sockets,
            stop=told.wait,
            on_stop=guard.end_streams,
            proxies=self._door.proxies,
        )


def _several(guarded: Guarded, sockets: list[socket.socket], workers: int, signals: Iterable[int]) -> int:
    """Keep so many worker processes going until told to stop, then end them.

    `HELD` is blocked here; in the workers only `signals` are.
    """
    alive: dict[int, float] = {}  # pid to when it was started
    while True:
        while len(alive) < workers:
            alive[_fork(guarded, sockets, signals)] = time.monotonic()
        if signal.sigwait(HELD) in TOLD:
            break
        pause = 0.0
        for pid, status in _ended():
            pause = max(pause, alive.pop(pid, 0.0) + PAUSE - time.monotonic())
            print(f"worker {pid} ended ({status}); starting another", file=sys.stderr, flush=True)
        if signal.sigtimedwait(TOLD, pause):
            break
    for pid in alive:  # whoever has ended is there until it is waited for
        os.kill(pid, signal.SIGTERM)
    for pid in alive:
        os.waitpid(pid, 0)
    return 0


def _ended() -> Iterator[tuple[int, int]]:
    """Yield the workers that have ended, and how."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            yield ended


def _fork(guarded: Guarded, sockets: list[socket.socket], signals: Iterable[int]) -> int:
    """Return the pid of a new worker, in which only these signals are blocked."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        for number in TOLD:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        processes.die_with_parent(parent)  # nobody would end this worker
        os._exit(guarded.one(sockets))
    finally:
        os._exit(1)
