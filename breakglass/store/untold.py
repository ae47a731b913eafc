"""Which sessions may have something to tell, and what was told: files in the directory `notify` of the data root.

How this works
--------------
* A process that begins a turn calls `mark` under the log's lock, before the prompt is appended. So a session with a
  turn or an untold event has a file, no matter which process is killed when.
* The first line of the file is the position in the log before the turn. The process that sends notifications reads the
  log from there on.
* Each further line is a step of an attempt to tell something: it begins, a part of it leaves this machine, its outcome.
  The first two are written before they happen.
* The process that sends holds a lock on the file `lock`. It deletes a session's file under the log's lock.

Invariant: an event that must be told comes after the position of an existing file, until its outcome is in the log.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from breakglass.plain_file import open_plain_file
from breakglass.store.seek import Position

DIRECTORY = "notify"
LOCK = "lock"
LOGINS = "logins"
RESULTS = "results.json"
"""The latest outcome of each destination, for `breakglass doctor`."""
MAX_FILE = 1 << 20
LOCK_TRIES = 10
"""How often the lock is tried, a hundredth of a second apart: `is_sender_running` holds it for a moment."""


class Attempt(NamedTuple):
    """A line of a file: something is told now, or was."""

    cause: str
    """The key of the cause."""
    to: str
    """The destination."""
    at: float
    is_out: bool = False
    """Whether from now on the service may have it: a part of the notification leaves this machine."""
    sent: bool | None = None
    """Whether the service took it; None before that is known."""
    error: str = ""
    """Why it did not."""


class Marked(NamedTuple):
    """The content of a file."""

    begin: Position
    is_first: bool
    """Whether the session had no turn before."""
    attempts: tuple[Attempt, ...]


def mark(root: Path, name: str, begin: Position, *, is_first: bool) -> None:
    """Note that a turn begins in a session. An existing file stays as it is. Raises OSError."""
    directory = root / DIRECTORY
    directory.mkdir(0o700, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        fd = open_plain_file(directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            os.write(fd, _line({"number": begin.number, "offset": begin.offset, "first": is_first}))
        finally:
            os.close(fd)


def read(root: Path, name: str) -> Marked | None:
    """Return the content of a file, None if there is none. A file that was cut short begins at the log's beginning."""
    try:
        with open(open_plain_file(root / DIRECTORY / name, os.O_RDONLY), "rb") as file:
            lines = file.read(MAX_FILE).split(b"\n")
    except OSError:
        return None
    rows = [row for row in map(_row, lines) if row]
    head = rows[0] if rows and "number" in rows[0] else {}
    begin = Position(int(head.get("number", 0)), int(head.get("offset", 0)))
    attempts = tuple(_attempt(row) for row in rows if "cause" in row)
    return Marked(begin, bool(head.get("first", not head)), attempts)


