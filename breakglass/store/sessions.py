"""Sessions as directories: made, opened safely by id, listed; and the lock that says a turn is running.

    <root>/sessions/<id>/events.jsonl     the log
    <root>/sessions/<id>/turn.lock        flock()ed by the running turn
    <root>/workspaces/<id>/               the agent's working directory

Nothing here reads a setting or a clock.
"""

import contextlib
import hashlib
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from breakglass.errors import BadInput, BreakglassError, CannotRecord, NotFound
from breakglass.events import SCHEMA
from breakglass.state import SessionState
from breakglass.store import disk, log
from breakglass.store import root as store_root
from breakglass.store import state_cache as state
from breakglass.store.log import Log
from breakglass.store.state_cache import LogState

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
KEY = re.compile(r"[!-~]{1,200}")
"""An Idempotency-Key."""
MAX_TITLE = 200
PATIENCE = 10.0
"""Seconds that a person waits for a log that another process has locked: a lock is held for microseconds."""


class Session(NamedTuple):
    """Where a session's files are. That it exists is checked when one of them is opened."""

    root: Path
    id: str

    @property
    def directory(self) -> str:
        """The session's own directory."""
        return f"{self.root}/sessions/{self.id}"

    @property
    def workspace(self) -> str:
        """The agent's working directory."""
        return f"{self.root}/workspaces/{self.id}"

    def open_log(self) -> Log:
        """Return the log open for appending, for a person, who does not wait for its lock for ever. Raises NotFound."""
        return log.open_log(self.directory, lambda fd: self.log_state(fd).end, PATIENCE)

    def log_state(self, fd: int) -> LogState:
        """Return what is known of the log, which is open as `fd`."""
        return state.cached(self.directory, fd)

    def state(self) -> SessionState:
        """Return what the log adds up to, the status `degraded` where the disk failed under it. Raises NotFound."""
        try:
            fd = log.open_reader(self.directory)
        except NotFound:
            state.forget(self.directory)
            raise
        try:
            found = self.log_state(fd).state
        finally:
            os.close(fd)
        return found._replace(status="degraded") if log.is_degraded(self.directory) else found


def create(
    root: Path, agent: str, model: str | None = None, title: str = "", by: str = "", key: str | None = None
) -> Session:
    """Make a session whose first event is on disk, directories included, and return it.

    A `key` always gives the same session: one that is there already is returned as it is, one whose making was cut off
    is made to its end. Raises BadInput for a bad key or a title that is too long, CannotRecord where the disk refuses.
    """
    if len(title) > MAX_TITLE:
        raise BadInput(f"title: at most {MAX_TITLE} characters, got {len(title)}")
    if key is not None and not KEY.fullmatch(key):
        raise BadInput("Idempotency-Key: expected 1 to 200 visible ASCII characters")
    session = Session(root, _new_id() if key is None else _id_of(key))
    try:
        store_root.make(root)
        os.makedirs(session.workspace, 0o700, exist_ok=key is not None)
        os.makedirs(session.directory, 0o700, exist_ok=key is not None)
        with _log_to_begin(session) as begun, begun.exclusive():
            if not session.log_state(begun.fd).state.last_id:
                begun.append(
                    "created",
                    schema=SCHEMA,
                    agent=agent,
                    model=model,
                    title=title,
                    by=by,
                    host=socket.gethostname(),
                )
        disk.sync_names(session.directory)
        disk.sync_names(root / "sessions")
    except (OSError, CannotRecord) as error:
        if key is None:  # else it may be another's, who has been told of it
            _unmake(session)
        reason = error.strerror if isinstance(error, OSError) else error
        raise CannotRecord(f"the session could not be made: {reason}") from error
    return session


def _log_to_begin(session: Session) -> Log:
    try:
        return log.create(session.directory)
    except FileExistsError:
        return session.open_log()


def _unmake(session: Session) -> None:
    for path, remove in (
        (f"{session.directory}/{log.NAME}", os.unlink),
        (session.directory, os.rmdir),
        (session.workspace, os.rmdir),
    ):
        with contextlib.suppress(OSError):
            remove(path)


