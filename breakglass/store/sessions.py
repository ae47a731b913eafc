"""Sessions as directories: create one, open one safely by its id, find one, list all.

    <root>/sessions/<id>/events.jsonl     the log (log.py)
    <root>/sessions/<id>/turn.lock        the lock of the running turn (turnlock.py)
    <root>/workspaces/<id>/               the agent's working directory

This module reads no setting and no clock.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from breakglass.errors import BadInput, BreakglassError, CannotRecord, NotFound, ReadOnly
from breakglass.events import SCHEMA
from breakglass.seals import Seal
from breakglass.state import SessionState
from breakglass.store import degraded, disk, first_line, log, state_cache
from breakglass.store import root as data_root
from breakglass.store.log import Log
from breakglass.store.loglock import LogLock
from breakglass.store.seek import Position
from breakglass.store.state_cache import LogState

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
ID_CHARACTERS = frozenset("0123456789abcdef-")
_KEY = re.compile(r"[!-~]{1,200}")
MAX_TITLE = 200
"""Characters of a title."""
STATE_LOCK_TIMEOUT = 1.0
"""Seconds that a reader of a state waits for a log's lock."""
LOCK_TIMEOUT = 10.0
"""Seconds that a request waits for a log's lock. A writer holds it for microseconds, but any program may hold it."""


class Session(NamedTuple):
    """The paths of a session's files. The session may not exist: opening one of the files shows it."""

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

    def refuse_read_only(self) -> None:
        """Raise ReadOnly if the data root or this session can only be read. Call it before any change."""
        data_root.refuse_read_only(self.root)
        if reason := data_root.why_not_writable(self.directory, f"{self.directory}/{log.NAME}"):
            raise ReadOnly(f"this session is read-only: {reason}")

    def refuse_unwritable_log(self) -> None:
        """Raise ReadOnly as `refuse_read_only`, and also if nothing may be added to the log because of its first line.

        Raises NotFound, and CannotRecord if the log cannot be read.
        """
        self.refuse_read_only()
        try:
            reason = first_line.why_not_writable(self.directory)
        except PermissionError as error:
            raise ReadOnly(f"this session is read-only: {error.strerror}") from error
        except OSError as error:
            raise CannotRecord(f"the log could not be read: {error.strerror}") from error
        if reason:
            raise ReadOnly(f"the log of session {self.id[:8]} {reason}")

    def open_log(self) -> Log:
        """Return the log open for appending. Appends wait at most `LOCK_TIMEOUT` for its lock.

        Raises NotFound, ReadOnly and CannotRecord.
        """
        self.refuse_unwritable_log()
        return log.open_log(self.directory, self._known_end, LOCK_TIMEOUT)

    def _known_end(self, fd: int) -> tuple[Position, Seal | None]:
        known = self.log_state(fd)
        return known.end, known.state.seal

    def log_state(self, fd: int) -> LogState:
        """Return the state after the last line of the log, which is open as `fd`."""
        return state_cache.read_cached(self.directory, fd)

    def state(self) -> SessionState:
        """Return the session's state, with the status `degraded` if the disk failed under its log. Raises NotFound.

        A reader can see a part of a write. Between a turn's end and the turn of a waiting prompt, that would show an
        idle session. So an idle session with a queue is read again when its log is free, or after a second.
        """
        directory = self.directory
        try:
            fd = log.open_reader(directory)
        except NotFound:
            state_cache.forget(directory)
            raise
        try:
            found = self.log_state(fd).state
            # Perhaps a runner is writing `turn_end` and the next `user`.
            if found.turn is None and found.queued:
                with contextlib.suppress(CannotRecord), LogLock(fd, STATE_LOCK_TIMEOUT):
                    pass
                found = self.log_state(fd).state
        finally:
            os.close(fd)
        return _with_disk(directory, found)

    def listed_state(self) -> SessionState:
        """Return what `state` returns. Opens the log only if it has changed since this process read it."""
        directory = self.directory
        unchanged = state_cache.find_unchanged(directory)
        if not unchanged or unchanged.state.queued:
            return self.state()
        return _with_disk(directory, unchanged.state)


