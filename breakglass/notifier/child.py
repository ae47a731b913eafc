"""The child that sends to one destination. It notes each try before it is made, and its outcome."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from breakglass.config import Config
from breakglass.errors import BadConfig
from breakglass.notifier.destinations import Destination, open_service
from breakglass.notifier.send import on_leaving
from breakglass.notify.message import Message
from breakglass.store import untold
from breakglass.store.untold import Attempt

SEND_SECONDS = 30
"""How long one try may take. Then the kernel ends the child."""
BATCH_SECONDS = 20.0
"""After that time a child begins no further try. The next child sends the rest, and a newer question before it."""


class Parcel(NamedTuple):
    """A notification that is due."""

    subject: str
    """The name of the file in `notify`."""
    cause: str
    message: Message
    path: str
    """The path of the page where a user can look."""


def fork_sender(config: Config, destination: Destination, parcels: Iterable[Parcel]) -> int:
    """Send in a child. Return its pid. The caller has one thread only."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        _send_all(config, destination, parcels)
        status = 0
    finally:
        os._exit(status)


def _send_all(config: Config, destination: Destination, parcels: Iterable[Parcel]) -> None:
    root, service, error = config.data, None, ""
    try:
        service = open_service(config, destination)  # before a try begins, because it takes a second
    except BadConfig as bad:
        error = str(bad)
    except Exception as broken:  # noqa: BLE001 — a library that cannot be loaded is told as a failure
        error = f"the library that sends cannot be used: {type(broken).__name__}"
    until = time.monotonic() + BATCH_SECONDS
    for each in parcels:
        attempt = Attempt(each.cause, destination.name, time.time())
        _note(root, each.subject, attempt)
        on_leaving(partial(_note, root, each.subject, attempt._replace(is_out=True)))
        signal.alarm(SEND_SECONDS)
        failure = service.send(each.message, each.path) if service else error
        signal.alarm(0)
        _note(root, each.subject, attempt._replace(at=time.time(), sent=not failure, error=failure))
        if time.monotonic() > until:
            return


def _note(root: Path, subject: str, attempt: Attempt) -> None:
    """Note a try, or its outcome. On a full disk it is told all the same."""
    with contextlib.suppress(OSError):
        untold.note(root, subject, attempt)
