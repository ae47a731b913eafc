"""The servers that run on a data root. Each keeps its address in a file of `servers`, which it locks while it runs.

A file without a lock belongs to a server that was killed: the kernel releases the lock with the process. Such a file
is deleted and never believed. A lock on the directory makes sure that no file is seen before it is locked.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from breakglass.plain_file import open_plain_file

DIRECTORY = "servers"


class RunningServer(NamedTuple):
    """Where a server is."""

    address: str
    """The address of its socket: a URL, or the path of a Unix socket."""
    login_page: str | None
    """The URL of its login page; None if no browser can open it, because no public address is configured."""


@contextmanager
def registered(root: Path, server: RunningServer) -> Iterator[None]:
    """Keep the address while in the context. Raises OSError if it cannot be written."""
    directory = root / DIRECTORY
    directory.mkdir(0o700, exist_ok=True)
    path = directory / f"{os.getpid()}-{secrets.token_hex(4)}.json"
    with _locked(directory):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            os.write(fd, json.dumps(server._asdict()).encode() + b"\n")
        except OSError:
            _remove(path, fd)
            raise
    try:
        yield
    finally:
        _remove(path, fd)


def running_servers(root: Path) -> list[RunningServer]:
    """Return the servers that run on a data root. Delete the files of those that do not run any more."""
    directory = root / DIRECTORY
    if not directory.is_dir():
        return []
    with _locked(directory):
        return [server for path in sorted(directory.iterdir()) if (server := _server_of(path))]


def find_servers(root: Path) -> dict[int, RunningServer]:
    """Return the servers that run on a data root, by pid. Unlike `running_servers`, deletes nothing. Raises OSError."""
    directory = root / DIRECTORY
    if not directory.is_dir():
        return {}
    with _locked(directory):
        found = {path.name.partition("-")[0]: _read_locked(path) for path in sorted(directory.iterdir())}
    return {int(pid): server for pid, server in found.items() if server and pid.isascii() and pid.isdecimal()}


def _server_of(path: Path) -> RunningServer | None:
    try:
        server = _read_locked(path)
    except (OSError, ValueError, TypeError):
        return None
    if server is None:
        path.unlink(missing_ok=True)
    return server


def _read_locked(path: Path) -> RunningServer | None:
    """Return the server of a file, None if it does not run any more. Raises OSError, ValueError and TypeError."""
    with open(open_plain_file(path, os.O_RDONLY), "rb") as file:
        return RunningServer(**json.loads(file.read(4096))) if _is_locked(file.fileno()) else None


def _is_locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _remove(path: Path, fd: int) -> None:
    with suppress(OSError):
        path.unlink()
    os.close(fd)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
