"""Sends notifications to one service. Only this module imports apprise, which takes a second to import."""

import logging
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from breakglass.access.tokens import is_private
from breakglass.errors import BadConfig
from breakglass.notify import Notify, parse_url
from breakglass.notify.message import Message
from breakglass.plain_file import open_plain_file

MISSING = "apprise is not installed; do: pip install 'breakglass[notify]'"
_STATUS = re.compile(r"error=([1-5][0-9]{2})\b")
MAX_ADDRESS = 4096
MAX_PAUSE_SECONDS = 1.0
"""How long a notification waits at most after the one before to the same service. apprise pauses for 5.5 seconds."""


def find_address(notify: Notify, environ: Mapping[str, str]) -> str:
    """Return the address of a `[[notify]]`. Raises BadConfig, without the address, if it cannot be had."""
    if notify.url:
        return notify.url
    if notify.url_env:
        return parse_url(f"{notify.name}: ${notify.url_env}", environ.get(notify.url_env))
    path = Path(str(notify.url_file)).expanduser()
    try:
        with open(open_plain_file(path, os.O_RDONLY), "rb") as file:
            if not is_private(os.fstat(file.fileno())):
                raise BadConfig(f"{notify.name}: others may read {path}; do: chmod 600 {path}")
            text = file.read(MAX_ADDRESS).decode(errors="replace").strip()
    except OSError as error:
        raise BadConfig(f"{notify.name}: {path} cannot be read: {error.strerror}") from error
    return parse_url(f"{notify.name}: {path}", text)


_LEAVING = frozenset({"http.client.send", "smtplib.send", "socket.sendto", "socket.sendmsg"})
"""The audit events before bytes leave this machine. A service that uses none of them is told without this note."""
_callbacks: list[Callable[[], None]] = []


def on_leaving(call: Callable[[], None]) -> None:
    """Call `call` once, before the first byte of the next notification leaves this machine.

    A process may be killed at any time. Before that call it is certain that the service has heard nothing.
    """
    if not _callbacks:
        sys.addaudithook(_audit)  # it cannot be removed, and this process is a child that soon exits
    _callbacks[:] = [call]


def _audit(event: str, _: object) -> None:
    if event in _LEAVING and _callbacks[0] is not _nothing:
        call, _callbacks[0] = _callbacks[0], _nothing
        call()


def _nothing() -> None:
    """Do nothing: the call was made."""


class Service:
    """A service, ready to take notifications. Loading the library takes a second, and is over then."""

    def __init__(self, address: str) -> None:
        """Raise BadConfig if apprise is missing or does not know the address."""
        try:
            import apprise
        except ImportError as error:
            raise BadConfig(MISSING) from error
        self._format = apprise.NotifyFormat.TEXT
        self._statuses = _Statuses()
        log = logging.getLogger("apprise")
        log.handlers, log.propagate = [self._statuses], False  # its lines may have a part of the address
        self._apprise = apprise.Apprise(asset=apprise.AppriseAsset(app_id="Breakglass", plugin_paths=[]))
        if not self._apprise.add(address):
            raise BadConfig("apprise does not know this address, see https://appriseit.com")
        for plugin in self._apprise:
            plugin.request_rate_per_sec = min(plugin.request_rate_per_sec, MAX_PAUSE_SECONDS)

    def send(self, message: Message, path: str = "") -> str:
        """Send a notification. Return "" if the service took it, else why not, without any part of the address.

        The text has the address of the page, so `path` is not used.
        """
        self._statuses.found.clear()
        if self._apprise.notify(title=message.title, body=message.body, body_format=self._format):
            return ""
        found = self._statuses.found
        return f"HTTP {found[-1]}" if found else "it could not be reached, or did not answer in time"


class _Statuses(logging.Handler):
    """Keeps the HTTP statuses in what apprise logs, and nothing else of it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the status in a line."""
        self.found += _STATUS.findall(record.getMessage())
