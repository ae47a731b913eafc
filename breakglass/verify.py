"""A log against the rules of docs/contract.md, section 2: what in it no honest writer can have written. Pure.

The rules are those that hold whatever died in between: ids are line numbers, keys stand in order, turns do
not overlap, and each ends once. Lines of strangers, a torn tail and a turn that runs break none; they are
told as notes.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from breakglass import events
from breakglass.events import ENDINGS, KINDS, Event

_TS = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\.[0-9]{3}Z")
_SHOWN = 60


class Finding(NamedTuple):
    """Something about one line."""

    line: int
    what: str
    is_note: bool = False
    """Whether it is only worth knowing, and no rule is broken."""


class Verifier:
    """Takes a log's lines one by one and keeps what the rules need: a turn's open ends, never the log."""

    def __init__(self) -> None:
        self.number = 0
        """Lines taken."""
        self._offset = 0
        self._shift = 0
        """By how much the ids are too high from some line on: lines are missing before it, or, below 0, stand twice."""
        self._claimed = 0
        self._turn: int | None = None
        self._questions: set[str] = set()
        self._queue: set[int] = set()
        self._shapes: set[tuple[str, ...]] = set()

    def take(self, line: bytes) -> list[Finding]:
        """Return the findings on the next line, which ends in a newline unless it is a torn tail."""
        self.number += 1
        begin, self._offset = self._offset, self._offset + len(line)
        if not line.endswith(b"\n"):
            return [self._note(f"the last {len(line)} bytes are torn; the next append mends that")]
        event = events.decode(line, self.number + self._shift)
        if event["kind"] == "foreign":
            return [self._on_foreign(line)]
        wrong = [*self._on_shape(event), *self._on_turn(event), *self._on_waiting(event)]
        if event["kind"] == "repaired" and event.get("offset") != begin:
            wrong.append(f"says it repaired byte {event.get('offset')}, but stands at byte {begin}")
        return [each if isinstance(each, Finding) else Finding(self.number, each) for each in wrong]

    def end(self) -> list[Finding]:
        """Return the findings on the whole, once every line was taken."""
        if not self.number:
            return [Finding(0, "the log is empty: a session begins with `created`")]
        return [self._note(f"turn {self._turn} has not ended")] if self._turn else []

    def _note(self, what: str) -> Finding:
        return Finding(self.number, what, is_note=True)

    def _on_foreign(self, line: bytes) -> Finding:
        claim = events.head(line)
        if claim and claim[0] != self.number + self._shift:
            before, self._claimed = self._claimed, claim[0] - self.number
            if before and before == self._claimed:  # two lines agree
                return self._on_shift(before)
            return Finding(self.number, f"claims to be line {claim[0]}")
        if claim:
            return Finding(self.number, "begins as an event and is none")
        return self._note(f"a stranger's line: {line[:_SHOWN].decode(errors='replace')!r}")

    def _on_shift(self, shift: int) -> Finding:
        """Take it that the lines from the one before on are right but for their ids: else each of them is a finding."""
        missing, self._shift = shift - self._shift, shift
        lines = f"{abs(missing):,} line{'s' * (abs(missing) != 1)}"
        what = f"{lines} missing" if missing > 0 else f"{lines} too many"
        return Finding(self.number, f"so does every line from here on: {what} before line {self.number - 1}")

    def _on_shape(self, event: Event) -> Iterator[str | Finding]:
        """Yield what is wrong with the keys; shapes once found right are known again."""
        kind, shape = event["kind"], tuple(event)
        if not _TS.fullmatch(event["ts"]):
            yield f"has no time: {event['ts'][:_SHOWN]!r}"
        if (event["id"] == 1) != (kind == "created"):
            yield "a session begins with `created`, and only there"
        if (kind, *shape) in self._shapes:
            return
        if kind not in KINDS:
            yield self._note(f"a kind that this version does not know: {kind}")
            return
        required, optional = KINDS[kind].required, KINDS[kind].optional
        right = ("id", "ts", "kind", *required, *(key for key in optional if key in event))
        if missing := [key for key in required if key not in event]:
            yield f"{kind} without {missing[0]!r}"
        elif tuple(key for key in shape if key in right) != right:
            yield f"the keys of {kind} are not in order: {', '.join(shape)}"
        elif stray := [key for key in shape if key not in right]:
            yield self._note(f"a key that this version does not know: {stray[0]!r} in {kind}")
        else:
            self._shapes.add((kind, *shape))

    def _on_turn(self, event: Event) -> Iterator[str]:
        """Yield what is wrong with the turn, and keep in mind which is open and what it has asked."""
        kind, turn = event["kind"], event.get("turn")
        if kind == "user":
            if self._turn is not None:
                yield f"a turn begins within turn {self._turn}"
            if turn != event["id"]:
                yield f"begins turn {turn}, expected {event['id']}"
            self._turn, self._questions = event["id"], set()
        elif turn is not None and turn != self._turn:
            yield f"{kind} of turn {turn}, while {'turn ' + str(self._turn) if self._turn else 'none'} is open"
        elif kind == "turn_end":
            if event.get("status") not in ENDINGS:
                yield f"a turn cannot end {event.get('status')!r}"
            self._turn = None

    def _on_waiting(self, event: Event) -> Iterator[str]:
        """Yield what is wrong with questions and queued prompts, and keep in mind which wait."""
        kind, request, queued = event["kind"], event.get("request"), event.get("queued")
        if kind == "permission":
            self._questions.add(str(request))
        elif kind == "answer":
            if str(request) not in self._questions:
                yield f"answers {request!r}, which is no open question"
            self._questions.discard(str(request))
        elif kind == "queued":
            self._queue.add(event["id"])
        elif queued is not None and kind in ("user", "withdrawn"):
            if isinstance(queued, int) and queued in self._queue:
                self._queue.remove(queued)
            else:
                yield f"takes line {queued} out of the queue, where it is not"


def findings(lines: Iterable[bytes]) -> Iterator[Finding]:
    """Yield the findings on a log's lines, in order: some 6 s for a million lines (2026-11-23)."""
    verifier = Verifier()
    for line in lines:
        yield from verifier.take(line)
    yield from verifier.end()


def history(
    lines: Iterable[bytes], received: Iterable[tuple[int, bytes]], after: int = 0
) -> Iterator[Finding]:
    """Yield where what one client received differs from the log: ids twice, left out or out of order, other data.

    `received` is what followed line `after`, in the order of its coming; it may end before the log does.
    """
    expected = after
    log = enumerate(lines, 1)
    for number, data in received:
        expected += 1
        if number != expected:
            yield Finding(number, f"received where {expected} was expected")
            return
        line = next((line for at, line in log if at == number), None)
        if line is None:
            yield Finding(number, "received, but the log has no such line")
            return
        sent = (
            line[:-1] if events.is_ours(line, number) else events.dumps(events.foreign(line, number)).encode()
        )
        if data != sent:
            yield Finding(number, f"received as {data[:_SHOWN]!r}, the log has {sent[:_SHOWN]!r}")
