"""Computes the seals of a log: hashes over its lines, each of which includes the hash before it.

How this works
--------------
A seal proves the lines after the last one of the seal before it (docs/security.md, "What a seal proves"). A writer
appends one after every turn's end, in the same write, and after `EVERY` lines without one. It is computed from the file
and not from what this writer wrote: other processes append to the same log, and a repair replaces a torn line.

* `read_to` hashes what was added, and finds the seals of other writers in it. Lines never change, so it needs no lock.
* `draft` returns the fields of the next seal. It needs the lock of the log, because no line may come between.

Rule for editors: a seal that cannot be made is left out, and the next one covers its lines. It never fails an append.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from breakglass import events
from breakglass.events import Draft
from breakglass.seals import Seal, seal_in
from breakglass.store import seek
from breakglass.store.seek import START, Position

if TYPE_CHECKING:
    import hashlib

EVERY = 1000
"""Lines without a seal after which a writer appends one."""
MAX_BYTES = 1 << 30
"""Bytes that one seal covers at most. Only a log from before there were seals can have more since its last seal."""
READ_AHEAD = 8 << 20
"""Bytes that `read_ahead` hashes at most, so that little is left to do while the log is locked."""
_MARK = b'"kind":"sealed",'
"""In a line of ours only a seal has it, because quotes inside a text are escaped."""


class Batch(NamedTuple):
    """Lines that are written together."""

    lines: list[bytes]
    ids: list[int]
    """The ids of the events, without that of the seal."""
    seal: Seal | None
    """The seal among the lines."""


def _sha256(data: bytes = b"") -> "hashlib._Hash":
    import hashlib  # it delays every command, and most only read

    return hashlib.sha256(data)


class Sealer:
    """The seals of the log that is open as `fd`."""

    def __init__(self, fd: int, newest: Seal | None = None) -> None:
        """Without the `newest` seal of the log, if it has one, the first draft reads the whole log."""
        self._newest = newest or Seal(1, 0, "", "")
        self.due_at = self._newest.lines + EVERY
        """The number of lines with which the log needs another seal, as far as is known."""
        self._fd = fd
        self._hash = _sha256()
        self._hashed: Position | None = None
        """The end of the lines in `_hash`, None before the first."""
        self._after_draft = START

    def draft(self, end: Position, more: bytes, *, ends_turn: bool) -> Seal | None:
        """Return a seal of all lines up to `end` and of `more`, the lines that are written together with the seal.

        Returns None if another writer has sealed most of them and no turn ends, if the seal would cover more than
        `MAX_BYTES`, or if the log cannot be read. The caller holds the lock of the log.
        """
        lines = end.number + more.count(b"\n")
        if not self.read_to(end) or not (ends_turn or lines >= self.due_at):
            return None
        digest = self._hash.copy()
        digest.update(more)
        self._after_draft = Position(lines, end.offset + len(more))
        return Seal(self._newest.lines + 1, lines, self._newest.sha256, digest.hexdigest())

    def accept(self, seal: Seal) -> None:
        """Take over the last draft, which is in the log now."""
        self._newest = seal
        self._start(self._after_draft)

    def read_ahead(self, end: Position) -> None:
        """Hash some of the lines up to `end`, so that `draft` has less to do while the log is locked."""
        self.read_to(end, READ_AHEAD)

    def read_to(self, end: Position, budget: int = 0) -> bool:
        """Hash the lines up to `end`, at most about `budget` bytes of them. Return whether all are hashed.

        Without a budget, reads nothing if there are more than `MAX_BYTES`.
        """
        try:
            at = self._hashed or self._start(self._find_begin(end))
            if not budget and end.offset - at.offset > MAX_BYTES:
                return False
            stop = min(at.offset + budget, end.offset) if budget else end.offset
            while at.offset < stop and (following := self._read_block(at, end)):
                at = following
        except OSError:
            self._hashed = None
            return False
        return at == end

    def _read_block(self, at: Position, end: Position) -> Position | None:
        """Hash the next lines. Return the position after them or after the lines of a newer seal, None at the end."""
        block, following = seek.read_lines(self._fd, at, end.offset)
        if seal := self._find_newer(block, at.number):
            self._newest = seal
            return self._start(self._find_begin(end))
        if len(block) == following.offset - at.offset:
            self._hash.update(block)
        else:  # a line longer than `seek.MAX_LINE`, of which `block` is the beginning
            for part in seek.read_blocks(self._fd, at.offset, following.offset):
                self._hash.update(part)
        self._hashed = following
        return following if following != at else None

    def _find_begin(self, end: Position) -> Position:
        """Return where the lines after the newest seal's lines begin."""
        return seek.find_after(self._fd, self._newest.lines, end) if self._newest.lines else START

    def _start(self, begin: Position) -> Position:
        """Begin the hash of the lines after the newest seal, which begin at `begin`. Return `begin`."""
        self.due_at = self._newest.lines + EVERY
        self._hash, self._hashed = _sha256(self._newest.sha256.encode()), begin
        return begin

    def _find_newer(self, block: bytes, before: int) -> Seal | None:
        """Return the first seal in `block` that is newer than the newest. `before` lines stand before the block.

        The id in the line does not matter: the line of a writer may stand after a foreign one that it did not expect.
        """
        at = -1
        while (at := block.find(_MARK, at + 1)) >= 0:
            begin = block.rfind(b"\n", 0, at) + 1
            line = block[begin : block.find(b"\n", at)]
            head = events.head(line)
            number = before + block.count(b"\n", 0, begin) + 1
            seal = seal_in(events.decode(line, head[0]), number) if head else None
            if seal and seal.lines > self._newest.lines:
                return seal
        return None


def encode(
    end: Position, drafts: Sequence[Draft], now: Callable[[], str], seals: Sealer | None = None
) -> Batch:
    """Return the lines of events after `end`, and with `seals` a seal: after a turn's end, or when one is due."""
    lines: list[bytes] = []
    ids: list[int] = []
    seal: Seal | None = None
    for kind, fields in drafts:
        number = end.number + len(lines) + 1
        ids.append(number)
        lines.append(
            events.encode(number, now(), kind, {**fields, "turn": number} if kind == "user" else fields)
        )
        ends_turn = kind == "turn_end"
        if seals and not seal and (ends_turn or number >= seals.due_at):
            seal = seals.draft(end, b"".join(lines), ends_turn=ends_turn)
            if seal:
                lines.append(events.encode(number + 1, now(), "sealed", seal.fields()))
    return Batch(lines, ids, seal)