def change(session: Session, *, title: str | None = None, archived: bool | None = None, by: str = "") -> None:
    """Record a new title, or that the session is put away or taken out again. What is so already is passed over.

    Raises NotFound and BadInput.
    """
    if title is not None and len(title) > MAX_TITLE:
        raise BadInput(f"title: at most {MAX_TITLE} characters, got {len(title)}")
    with session.open_log() as opened, opened.exclusive():
        known = session.log_state(opened.fd).state
        if title is not None and title != known.title:
            opened.append("renamed", title=title, by=by)
        if archived is not None and archived != known.archived:
            opened.append("archived", archived=archived, by=by)


def _new_id() -> str:
    """Return a random UUID (RFC 9562, version 4). The uuid module costs 5 ms to import."""
    return _as_uuid(os.urandom(16), 4)


def _id_of(key: str) -> str:
    """Return the UUID (RFC 9562, version 8) of the session that a key stands for, here and in every process."""
    return _as_uuid(hashlib.sha256(b"breakglass session " + key.encode()).digest()[:16], 8)


def _as_uuid(octets: bytes, version: int) -> str:
    digits = bytearray(octets)
    digits[6] = digits[6] & 0x0F | version << 4
    digits[8] = digits[8] & 0x3F | 0x80
    text = digits.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def get(root: Path, session_id: str) -> Session:
    """Return the session of that whole id. Raises NotFound for anything that is no id of a session here."""
    session = Session(root, session_id)
    if not ID.fullmatch(session_id):
        raise NotFound(f"there is no session {session_id[:64]!r}")
    os.close(log.open_reader(session.directory))
    return session


def find(root: Path, prefix: str | None = None) -> Session:
    """Return the one session whose id begins with `prefix`; for None, the one last written to of those that lists show.

    Raises NotFound where there is none and BadInput where there are several, or `prefix` is empty: it was most
    likely a variable that is not set.
    """
    if prefix == "":
        raise BadInput("expected a session's id or the beginning of one, got an empty word")
    if prefix is None:
        for latest in sorted(ids(root), key=lambda id_: _written(root, id_), reverse=True):
            known = _readable(session := Session(root, latest))
            if known and known.is_shown:
                return session
        raise NotFound(f"there are no sessions in {root.absolute()}; make one with: breakglass new")
    found = [id_ for id_ in ids(root) if id_.startswith(prefix)]
    if len(found) > 1:
        raise BadInput(f"{prefix} is the beginning of {len(found)} session ids; give more of it")
    if not found:
        raise NotFound(f"there is no session {prefix[:64]!r}")
    return get(root, found[0])


def ids(root: Path) -> Iterator[str]:
    """Yield the ids of all sessions, in no order. What is no session is passed over, links too."""
    try:
        with os.scandir(root / "sessions") as entries:
            yield from (e.name for e in entries if ID.fullmatch(e.name) and e.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return


def _written(root: Path, session_id: str) -> int:
    try:
        return os.stat(f"{root}/sessions/{session_id}/{log.NAME}", follow_symlinks=False).st_mtime_ns
    except OSError:
        return 0


def listed(root: Path) -> list[tuple[Session, SessionState]]:
    """Return every session with its state, latest first. One whose making was cut off is none.

    Raises BreakglassError where they cannot be read: a list that is empty for want of descriptors would be a lie.
    """
    try:
        every = [Session(root, session_id) for session_id in ids(root)]
        found = [(session, known) for session in every if (known := _readable(session))]
    except OSError as error:
        raise BreakglassError(f"the sessions could not be listed: {error.strerror}") from error
    whole = [pair for pair in found if pair[1].last_id]
    return sorted(whole, key=lambda pair: pair[1].updated, reverse=True)


def _readable(session: Session) -> SessionState | None:
    """Return a session's state, None where it is gone since or not ours to read."""
    try:
        return session.state()
    except NotFound:
        return None
    except OSError as error:
        if error.errno in log.EXHAUSTED:
            raise
        return None
