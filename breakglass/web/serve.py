"""The server put together: its sockets, its guard, its processes, its end.

Worker processes share the listening sockets and nothing else: they meet in the files.
"""

import asyncio
import os
import signal
import socket
import sys
from typing import cast
from urllib.parse import quote

from breakglass.config import Config
from breakglass.store import root
from breakglass.web import listen, server, tokens
from breakglass.web.app import create_app
from breakglass.web.auth import Access
from breakglass.web.door import Door, sites_of
from breakglass.web.guard import App, Guard


def run(config: Config, *, workers: int = 1) -> int:
    """Serve until told to stop, and return the exit status. Raises BadConfig, before anything is served."""
    listen.refuse_exposed(config.host, tls=False, proxied=False, allow_plain=False)
    for warning in root.prepare(config.data):
        print(f"breakglass: {warning}", file=sys.stderr, flush=True)
    access = Access(config.data, token=config.token)
    sockets = listen.open_tcp(config.host, config.port)
    for each in sockets:
        each.listen(server.BACKLOG)  # before the address is printed: whoever reads it may come at once
    port = int(sockets[0].getsockname()[1])
    guarded = Guarded(config, access, port)
    print(f"Breakglass is at {guarded.address}", flush=True)
    if config.token is None:
        token = tokens.open_token(config.data)
        print(f"Log in at {guarded.address}login#{quote(token)}", flush=True)
    return guarded.one(sockets) if workers == 1 else _several(guarded, sockets, workers)


class Guarded:
    """The application behind its guard, ready to be served by this process or by each of several."""

    def __init__(self, config: Config, access: Access, port: int) -> None:
        self._config = config
        self._access = access
        self._door = Door(sites=sites_of(config.host, port))
        host = f"[{config.host}]" if ":" in config.host else config.host
        self.address = f"http://{host}:{port}/"

    def one(self, sockets: list[socket.socket]) -> int:
        """Serve in this process until told to stop."""
        asyncio.run(self._serve(sockets))
        return 0

    async def _serve(self, sockets: list[socket.socket]) -> None:
        app = create_app(self._config, self._access)
        guard = Guard(cast(App, app), self._door, self._access)
        told = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told.set)
        server.raise_descriptor_limit()
        await server.serve(guard, server.configure(), sockets, stop=told.wait, on_stop=guard.end_streams)


def _several(guarded: Guarded, sockets: list[socket.socket], workers: int) -> int:
    """Keep so many worker processes going until told to stop, then end them."""
    ending = False
    alive: set[int] = set()

    def end(*_: object) -> None:
        nonlocal ending
        ending = True
        for pid in alive:
            os.kill(pid, signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    while alive or not ending:
        while len(alive) < workers and not ending:
            alive.add(_fork(guarded, sockets))
        try:
            pid, status = os.wait()
        except ChildProcessError:
            continue
        alive.discard(pid)
        if not ending:
            print(f"worker {pid} ended ({status}); starting another", file=sys.stderr, flush=True)
    return 0


def _fork(guarded: Guarded, sockets: list[socket.socket]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os._exit(guarded.one(sockets))
    finally:
        os._exit(1)
