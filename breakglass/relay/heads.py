"""Signed heads: the host signs how each of its logs begins, so that a changed copy is noticed.

A head says: the first `offset` bytes of this generation of a session's log are `lines` lines with this SHA-256. The
host signs it with the key of its credentials, whose public half the hub has. It travels in the header of each piece,
and the mirror keeps it beside the copies. It does not depend on how the log was cut into pieces.
"""

import base64
import errno
import hashlib
import json
import os
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import nacl.exceptions
import nacl.signing
import nkeys

from breakglass.errors import CannotRecord
from breakglass.relay.piece import Head, Piece
from breakglass.store import log
from breakglass.store.sessions import Session

if TYPE_CHECKING:
    from hashlib import _Hash

FILE = "heads.jsonl"
"""The signed heads of the copies of a host, in its directory on the hub."""
HEADER = "Bg-Signed"
"""The header of a piece: the SHA-256 and the signature."""
MAX_KNOWN = 20_000
"""Logs whose hash is kept in memory. The beginning of another one is read again."""
_BLOCK = 1 << 20
_SIGNED = re.compile(r"([0-9a-f]{64}) ([A-Za-z0-9+/]{86}==)")


class SignedHead(NamedTuple):
    """What a host has signed of a log."""

    session: str
    generation: int
    offset: int
    lines: int
    sha256: str
    signature: str
    """In base 64."""

    def text(self, host: str) -> bytes:
        """Return the bytes that are signed."""
        words = ("breakglass head", host, *map(str, self[:5]))
        return "\n".join(words).encode()


class HeadSigner:
    """Signs the heads of one host."""

    def __init__(self, host: str, seed: str) -> None:
        self._host = host
        self._key = nkeys.from_seed(seed.encode())
        self._known: OrderedDict[str, tuple[int, int, _Hash]] = OrderedDict()
        """The generation and the size of what is in each hash, by session."""

    def is_ready(self, session: str, head: Head) -> bool:
        """Return whether the hash of the bytes before the next piece is known."""
        return head.offset == 0 or self._known.get(session, ())[:2] == (head.generation, head.offset)

    def prepare(self, session: Session, head: Head) -> None:
        """Read a log up to its head, so that the next piece can be signed. Blocks. Raises NotFound and OSError."""
        digest = hashlib.sha256()
        fd = log.open_reader(session.directory)
        try:
            done = 0
            while done < head.offset and (data := os.pread(fd, min(_BLOCK, head.offset - done), done)):
                digest.update(data)
                done += len(data)
            self._known[session.id] = (head.generation, done, digest)
        finally:
            os.close(fd)

    def sign(self, session: str, piece: Piece) -> dict[str, str]:
        """Return the header with the signed head after a piece; empty if the hash before the piece is not known."""
        known = (piece.generation, 0, hashlib.sha256()) if piece.offset == 0 else self._known.get(session)
        if known is None or known[:2] != (piece.generation, piece.offset):
            return {}
        known[2].update(piece.data)
        end = piece.offset + len(piece.data)
        self._known[session] = (piece.generation, end, known[2])
        self._known.move_to_end(session)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        head = SignedHead(session, piece.generation, end, piece.head.line, known[2].hexdigest(), "")
        signature = base64.b64encode(self._key.sign(head.text(self._host))).decode()
        return {HEADER: f"{head.sha256} {signature}"}


def read(session: str, head: Head, headers: Mapping[str, str]) -> SignedHead | None:
    """Return the signed head in the headers of a piece, None without one. It is not verified."""
    match = _SIGNED.fullmatch(headers.get(HEADER, ""))
    return SignedHead(session, head.generation, head.offset, head.line, match[1], match[2]) if match else None


def append(path: Path, signed: Iterable[SignedHead]) -> None:
    """Append signed heads to the mirror's file, and put it on disk. Raises CannotRecord."""
    lines = "".join(json.dumps(head._asdict()) + "\n" for head in signed)
    try:
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        try:
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":  # a power failure tore the last line
                lines = f"\n{lines}"
            if os.write(fd, lines.encode()) < len(lines):  # all of it is ASCII
                os.ftruncate(fd, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fdatasync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise CannotRecord(f"a signed head could not be written: {error.strerror}") from error


def from_line(found: Any) -> SignedHead | None:
    """Return the signed head of a line of the mirror's file, None for any other line."""
    try:
        head = SignedHead(**found)
    except TypeError:
        return None
    numbers = (head.generation, head.offset, head.lines)
    is_sound = all(type(number) is int for number in numbers) and isinstance(head.session, str)
    return head if is_sound and _SIGNED.fullmatch(f"{head.sha256} {head.signature}") else None


def verifies(head: SignedHead, host: str, keys: list[str]) -> bool:
    """Return whether one of a host's public keys (nkeys) has signed a head."""
    for key in keys:
        public = base64.b32decode(key + "=" * (-len(key) % 8))[1:33]
        try:
            nacl.signing.VerifyKey(public).verify(head.text(host), base64.b64decode(head.signature))
            return True
        except nacl.exceptions.BadSignatureError:
            continue
    return False
