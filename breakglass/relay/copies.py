"""The copies of one host's logs, written piece by piece: `<root>/sessions/<id>/events.jsonl`. Knows no engine.

How this works
--------------
A copy needs no state besides its file: its size says what comes next. A piece that begins there is appended. One that
begins before must have the same bytes, and is skipped. One that begins later is a gap: the caller reads the log from
its beginning. A piece of the next generation moves the file to `events.jsonl.N`, and begins anew.

A file gets whole lines only. The part of a longer line waits in memory, at most `MAX_LINE` bytes.

If the disk refuses to sync, the kernel may have dropped what was written, and a second attempt may succeed without it.
So no attempt counts after the first that failed. The copies are cut to what was on disk before, and the rest is fetched
again.

A host that was taken over sends anything. So every name is checked before it is a path, and no link is followed.
"""

import contextlib
import errno
import os
import re
import threading
from enum import Enum
from pathlib import Path

from breakglass.errors import CannotRecord
from breakglass.relay.piece import BadPiece, Piece
from breakglass.store import log
from breakglass.store.sessions import ID

MAX_LINE = 64 << 20
"""The longest line that a copy takes. It is in memory until its newline is there."""
_OLD = re.compile(re.escape(log.NAME) + r"\.([1-9][0-9]{0,8})")


class Outcome(Enum):
    """What became of a piece."""

    APPENDED = "appended"
    KNOWN = "known"
    GAP = "gap"


class Copies:
    """The writer of the copies of one host. Its directory is locked by the caller."""

    def __init__(self, root: Path) -> None:
        self._sessions = root / "sessions"
        self._mode = 0o440 if root.parent.stat().st_mode & 0o040 else 0o400
        """The group reads the copies if it may read the directory of all hosts."""
        self._waiting: dict[str, bytes] = {}
        """The beginning of a line whose newline has not arrived, by session."""
        self._generations: dict[str, int] = {}
        self._repeats: dict[str, int] = {}
        """An older generation whose beginning is that of the present file: the engine was emptied, and begins anew."""
        self.changed: dict[str, int] = {}
        """The sessions whose files are not on disk yet, and how many bytes of each are."""
        self._refusal = ""
        """Why the disk refused to sync, "" if it did not. Then nothing is synced until `take_back`."""
        self._syncing = threading.Lock()

    def end(self, session: str) -> tuple[int, int]:
        """Return the generation of a copy, and the offset of the next piece."""
        if not ID.fullmatch(session):
            raise BadPiece(f"{session[:64]!r} is no name of a session")
        path = self._path(session)
        if session not in self._generations:
            self._generations[session] = generation_of(path.parent)
        try:
            size = os.stat(path, follow_symlinks=False).st_size
        except FileNotFoundError:  # a new one, or one that was removed because it is old
            size = 0
            self._generations[session] = generation_of(path.parent)
        return self._generations[session], size + len(self._waiting.get(session, b""))

    @property
    def generation(self) -> int:
        """The highest generation among the copies."""
        return max(self._generations.values(), default=1)

    def apply(self, session: str, piece: Piece) -> Outcome:
        """Write a piece where it belongs. Raises BadPiece if it does not fit, CannotRecord if the disk refuses."""
        generation, end = self.end(session)
        if piece.generation == generation + 1 and end:
            if piece.offset:
                return Outcome.GAP
            self._begin_anew(session, generation)
            generation, end = generation + 1, 0
        if piece.generation < generation and self._is_repeat(session, piece):
            generation = piece.generation
        if piece.generation > generation:
            raise BadPiece(f"generation {piece.generation} after {generation}")
        if piece.generation < generation:
            if _has(f"{self._path(session)}.{piece.generation}", piece.offset, piece.data):
                return Outcome.KNOWN
            raise BadPiece(f"a piece of generation {piece.generation} that is not in its file")
        if piece.offset > end:
            return Outcome.GAP
        both = min(len(piece.data), end - piece.offset)
        if both and not self._has_all(session, piece.offset, piece.data[:both]):
            raise BadPiece(f"other bytes at offset {piece.offset} than before")
        if both == len(piece.data):
            return Outcome.KNOWN
        self._append(session, piece.data[both:])
        return Outcome.APPENDED

    def sync(self) -> None:
        """Put all changed files on disk. Raises CannotRecord; then the caller must call `take_back`."""
        with self._syncing:
            for session in [*self.changed]:
                self._sync_one(session)

    def _sync_one(self, session: str) -> None:
        """Put a changed file on disk. The caller has the lock. Another thread may append to the file meanwhile."""
        if self._refusal:
            raise CannotRecord(self._refusal)
        size = self.changed.pop(session, None)
        if size is None:
            return
        try:
            _sync(self._path(session))
        except OSError as error:
            self.changed[session] = size
            self._refusal = f"a copy could not be synced: {error.strerror}"
            raise CannotRecord(self._refusal) from error

    def take_back(self) -> None:
        """Cut each file to what is on disk for certain. No piece may be written meanwhile."""
        for session, size in self.changed.items():
            self._waiting.pop(session, None)
            with contextlib.suppress(OSError):  # then the next start compares the copy with the stream
                fd = _open(self._path(session), self._mode)
                try:
                    os.ftruncate(fd, size)
                finally:
                    os.close(fd)
        self.changed.clear()
        self._refusal = ""

    # --- files

    def _path(self, session: str) -> Path:
        return self._sessions / session / log.NAME

    def _append(self, session: str, data: bytes) -> None:
        data = self._waiting.pop(session, b"") + data
        whole = data.rfind(b"\n") + 1
        if rest := data[whole:]:
            if len(rest) > MAX_LINE:
                raise BadPiece(f"a line of more than {MAX_LINE >> 20} MiB")
            self._waiting[session] = rest
        if whole:
            try:
                size = _write(self._path(session), data[:whole], self._mode)
            except OSError as error:
                self._waiting.pop(session, None)
                raise CannotRecord(f"a copy could not be written: {error.strerror}") from error
            self.changed.setdefault(session, size)

    def _begin_anew(self, session: str, generation: int) -> None:
        path = self._path(session)
        with self._syncing:
            self._sync_one(session)  # `sync` looks only at the file of the present generation
            try:
                os.rename(path, f"{path}.{generation}")
            except OSError as error:
                raise CannotRecord(f"a copy could not be moved: {error.strerror}") from error
        self._waiting.pop(session, None)
        self._generations[session] = generation + 1

    def _is_repeat(self, session: str, piece: Piece) -> bool:
        if piece.offset == 0 and self._has_all(session, 0, piece.data):
            self._repeats[session] = piece.generation
        return self._repeats.get(session) == piece.generation

    def _has_all(self, session: str, offset: int, data: bytes) -> bool:
        """Return whether the copy has these bytes, in its file and in what waits."""
        path, waiting = self._path(session), self._waiting.get(session, b"")
        size = path.stat().st_size if path.exists() else 0
        in_file = data[: max(0, size - offset)]
        begin = max(0, offset - size)
        in_memory = data[len(in_file) :]
        return _has(path, offset, in_file) and waiting[begin : begin + len(in_memory)] == in_memory


