"""The server: its socket, its processes, its end. Hypercorn runs in this process, or in each of several.

Worker processes share the listening socket and nothing else: they meet in the files.
"""

import asyncio
import os
import signal
import socket
import sys

from hypercorn.asyncio import serve
from hypercorn.config import Config as HypercornConfig

from breakglass.config import Config
from breakglass.errors import BadConfig
from breakglass.web.app import create_app

GRACE_SECONDS = 3.0
"""What answers under way get when the server is told to end; streams are ended at once."""


def run(config: Config, *, workers: int = 1) -> int:
    """Serve until told to stop; return the exit status. Raises BadConfig where the address cannot be had."""
    listening = _listen(config.host, config.port)
    host, port = listening.getsockname()[:2]
    print(f"Breakglass is at http://{host}:{port}/", flush=True)
    return _one(config, listening) if workers == 1 else _several(config, listening, workers)


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=1024)
    except OSError as error:
        raise BadConfig(
            f"cannot listen on {host} port {port}: {error.strerror}; choose another --port"
        ) from error


def _one(config: Config, listening: socket.socket) -> int:
    asyncio.run(_serve(config, listening))
    return 0


async def _serve(config: Config, listening: socket.socket) -> None:
    app = create_app(config)
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)

    async def stop() -> None:
        await told.wait()
        await app.extensions[
            "breakglass"
        ].close()  # attached clients would hold the server up (Hypercorn issue 308)

    settings = HypercornConfig()
    settings.bind = [f"fd://{listening.detach()}"]  # Hypercorn closes it
    settings.graceful_timeout = GRACE_SECONDS
    settings.loglevel = "WARNING"
    settings.include_server_header = False
    await serve(app, settings, shutdown_trigger=stop)


def _several(config: Config, listening: socket.socket, workers: int) -> int:
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
            alive.add(_fork(config, listening))
        try:
            pid, status = os.wait()
        except ChildProcessError:
            continue
        alive.discard(pid)
        if not ending:
            print(f"worker {pid} ended ({status}); starting another", file=sys.stderr, flush=True)
    return 0


def _fork(config: Config, listening: socket.socket) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        _one(config, listening)
        os._exit(0)
    finally:
        os._exit(1)
