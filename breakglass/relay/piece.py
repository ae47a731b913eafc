"""Pieces: whole bytes of a log at an offset, as they travel. Pure.

How this works
--------------
A log is cut into pieces of at most `MAX_BYTES`. A piece ends at a newline, unless its line is longer. The headers of a
piece say where it belongs: the generation of the log, its offset in bytes, and how many lines are before it. `chain` is
SHA-256 over the chain of the piece before and the bytes of this one. So a piece cannot be exchanged without a trace.

A log that no longer begins with what was shipped, for example after a restore of a backup, begins a new generation.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from breakglass.errors import BadInput

MAX_BYTES = 256 << 10
"""Bytes of a piece. The engine's limit for a message must be higher, for the headers."""
START = "0" * 64
"""The chain before the first piece of a generation."""
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
_CHAIN = re.compile(r"[0-9a-f]{64}")
NUMBERS = ("Bg-Generation", "Bg-Offset", "Bg-Bytes", "Bg-Line", "Bg-Lines")
CHAINS = ("Bg-Previous", "Bg-Chain")


class BadPiece(BadInput):
    """A message is no piece, or a piece that does not fit. A host that was taken over can send anything."""


class Head(NamedTuple):
    """The end of what was shipped of a log: the headers of its last piece."""

    generation: int
    offset: int
    """Of the end of the piece, in bytes."""
    size: int
    """The bytes of the piece."""
    line: int
    """The newlines before the end of the piece."""
    previous: str
    chain: str


NOTHING = Head(1, 0, 0, 0, START, START)
"""The head of a log of which nothing was shipped."""


@dataclass(frozen=True)
class Piece:
    """Some bytes of a log."""

    generation: int
    offset: int
    line: int
    """The newlines before the piece."""
    previous: str
    data: bytes

    @cached_property
    def head(self) -> Head:
        """The head of the log after this piece. It is computed once, because hashing is most of the work."""
        end, lines = self.offset + len(self.data), self.data.count(b"\n")
        return Head(
            self.generation,
            end,
            len(self.data),
            self.line + lines,
            self.previous,
            chain(self.previous, self.data),
        )

    @property
    def headers(self) -> dict[str, str]:
        """The headers of its message."""
        head = self.head
        numbers = (self.generation, self.offset, head.size, self.line, head.line - self.line)
        return dict(zip(NUMBERS, map(str, numbers), strict=True)) | dict(
            zip(CHAINS, (self.previous, head.chain), strict=True)
        )


def chain(previous: str, data: bytes) -> str:
    """Return the chain after some bytes."""
    digest = hashlib.sha256(bytes.fromhex(previous))
    digest.update(data)  # two updates do not copy the data
    return digest.hexdigest()


def divide(head: Head, data: bytes) -> Iterator[Piece]:
    """Yield bytes that follow a head as pieces."""
    begin = 0
    while begin < len(data):
        end = begin + MAX_BYTES
        if end < len(data):
            end = data.rfind(b"\n", begin, end) + 1 or end
        piece = Piece(head.generation, head.offset, head.line, head.chain, data[begin:end])
        yield piece
        head, begin = piece.head, end


def next_generation(head: Head) -> Head:
    """Return the head from which a log is shipped anew, because it is not the log that was shipped before."""
    return NOTHING._replace(generation=head.generation + 1)


def read_head(headers: Mapping[str, str]) -> Head:
    """Return the head that the headers of a piece give. Raises BadPiece."""
    numbers = [headers.get(name, "") for name in NUMBERS]
    chains = [headers.get(name, "") for name in CHAINS]
    if not all(map(_NUMBER.fullmatch, numbers)) or not all(map(_CHAIN.fullmatch, chains)):
        raise BadPiece("the headers are not those of a piece")
    generation, offset, size, line, lines = map(int, numbers)
    if not generation or not 0 < size <= MAX_BYTES:
        raise BadPiece(f"a piece of generation {generation} with {size} bytes")
    return Head(generation, offset + size, size, line + lines, chains[0], chains[1])


def read(headers: Mapping[str, str], data: bytes) -> Piece:
    """Return a piece. Raises BadPiece if its headers do not describe its bytes."""
    head = read_head(headers)
    lines = data.count(b"\n")
    piece = Piece(head.generation, head.offset - head.size, head.line - lines, head.previous, data)
    if piece.line < 0 or piece.headers != {name: headers[name] for name in (*NUMBERS, *CHAINS)}:
        raise BadPiece("the headers of a piece do not describe its bytes")
    return piece