def _with_disk(directory: str, state: SessionState) -> SessionState:
    return state._replace(status="degraded") if degraded.is_degraded(directory) else state


def create(
    root: Path,
    agent: str,
    model: str | None = None,
    title: str = "",
    by: str = "",
    key: str | None = None,
    target: str | None = None,
    adopted: Mapping[str, object] | None = None,
    *,
    is_local: bool = False,
) -> Session:
    """Create a session and return it. Its directories and its first event are on disk then.

    The same `key` always gives the same session: an existing one is returned unchanged, and one whose creation was
    interrupted is completed. With `is_local`, it is never shipped to a hub. Raises BadInput for a bad key or a long
    title, ReadOnly, and CannotRecord if the disk refuses.
    """
    check_title(title)
    check_key(key)
    data_root.refuse_read_only(root)
    session = Session(root, _new_id() if key is None else id_from_key(key))
    try:
        data_root.create(root)
        os.makedirs(session.workspace, 0o700, exist_ok=key is not None)
        os.makedirs(session.directory, 0o700, exist_ok=key is not None)
        more = {"target": target, "adopted": adopted, "local": is_local or None}
        _begin_log(session, agent=agent, model=model, title=title, by=by, **more)
        disk.sync_directory(session.directory)
        disk.sync_directory(root / "sessions")
    except (OSError, CannotRecord) as error:
        if key is None:  # with a key, another request may have received this session as its response
            _delete_files(session)
        if isinstance(error, ReadOnly):
            raise
        reason = error.strerror if isinstance(error, OSError) else error
        if isinstance(error, OSError) and error.errno in disk.READ_ONLY:
            raise ReadOnly(f"this data root is read-only: {reason}") from error
        raise CannotRecord(f"the session could not be created: {reason}") from error
    return session


def _begin_log(session: Session, **chosen: object) -> None:
    """Append the first event, or confirm that of an earlier creation."""
    with _create_or_open_log(session) as opened, opened.exclusive():
        degraded.refuse_degraded(session.directory)
        if session.log_state(opened.fd).state.last_id:
            session.refuse_unwritable_log()
            opened.confirm()
        else:
            opened.append("created", schema=SCHEMA, host=os.uname().nodename, **chosen)


def _create_or_open_log(session: Session) -> Log:
    try:
        return log.create(session.directory)
    except FileExistsError:  # of an interrupted creation the log is empty, so `Session.open_log` refuses it
        return log.open_log(session.directory, lock_timeout=LOCK_TIMEOUT)


def _delete_files(session: Session) -> None:
    """Delete the created files of a session, as far as the disk allows it. Directories with other files stay."""
    for path, remove in (
        (f"{session.directory}/{log.NAME}", os.unlink),
        (session.directory, os.rmdir),
        (session.workspace, os.rmdir),
    ):
        with contextlib.suppress(OSError):
            remove(path)


def change(session: Session, *, title: str | None = None, archived: bool | None = None, by: str = "") -> None:
    """Record a new title, or that the session is archived or no longer archived. An unchanged value is not recorded.

    Raises NotFound, BadInput, ReadOnly and CannotRecord.
    """
    check_title(title or "")
    with session.open_log() as opened, opened.exclusive():
        state = session.log_state(opened.fd).state
        if title is not None and title != state.title:
            opened.append("renamed", title=title, by=by)
        if archived is not None and archived != state.archived:
            opened.append("archived", archived=archived, by=by)


def check_title(title: str) -> None:
    """Raise BadInput if a title is too long."""
    if len(title) > MAX_TITLE:
        raise BadInput(f"title: at most {MAX_TITLE} characters, got {len(title)}")


