"""A session as an archive: its log, byte for byte and as HTML, its files, its newest seal, and the SHA-256 of each.

`write` writes to a file, `stream` yields the archive's bytes while a thread writes them to a pipe.
"""

import hashlib
import io
import os
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import BinaryIO, cast

from breakglass import uploads
from breakglass.events import Event
from breakglass.store import log, pictures, seek, workspace
from breakglass.store.sessions import Session
from breakglass.store.state_cache import LogState

IN_MEMORY = 16 << 20
"""Bytes of HTML that are kept in memory, more in a temporary file: an archive has a size before each file."""
PIECE = 256 << 10
"""Bytes of a stream that are taken at once."""


class _HashingReader:
    """Reads a part of a file, and hashes what is read."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file = file
        self._left = length
        self.digest = hashlib.sha256()

    def read(self, length: int = -1) -> bytes:
        """Return the next bytes, at most `length`."""
        data = self._file.read(self._left if length < 0 else min(length, self._left))
        self._left -= len(data)
        self.digest.update(data)
        return data


def write(
    output: BinaryIO, name: str, fd: int, known: LogState, html: Iterable[str], session: Session | None
) -> None:
    """Write the archive of an open log as far as it is known. Raises OSError.

    `name` is the id of the session, or the name of the file. `session` is where its files are, None if there are none.
    """
    events = log.read(fd, seek.START, known.end) if session else ()
    files = chain.from_iterable(_files_of(event, session) for event in events if session)
    os.lseek(fd, 0, os.SEEK_SET)
    with os.fdopen(os.dup(fd), "rb") as file:
        _write(output, f"breakglass-{name[:8]}", file, known, html, files)


def _files_of(event: Event, session: Session) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the bytes of each file that an event names, b"" if it was changed or is missing."""
    if event["kind"] == "file" and uploads.is_upload(event.get("path")):
        yield event["path"], workspace.read_recorded(session.workspace, event)
    for path in pictures.named_in(event):
        yield path, pictures.read(session.directory, path)


def _write(
    output: BinaryIO,
    folder: str,
    log_file: BinaryIO,
    known: LogState,
    html: Iterable[str],
    files: Iterable[tuple[str, bytes]],
) -> None:
    seal = known.state.seal
    proof = f"{seal.lines}:{seal.sha256}\n".encode() if seal else b""
    changed = int(os.fstat(log_file.fileno()).st_mtime)
    with tarfile.open(fileobj=output, mode="w|gz", format=tarfile.PAX_FORMAT) as archive:

        def add(name: str, size: int, data: BinaryIO | _HashingReader) -> None:
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mtime, member.mode = size, changed, 0o600
            archive.addfile(member, cast(BinaryIO, data))  # it calls nothing but `read`

        def add_hashed(name: str, size: int, file: BinaryIO) -> None:
            reader = _HashingReader(file, size)
            add(name, size, reader)
            sums.append((reader.digest.hexdigest(), name))

        sums: list[tuple[str, str]] = []
        add_hashed(log.NAME, known.end.offset, log_file)
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as document:
            document.writelines(part.encode(errors="replace") for part in html)
            size = document.tell()
            document.seek(0)
            add_hashed("session.html", size, cast(BinaryIO, document))
        seen = {"", log.NAME, "session.html", "SHA256SUMS"}
        for name, data in chain((("seal", proof),), files):
            if data and name not in seen:
                seen.add(name)
                add_hashed(name, len(data), io.BytesIO(data))
        listing = "".join(f"{digest}  {name}\n" for digest, name in sums).encode()
        add("SHA256SUMS", len(listing), io.BytesIO(listing))


def stream(write_to: Callable[[BinaryIO], None]) -> Iterator[bytes]:
    """Yield what a function writes to a file, which a thread of its own calls. Raises what it raises, at the end.

    When the iterator is closed, the next write of the thread fails.
    """
    read, write = os.pipe()
    raised: list[BaseException] = []

    def run() -> None:
        try:
            with os.fdopen(write, "wb") as output:
                write_to(output)
        except BaseException as error:  # noqa: BLE001 - it is raised where the bytes are taken
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while piece := os.read(read, PIECE):
            yield piece
    finally:
        os.close(read)
    thread.join()
    if raised:
        raise raised[0]
