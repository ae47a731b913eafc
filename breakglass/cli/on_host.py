"""Does a command on another host, by a signed message. Sessions are looked up in the copy of that host."""

import os
import time
from argparse import Namespace
from dataclasses import replace
from typing import Any

from breakglass.config import Config
from breakglass.errors import BreakglassError, NotFound, OutcomeUnknown
from breakglass.store import hosts, log, seek, sessions
from breakglass.store.sessions import Session
from breakglass.turns.begin import Accepted

IDENTITY = "~/.ssh/id_ed25519"
COPY_SECONDS = 30.0
"""How long the copy of a host may take to show what was done there."""


def copy_of(config: Config, host: str) -> Config:
    """Return the settings with the copy of a host as data root. There may be no copy, as on an operator's laptop."""
    return replace(config, data=config.data / hosts.DIRECTORY / hosts.check_name(host))


def find(copy: Config, ids: list[str]) -> Session:
    """Return the session that `ids` names in the copy. If the copy does not have it, the host looks it up."""
    try:
        return sessions.find(copy.data, *ids)
    except NotFound:
        if not ids:
            raise
        return Session(copy.data, ids[0])


def act(
    config: Config, args: Namespace, verb: str, session: str | None, values: dict[str, Any]
) -> dict[str, Any]:
    """Send a signed command to the host `args.on`, and return its answer. Raises as `breakglass.relay.on_host.send`."""
    from breakglass.relay import on_host
    from breakglass.relay.order import Order

    args.key = args.key or os.urandom(16).hex()
    order = Order(verb, args.on, "", session, args.key, values)
    identity = args.identity or config.relay.identity or IDENTITY
    return on_host.send(on_host.find_credentials(config.data, args.on), order, identity)


def session_in(done: dict[str, Any]) -> str:
    """Return the session in an answer. Raises OutcomeUnknown if there is none."""
    session = done.get("session")
    if not isinstance(session, str) or not sessions.ID.fullmatch(session):
        raise OutcomeUnknown("the host gave an answer without a session")
    return session


def done_in(done: dict[str, Any], number: str) -> tuple[str, int]:
    """Return the session and the number of an event in an answer. Raises OutcomeUnknown if they are none."""
    session, found = session_in(done), done.get(number)
    if type(found) is not int or found < 1:
        raise OutcomeUnknown("the host gave an answer without a number")
    return session, found


def show_done(copy: Config, session: str, accepted: Accepted) -> int:
    """Show a turn of another host in its copy, to its end. Return the exit status that says how it ended."""
    from breakglass.cli.follow import show_turn  # imported only here: asyncio delays other commands

    return show_turn(copy, _wait_for_copy(copy, session, accepted.id), accepted)


def _wait_for_copy(copy: Config, session: str, line: int) -> Session:
    """Return the copy of a session when it has a line. Raises NotFound if it does not get it."""
    if not os.path.isdir(copy.data):
        raise NotFound(f"it was done, but this machine has no copies of {copy.data.name} that could show it")
    found, deadline = Session(copy.data, session), time.monotonic() + COPY_SECONDS
    while not _has_line(found, line):
        if time.monotonic() > deadline:
            raise NotFound(
                f"it was done, but the copy does not show it yet; later: breakglass attach {session[:8]}"
            )
        time.sleep(0.02)
    return found


def _has_line(session: Session, line: int) -> bool:
    try:
        fd = log.open_reader(session.directory)
    except (BreakglassError, OSError):
        return False
    try:
        return seek.find_end(fd, log.size(fd)).number >= line
    finally:
        os.close(fd)