def note(root: Path, name: str, attempt: Attempt) -> None:
    """Add an attempt or its outcome. Raises OSError, and then nothing may be told: it could be told again and again."""
    default = Attempt("", "", -1.0)._asdict()
    fd = open_plain_file(root / DIRECTORY / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        line = _line({key: value for key, value in attempt._asdict().items() if value != default[key]})
        if os.write(fd, line) != len(line):
            raise OSError("the disk is full")
    finally:
        os.close(fd)


def unmark(root: Path, name: str) -> bool:
    """Delete a file and return whether it is gone. Hold the log's lock, so that no turn begins in between."""
    with contextlib.suppress(OSError):
        (root / DIRECTORY / name).unlink(missing_ok=True)
        return True
    return False


def keep_told(root: Path, name: str) -> bool:
    """As `unmark`, and remember that the failed disk of this session was told (`is_told`)."""
    with contextlib.suppress(OSError):
        os.replace(root / DIRECTORY / name, root / DIRECTORY / f"{name}.told")
        return True
    return False


def is_told(root: Path, name: str) -> bool:
    """Return whether the failed disk of this session was told."""
    return os.path.lexists(root / DIRECTORY / f"{name}.told")


def forget_told(root: Path, name: str) -> None:
    """Undo `keep_told`, because the disk works again."""
    unmark(root, f"{name}.told")


def replace(root: Path, name: str, content: dict[str, Any]) -> None:
    """Replace a file by one line. Raises OSError."""
    (root / DIRECTORY).mkdir(0o700, exist_ok=True)
    path = root / DIRECTORY / f".{name}"
    path.unlink(missing_ok=True)
    with open(open_plain_file(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
        file.write(_line(content))
    os.replace(path, root / DIRECTORY / name)


def names(root: Path) -> list[str]:
    """Return the ids of the marked sessions."""
    try:
        return sorted(name for name in os.listdir(root / DIRECTORY) if _is_session(name))
    except OSError:
        return []


def watch_logins(root: Path) -> None:
    """From now on, tell new logins. The first call decides: earlier logins are not told. Raises OSError."""
    lines = read_logins(root)
    mark(root, LOGINS, Position(len(lines), sum(map(len, lines)) + len(lines)), is_first=False)


def read_logins(root: Path) -> list[bytes]:
    """Return the whole lines of logins.jsonl."""
    try:
        with open(open_plain_file(root / "logins.jsonl", os.O_RDONLY), "rb") as file:
            return file.read().split(b"\n")[:-1]
    except OSError:
        return []


def has_subscriptions(root: Path) -> bool:
    """Return whether a browser ever took notifications. `access.subscriptions` knows whether one does now."""
    try:
        with open(open_plain_file(root / "logins.jsonl", os.O_RDONLY), "rb") as file:
            return b'"subscribed"' in file.read()
    except OSError:
        return False


def has_new_logins(root: Path) -> bool:
    """Return whether logins.jsonl has grown since its logins were told."""
    marked = read(root, LOGINS)
    with contextlib.suppress(OSError):
        return marked is not None and os.stat(root / "logins.jsonl").st_size > marked.begin.offset
    return False


def is_pending(root: Path) -> bool:
    """Return whether there may be something to tell. Costs a few small system calls, also with thousands of files."""
    return _has_names(root) or has_new_logins(root)


def _has_names(root: Path) -> bool:
    with contextlib.suppress(OSError), os.scandir(root / DIRECTORY) as entries:
        return any(_is_session(entry.name) for entry in entries)
    return False


def _is_session(name: str) -> bool:
    return len(name) == 36


def results(root: Path) -> dict[str, Any]:
    """Return the latest outcome of each destination: `at`, `sent` and `error`, by name."""
    try:
        with open(open_plain_file(root / DIRECTORY / RESULTS, os.O_RDONLY), "rb") as file:
            return _row(file.read(MAX_FILE))
    except OSError:
        return {}


def note_result(root: Path, to: str, at: float, error: str) -> None:
    """Keep the latest outcome of a destination; "" for the process itself. `error` is "" for one that was sent."""
    with contextlib.suppress(OSError):
        replace(root, RESULTS, results(root) | {to: {"at": at, "sent": not error, "error": error}})


def is_sender_running(root: Path) -> bool:
    """Return whether a process that sends notifications runs. Microseconds; no lock is kept."""
    try:
        fd = open_plain_file(root / DIRECTORY / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


@contextlib.contextmanager
def sender_lock(root: Path) -> Iterator[int | None]:
    """Hold the lock of the process that sends, or yield None if another process holds it. Raises OSError.

    A child that inherits the descriptor holds the lock until it exits. `is_sender_running` may hold it for a moment.
    """
    (root / DIRECTORY).mkdir(0o700, exist_ok=True)
    fd = open_plain_file(root / DIRECTORY / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        yield fd if any(_take(fd) for _ in range(LOCK_TRIES)) else None
    finally:
        os.close(fd)


def _take(fd: int) -> bool:
    """Return whether the lock was taken; wait a moment if not."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.01)
        return False
    return True


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode() + b"\n"


def _row(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _attempt(row: dict[str, Any]) -> Attempt:
    return Attempt(
        str(row["cause"]),
        str(row.get("to")),
        float(row.get("at", 0)),
        bool(row.get("is_out")),
        row.get("sent"),
        str(row.get("error", "")),
    )
