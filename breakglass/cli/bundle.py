"""A session as an archive: its log byte for byte, the log as HTML, its newest seal, and the SHA-256 of each file."""

import hashlib
import io
import os
import tarfile
from collections.abc import Iterable
from itertools import chain
from typing import BinaryIO, cast

from breakglass.seals import Seal
from breakglass.store.log import NAME


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
    output: BinaryIO,
    folder: str,
    log: BinaryIO,
    length: int,
    html: Iterable[str],
    seal: Seal | None,
    files: Iterable[tuple[str, bytes]],
) -> None:
    """Write the archive of a log of `length` bytes. All its files are in `folder`. Raises OSError.

    `files` are pairs of a path in the archive and its bytes; those without bytes are left out. The HTML is kept in
    memory: an archive has the size of a file before its bytes.
    """
    document = "".join(html).encode()
    proof = f"{seal.lines}:{seal.sha256}\n".encode() if seal else b""
    changed = int(os.fstat(log.fileno()).st_mtime)
    with tarfile.open(fileobj=output, mode="w|gz", format=tarfile.PAX_FORMAT) as archive:

        def add(name: str, size: int, data: BinaryIO | _HashingReader) -> None:
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mtime, member.mode = size, changed, 0o600
            archive.addfile(member, cast(BinaryIO, data))  # it calls nothing but `read`

        reader = _HashingReader(log, length)
        add(NAME, length, reader)
        sums = [(reader.digest.hexdigest(), NAME)]
        seen = {""}
        for name, data in chain((("session.html", document), ("seal", proof)), files):
            if data and name not in seen:
                seen.add(name)
                add(name, len(data), io.BytesIO(data))
                sums.append((hashlib.sha256(data).hexdigest(), name))
        listing = "".join(f"{digest}  {name}\n" for digest, name in sums).encode()
        add("SHA256SUMS", len(listing), io.BytesIO(listing))
