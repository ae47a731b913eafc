"""Compares the seals of a log with its lines. Pure."""

import hashlib
from collections.abc import Iterator, Sequence

from breakglass import events
from breakglass.seals import Seal, seal_in
from breakglass.verify.finding import Finding


class SealChecker:
    """Compares the seals of a log with its lines. It reports the first stretch of lines that differs, and no other."""

    _LAG = 16
    """Lines that may stand between a seal and its last line: other programs can append them without the lock."""
    _BATCH = 256
    """Lines that wait to be hashed together: each call costs more than the hash of a line."""
    _MARK = b'"kind":"sealed",'

    def __init__(self, witnessed: tuple[int, str] | None = None) -> None:
        """`witnessed` is a seal that was kept elsewhere: its last line, and the first digits of its SHA-256."""
        self.newest: Seal | None = None
        """The last seal that was read, whether or not it is right."""
        self._witnessed = witnessed
        self._hash = hashlib.sha256()
        self._unhashed: list[bytes] = []
        self._differs = False

    def check(self, line: bytes, number: int) -> list[Finding]:
        """Return the findings on a whole line, which may be a seal of those before it."""
        found: list[Finding] = []
        if self._MARK in line[:100] and not self._differs and (head := events.head(line)):
            # The id that the line claims: a seal that was moved still names the lines that it sealed.
            seal = seal_in(events.decode(line, head[0]), head[0])
            problem = self._compare(seal, number) if seal else self._malformed(number)
            found = [Finding(number, problem)] if problem else []
            self._differs = bool(problem)
            if seal and self._witnessed and seal.lines == self._witnessed[0]:
                found += self._compare_witnessed(seal, number)
        self.add([line])
        return found

    def add(self, lines: Sequence[bytes]) -> None:
        """Add whole lines to those that the next seal must cover."""
        self._unhashed += lines
        if len(self._unhashed) > self._BATCH:
            self._hash_first(len(self._unhashed) - self._LAG)

    def _hash_first(self, count: int) -> None:
        self._hash.update(b"".join(self._unhashed[:count]))
        del self._unhashed[:count]

    def finish(self, number: int) -> list[Finding]:
        """Return the findings after the last line, which has this number."""
        if self._witnessed and not self._differs:
            lines = self._witnessed[0]
            return [Finding(number, f"there is no seal of line {lines}: lines were cut off, or written anew")]
        return []

    def _malformed(self, number: int) -> str:
        first = self.newest.lines + 1 if self.newest else 1
        return f"has malformed values: lines {first} to {number - 1} differ from what was sealed"

    def _compare_witnessed(self, seal: Seal, number: int) -> Iterator[Finding]:
        assert self._witnessed
        lines, digits = self._witnessed
        self._witnessed = None
        if not seal.sha256.startswith(digits):
            yield Finding(number, f"lines 1 to {lines} were written anew: their seal was {digits}")

    def _compare(self, seal: Seal, number: int) -> str:
        """Return what is wrong with a seal on line `number`, "" if nothing is."""
        before, self.newest = self.newest, seal
        between = number - 1 - seal.lines
        if 0 <= between <= min(self._LAG, len(self._unhashed)):
            self._hash_first(len(self._unhashed) - between)
        digest, self._hash = self._hash.hexdigest(), hashlib.sha256(seal.sha256.encode())
        first, prev = (before.lines + 1, before.sha256) if before else (1, "")
        if (seal.first, seal.prev) != (first, prev):
            return f"does not follow the seal before it: lines {first} to {seal.lines} differ from what was sealed"
        is_right = between >= 0 and digest == seal.sha256
        return "" if is_right else f"lines {first} to {seal.lines} differ from what was sealed"