def generation_of(directory: Path) -> int:
    """Return the generation of a copy: one more than that of the newest file that was moved away."""
    with contextlib.suppress(FileNotFoundError):
        found = [int(match[1]) for name in os.listdir(directory) if (match := _OLD.fullmatch(name))]
        return max(found, default=0) + 1
    return 1


def _has(path: str | Path, offset: int, data: bytes) -> bool:
    if not data:
        return True
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.pread(fd, len(data), offset) == data
    finally:
        os.close(fd)


def _write(path: Path, data: bytes, mode: int) -> int:
    """Append all of the data or nothing. Return the size of the file before."""
    fd = _open(path, mode)
    try:
        size = os.fstat(fd).st_size
        written = os.write(fd, data)
        if written < len(data):
            os.ftruncate(fd, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return size
    finally:
        os.close(fd)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)


def _open(path: Path, mode: int) -> int:
    """Open a copy for appending. Only its writer may write it, and only while it does."""
    new = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL
    try:
        return os.open(path, new, mode)
    except FileNotFoundError:
        rights = 0o750 if mode & 0o040 else 0o700
        for directory in (path.parent.parent, path.parent):
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, rights)
        return os.open(path, new, mode)
    except FileExistsError:
        return _open_present(path, mode)


def _open_present(path: Path, mode: int) -> int:
    """Open a copy that exists, but no link: neither the mode nor the bytes of another file may change."""
    present = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(present, mode | 0o200)
        try:
            return os.open(f"/proc/self/fd/{present}", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        finally:
            os.fchmod(present, mode)
    finally:
        os.close(present)