def check_key(key: str | None) -> None:
    """Raise BadInput if an Idempotency-Key was given that is not one to 200 visible ASCII characters."""
    if key is not None and not _KEY.fullmatch(key):
        raise BadInput("Idempotency-Key: expected 1 to 200 visible ASCII characters")


def _new_id() -> str:
    """Return a random UUID (RFC 9562, version 4). The uuid module is slow to import."""
    return _as_uuid(os.urandom(16), 4)


def id_from_key(key: str) -> str:
    """Return the session id that belongs to a key, a UUID (RFC 9562, version 8). Every process computes the same id."""
    import hashlib  # it delays every command, and most create no session

    return _as_uuid(hashlib.sha256(b"breakglass session " + key.encode()).digest()[:16], 8)


def _as_uuid(octets: bytes, version: int) -> str:
    digits = bytearray(octets)
    digits[6] = digits[6] & 0x0F | version << 4
    digits[8] = digits[8] & 0x3F | 0x80
    text = digits.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def get(root: Path, session_id: str) -> Session:
    """Return the session with this complete id. Raises NotFound for any other text."""
    session = Session(root, session_id)
    if not ID.fullmatch(session_id):
        raise NotFound(f"there is no session {session_id[:64]!r}")
    os.close(log.open_reader(session.directory))
    return session


def find(root: Path, prefix: str | None = None) -> Session:
    """Return the one session whose id begins with `prefix`. For None, return the shown session with the latest change.

    Raises NotFound if there is none. Raises BadInput if there are several, or if `prefix` is empty: a shell variable
    that is not set gives an empty prefix.
    """
    if prefix is None:
        for latest in sorted(ids(root), key=lambda id_: _modified_at(root, id_), reverse=True):
            state = _read_state(session := Session(root, latest))
            if state and state.last_id and state.is_shown:
                return session
        raise NotFound(f"there are no sessions in {root.absolute()}; make one with: breakglass new")
    return get(root, find_directory(root, prefix).id)


def find_directory(root: Path, prefix: str) -> Session:
    """Return the one session whose directory's name begins with `prefix`. It may have no log. Raises as `find`."""
    if prefix == "":
        raise BadInput("expected a session's id or the beginning of one, got an empty text")
    found = [id_ for id_ in ids(root) if id_.startswith(prefix)]
    if len(found) > 1:
        raise BadInput(f"{prefix} is the beginning of {len(found)} session ids; give more of it")
    if not found:
        # No similar id is suggested: ids are random, so a similar one is another session.
        raise NotFound(f"there is no session {prefix[:64]!r}; breakglass ls lists them")
    return Session(root, found[0])


def ids(root: Path) -> Iterator[str]:
    """Yield the ids of all sessions, in no order. Skips every other entry, and symbolic links."""
    try:
        with os.scandir(root / "sessions") as entries:
            yield from (e.name for e in entries if ID.fullmatch(e.name) and e.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return


def _modified_at(root: Path, session_id: str) -> int:
    try:
        return os.stat(f"{root}/sessions/{session_id}/{log.NAME}", follow_symlinks=False).st_mtime_ns
    except OSError:
        return 0


def list_sessions(root: Path) -> list[tuple[Session, SessionState]]:
    """Return every session with its state, the latest change first. Skips one whose creation was interrupted.

    Raises BreakglassError if they cannot be read: without free descriptors, an empty list would be wrong.
    """
    try:
        all_sessions = [Session(root, session_id) for session_id in ids(root)]
        found = [
            (session, state) for session in all_sessions if (state := _read_state(session)) and state.last_id
        ]
    except OSError as error:
        raise BreakglassError(f"the sessions could not be listed: {error.strerror}") from error
    return sorted(found, key=lambda pair: pair[1].updated, reverse=True)


def _read_state(session: Session) -> SessionState | None:
    """Return a session's state, None if it was deleted in the meantime or this process may not read it."""
    try:
        return session.listed_state()
    except NotFound:
        return None
    except OSError as error:
        if error.errno in log.EXHAUSTED:
            raise
        return None
