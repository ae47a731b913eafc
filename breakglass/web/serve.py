"""Assembles the server from the settings: credentials, sockets, the guarded application and its processes."""

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import cast

from breakglass.access import subscriptions, tokens
from breakglass.access.credentials import Access
from breakglass.config import Config
from breakglass.errors import BadInput, ReadOnly
from breakglass.store import root, watch
from breakglass.store.servers import RunningServer, registered
from breakglass.turns import processes
from breakglass.web.app import create_app
from breakglass.web.guard.guard import Guard
from breakglass.web.guard.settings import guard_settings
from breakglass.web.http import accesslog, addresses, limits, server
from breakglass.web.http.asgi import App
from breakglass.web.workers import REOPEN_SIGNAL, STOP_SIGNALS, SUPERVISOR_SIGNALS, supervise_workers


def run(config: Config, *, workers: int = 1, announce: Callable[[RunningServer], None]) -> int:
    """Serve until told to stop, and return the exit status. Raises BadConfig before it serves any request.

    In a read-only data root, raises ReadOnly without a token to read, and for a file that would be made there.

    `announce` is called when clients can connect, with the server's addresses. They are kept in the data root while
    it runs.
    """
    # Blocked before any thread starts: a thread without the block would receive the signal.
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, SUPERVISOR_SIGNALS if workers > 1 else ())
    signal.signal(REOPEN_SIGNAL, signal.SIG_IGN)  # until the server handles it: by default it ends a process
    read_only = root.prepare(config.data)
    warnings = (read_only, *addresses.proxy_warnings(config), processes.proc_message())
    for warning in filter(None, (*warnings, watch.preload(str(config.data)))):
        _warn(warning)
    if read_only:
        _refuse_writes(config, read_only, workers)
    if config.token is None:
        tokens.open_token(config.data, read_only=read_only)
    if not read_only:
        subscriptions.note_token(config.data, config.token)
    instance = Server(config)
    port = instance.port
    running = RunningServer(addresses.own_address(config, port), addresses.login_page(config, port))
    with ExitStack() as stack:
        if not read_only:
            with suppress(OSError):  # on a full disk it serves, and `breakglass login` does not find it
                stack.enter_context(registered(config.data, running))
        announce(running)
        return instance.serve() if workers == 1 else supervise_workers(instance.serve, workers, signals)


def _warn(text: str) -> None:
    print(f"breakglass: {text}", file=sys.stderr, flush=True)


def _refuse_writes(config: Config, read_only: str, workers: int) -> None:
    """Raise ReadOnly for a file that the server would make in its read-only data root, BadInput for workers."""
    data = config.data.resolve()
    for path in (config.access_log, config.socket):
        if path and path != "-" and Path(path).resolve().is_relative_to(data):
            raise ReadOnly(f"{read_only}; {path} would be made in it")
    if workers > 1:  # each would know only the logins of its own memory
        raise BadInput(f"--workers: expected 1, because {read_only}; logins are kept in the server's memory")


class Server:
    """Listening sockets with the guarded application, for this process or for each of several workers."""

    def __init__(self, config: Config) -> None:
        """Listen. Clients that connect wait until `serve` runs. Raises BadConfig."""
        self._config = config
        self._access = Access(
            config.data, token=config.token, read_only=lambda: root.read_only_message(config.data)
        )
        self._server_config = limits.configure(config.tls_cert, config.tls_key)
        self._sockets = addresses.open_sockets(config)
        self.port = addresses.port_of(self._sockets[0])
        self._guard_settings = guard_settings(config, self.port)
        self._log = accesslog.open_access_log(config.access_log, _warn)
        for each in self._sockets:
            each.listen(server.BACKLOG)  # before the address is announced: a client may connect at once

    def serve(self) -> int:
        """Serve in this process until a stop signal, and return the exit status."""
        asyncio.run(self._serve())
        return 0

    async def _serve(self) -> None:
        app = create_app(self._config, self._access)
        guard = Guard(cast(App, app), self._guard_settings, self._access, log=self._log or accesslog.drop)
        stopped = asyncio.Event()
        for number in STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        if self._log:
            asyncio.get_running_loop().add_signal_handler(REOPEN_SIGNAL, self._log.close)
        limits.raise_descriptor_limit()
        await server.serve(
            guard,
            self._server_config,
            self._sockets,
            stop=stopped.wait,
            on_stop=guard.end_streams,
            proxies=self._guard_settings.proxies,
        )
