"""Verification of a log: which of its lines break a rule of docs/contract.md, section 2. Pure.

The rules hold after every crash of any process. Ids are line numbers, keys are in order, turns do not overlap, and each
turn ends once. Foreign lines, a torn last line and a running turn break no rule. They are reported as notes. A log
without seals breaks no rule either, but the lines of a seal must be those that were sealed.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat

from breakglass import events
from breakglass.events import Event
from breakglass.kinds import KINDS
from breakglass.verify import bulk
from breakglass.verify.finding import SHOWN, Finding, Note
from breakglass.verify.rules import RULES, Turns
from breakglass.verify.seal_checker import SealChecker

_TS = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\.[0-9]{3}Z")


class Verifier:
    """Checks the lines of a log in their order. It stores only what the rules need, not the log."""

    def __init__(self, witnessed: tuple[int, str] | None = None) -> None:
        """`witnessed` is as for `SealChecker`."""
        self.seals = SealChecker(witnessed)
        self.number = 0
        """Lines checked so far."""
        self._begin = 1
        """The line that must be `created`. Older versions could write `repaired` lines before it."""
        self._offset = 0
        self._shift = 0
        """The difference between an id and its line number. Above 0, lines are missing. Below 0, lines are repeated."""
        self._claimed_shift = 0
        """The shift that the last line with a wrong id would need."""
        self._turns = Turns()
        self._correct: set[tuple[str, ...]] = set()
        """Kinds with their sequences of keys that are known to be correct."""

    @property
    def pictures(self) -> dict[str, int]:
        """The files of pictures that the log names, each with the first line that names it."""
        return self._turns.pictures

    def check(self, lines: Sequence[bytes]) -> Iterator[Finding]:
        """Yield the findings on the next lines. A line without a newline at its end is a torn last line."""
        decoded = None if self._shift else bulk.decode_lines(lines, self.number + 1)
        first, unsealed = self.number + 1, 0
        for index, (line, event) in enumerate(zip(lines, decoded or repeat(None), strict=False)):
            begin, self._offset = self._offset, self._offset + len(line)
            if event and self._is_usual(event):
                continue
            self.number = first + index
            self.seals.add(lines[unsealed:index])
            unsealed = index + 1
            if line.endswith(b"\n"):
                yield from self._check_event(
                    event or events.decode(line, self.number + self._shift), line, begin
                )
                yield from self.seals.check(line, self.number)
            else:
                yield self._check_torn(line)
        self.number = first + len(lines) - 1
        self.seals.add(lines[unsealed:])

    def _check_torn(self, line: bytes) -> Finding:
        if self.number == self._begin:
            return Finding(self.number, "a session begins with `created`, and this log has no whole line")
        return self._note(f"the last {len(line)} bytes are torn; the next append repairs that")

    def _check_event(self, event: Event, line: bytes, begin: int) -> Iterator[Finding]:
        kind = event["kind"]
        if kind == "foreign":
            yield self._check_foreign(line)
            return
        yield from self._findings(self._check_keys(event))
        yield from self._findings(self._turns.check(event))
        if kind == "repaired" and event.get("offset") != begin:
            what = f"says that it repaired byte {event.get('offset')}, but is at byte {begin}"
            yield Finding(self.number, what)

    def _findings(self, texts: Iterable[str]) -> Iterator[Finding]:
        return (Finding(self.number, str(each), is_note=isinstance(each, Note)) for each in texts)

    def _is_usual(self, event: Event) -> bool:
        """Return whether an event certainly breaks no rule, as nearly all events. If False, the rules decide."""
        kind = event["kind"]
        return (
            kind not in RULES
            and event.get("turn") in (None, self._turns.open)
            and (kind, *event) in self._correct
            and event["id"] != self._begin
            and _TS.fullmatch(event["ts"]) is not None
        )

    def finish(self) -> list[Finding]:
        """Return the findings on the whole log, after its last line was checked."""
        if self.number < self._begin:
            what = "the log has no `created`" if self.number else "the log is empty"
            return [Finding(self.number, f"{what}: a session begins with `created`")]
        running = [self._note(f"turn {self._turns.open} has not ended")] if self._turns.open else []
        return running + self.seals.finish(self.number)

    def _note(self, what: str) -> Finding:
        return Finding(self.number, what, is_note=True)

    def _check_foreign(self, line: bytes) -> Finding:
        claim = events.head(line)
        if claim and claim[0] != self.number + self._shift:
            before, self._claimed_shift = self._claimed_shift, claim[0] - self.number
            if before and before == self._claimed_shift:  # two wrong ids agree
                return self._accept_shift(before)
            return Finding(self.number, f"claims to be line {claim[0]}")
        if claim:
            return Finding(self.number, "begins like an event but is not one")
        if self.number == self._begin:
            return Finding(
                self.number,
                f"a session begins with `created`, got {line[:SHOWN].decode(errors='replace')!r}",
            )
        return self._note(f"a foreign line: {line[:SHOWN].decode(errors='replace')!r}")

    def _accept_shift(self, shift: int) -> Finding:
        """Expect shifted ids from here on. Without that, every further line would be a finding."""
        missing, self._shift = shift - self._shift, shift
        lines = f"{abs(missing):,} line{'s' * (abs(missing) != 1)}"
        what = f"{lines} missing" if missing > 0 else f"{lines} too many"
        return Finding(self.number, f"so does every line from here on: {what} before line {self.number - 1}")

    def _check_keys(self, event: Event) -> Iterator[str]:
        """Yield what is wrong with the time, the kind and the keys."""
        kind, keys = event["kind"], tuple(event)
        if not _TS.fullmatch(event["ts"]):
            yield f"has no valid time: {event['ts'][:SHOWN]!r}"
        if kind == "repaired" and event["id"] == self._begin:
            self._begin += 1
            yield Note("before `created`: an older version repaired a torn line of the creation")
        elif (event["id"] == self._begin) != (kind == "created"):
            yield "a session begins with `created`, and only there"
        if (kind, *keys) in self._correct:
            return
        if what := _wrong_keys(kind, keys):
            yield what
        else:
            self._correct.add((kind, *keys))


def _wrong_keys(kind: str, keys: tuple[str, ...]) -> str:
    """Return what is wrong with the keys of an event, "" if nothing is."""
    if kind not in KINDS:
        return Note(f"a kind that this version does not know: {kind}")
    required, optional = KINDS[kind].required, KINDS[kind].optional
    expected = ("id", "ts", "kind", *required, *(key for key in optional if key in keys))
    if missing := [key for key in required if key not in keys]:
        return f"{kind} without {missing[0]!r}"
    if tuple(key for key in keys if key in expected) != expected:
        return f"the keys of {kind} are not in order: {', '.join(keys)}"
    if unknown := [key for key in keys if key not in expected]:
        return Note(f"a key that this version does not know: {unknown[0]!r} in {kind}")
    return ""


def findings(lines: Iterable[bytes], verifier: Verifier | None = None) -> Iterator[Finding]:
    """Yield the findings on a log, in the order of its lines. Each line ends in a newline, except a torn last line."""
    return findings_in_batches([[*lines]], verifier or Verifier())


def findings_in_batches(batches: Iterable[Sequence[bytes]], verifier: Verifier) -> Iterator[Finding]:
    """Yield what `findings` yields, without all lines in memory: each batch is some of them."""
    for lines in batches:
        yield from verifier.check(lines)
    yield from verifier.finish()
