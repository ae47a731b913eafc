"""Verification of a log: which of its lines break a rule of docs/contract.md, section 2. Pure.

The rules hold after every crash of any process. Ids are line numbers, keys are in order, turns do not overlap, and each
turn ends once. Foreign lines, a torn last line and a running turn break no rule. They are reported as notes. A log
without seals breaks no rule either, but the lines of a seal must be those that were sealed.
"""

import hashlib
import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from breakglass import events
from breakglass.events import KINDS, SCHEMA, Event
from breakglass.seals import Seal, seal_in
from breakglass.tally import END_STATUSES
from breakglass.uploads import is_relative

_TS = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\.[0-9]{3}Z")
_SHA256 = re.compile("[0-9a-f]{64}")
_SHOWN = 60
"""Bytes or characters of a line that a finding quotes."""


class Finding(NamedTuple):
    """One broken rule or note, and the number of its line. Line 0 means the whole log."""

    line: int
    what: str
    is_note: bool = False
    """Whether no rule is broken, and the finding is for information only."""


class SealChecker:
    """Compares the seals of a log with its lines. It reports the first stretch of lines that differs, and no other."""

    _LAG = 16
    """Lines that may stand between a seal and its last line: other programs can append them without the lock."""
    _MARK = b'"kind":"sealed",'

    def __init__(self, witnessed: tuple[int, str] | None = None) -> None:
        """`witnessed` is a seal that was kept elsewhere: its last line, and the first digits of its SHA-256."""
        self.newest: Seal | None = None
        """The last seal that was read, whether or not it is right."""
        self._witnessed = witnessed
        self._hash = hashlib.sha256()
        self._unhashed: deque[bytes] = deque()
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
        self._unhashed.append(line)
        if len(self._unhashed) > self._LAG:
            self._hash.update(self._unhashed.popleft())
        return found

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
        if 0 <= between <= len(self._unhashed):
            for _ in range(len(self._unhashed) - between):
                self._hash.update(self._unhashed.popleft())
        digest, self._hash = self._hash.hexdigest(), hashlib.sha256(seal.sha256.encode())
        first, prev = (before.lines + 1, before.sha256) if before else (1, "")
        if (seal.first, seal.prev) != (first, prev):
            return f"does not follow the seal before it: lines {first} to {seal.lines} differ from what was sealed"
        is_right = between >= 0 and digest == seal.sha256
        return "" if is_right else f"lines {first} to {seal.lines} differ from what was sealed"


class Verifier:
    """Checks the lines of a log one by one. It stores only what the rules need, not the log."""

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
        self._turn: int | None = None
        self._questions: set[str] = set()
        """The open questions of the open turn."""
        self._tools: set[str] = set()
        """The calls of tools in the open turn."""
        self._is_cancelled = False
        """Whether a user stopped the open turn."""
        self._queue: set[int] = set()
        """The ids of the waiting prompts."""
        self._correct: set[tuple[str, ...]] = set()
        """Kinds with their sequences of keys that are known to be correct."""

    def check(self, line: bytes) -> list[Finding]:
        """Return the findings on the next line. A line without a newline at its end is a torn last line."""
        self.number += 1
        begin, self._offset = self._offset, self._offset + len(line)
        if not line.endswith(b"\n") and self.number == self._begin:
            return [Finding(self.number, "a session begins with `created`, and this log has no whole line")]
        if not line.endswith(b"\n"):
            return [self._note(f"the last {len(line)} bytes are torn; the next append repairs that")]
        return [*self._check_event(line, begin), *self.seals.check(line, self.number)]

    def _check_event(self, line: bytes, begin: int) -> list[Finding]:
        event = events.decode(line, self.number + self._shift)
        if event["kind"] == "foreign":
            return [self._check_foreign(line)]
        wrong = [*self._check_keys(event), *self._check_turn(event), *self._check_waiting(event)]
        wrong += [*self._check_tool(event), *_check_file(event)]
        if event["kind"] == "repaired" and event.get("offset") != begin:
            wrong.append(f"says that it repaired byte {event.get('offset')}, but is at byte {begin}")
        return [each if isinstance(each, Finding) else Finding(self.number, each) for each in wrong]

    def finish(self) -> list[Finding]:
        """Return the findings on the whole log, after its last line was checked."""
        if self.number < self._begin:
            what = "the log has no `created`" if self.number else "the log is empty"
            return [Finding(self.number, f"{what}: a session begins with `created`")]
        running = [self._note(f"turn {self._turn} has not ended")] if self._turn else []
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
                f"a session begins with `created`, got {line[:_SHOWN].decode(errors='replace')!r}",
            )
        return self._note(f"a foreign line: {line[:_SHOWN].decode(errors='replace')!r}")

    def _accept_shift(self, shift: int) -> Finding:
        """Expect shifted ids from here on. Without that, every further line would be a finding."""
        missing, self._shift = shift - self._shift, shift
        lines = f"{abs(missing):,} line{'s' * (abs(missing) != 1)}"
        what = f"{lines} missing" if missing > 0 else f"{lines} too many"
        return Finding(self.number, f"so does every line from here on: {what} before line {self.number - 1}")

    def _check_keys(self, event: Event) -> Iterator[str | Finding]:
        """Yield what is wrong with the time, the kind and the keys."""
        kind, keys = event["kind"], tuple(event)
        if not _TS.fullmatch(event["ts"]):
            yield f"has no valid time: {event['ts'][:_SHOWN]!r}"
        if kind == "repaired" and event["id"] == self._begin:
            self._begin += 1
            yield self._note("before `created`: an older version repaired a torn line of the creation")
        elif (event["id"] == self._begin) != (kind == "created"):
            yield "a session begins with `created`, and only there"
        if kind == "created" and not (type(event.get("schema")) is int and event["schema"] == SCHEMA):
            yield self._note(f"a schema that this version does not know: {str(event.get('schema'))[:_SHOWN]}")
        if (kind, *keys) in self._correct:
            return
        what, is_note = _wrong_keys(kind, keys)
        if what:
            yield Finding(self.number, what, is_note=is_note)
        else:
            self._correct.add((kind, *keys))

    def _check_turn(self, event: Event) -> Iterator[str | Finding]:
        """Yield what is wrong with the turn, and remember which turn is open."""
        kind, turn = event["kind"], event.get("turn")
        if kind == "user":
            if self._turn is not None:
                yield f"a turn begins within turn {self._turn}"
            if turn != event["id"]:
                yield f"begins turn {turn}, expected {event['id']}"
            self._turn, self._questions, self._tools = event["id"], set(), set()
            self._is_cancelled = False
        elif turn is not None and turn != self._turn:
            yield f"{kind} of turn {turn}, while {'turn ' + str(self._turn) if self._turn else 'none'} is open"
        elif kind == "turn_end":
            if event.get("status") not in END_STATUSES:
                yield f"a turn cannot end with status {event.get('status')!r}"
            elif self._is_cancelled and event.get("status") != "cancelled":
                # A note: older versions could end such a turn as `lost`, `error` or `timeout`.
                yield self._note(f"turn {turn} was stopped, but ends as {event.get('status')}")
            self._turn = None
        elif kind == "cancelled":
            self._is_cancelled = True

    def _check_tool(self, event: Event) -> Iterator[Finding]:
        """Yield a note on a result without its call, and remember the calls of the open turn."""
        tool = str(event.get("tool_id"))
        if event["kind"] == "tool":
            self._tools.add(tool)
        elif event["kind"] == "tool_result" and tool not in self._tools:
            # A note: the agent chooses the id, and a tool may go on after the turn that called it.
            yield self._note(f"the result of a tool that its turn did not call: {tool[:_SHOWN]!r}")

    def _check_waiting(self, event: Event) -> Iterator[str]:
        """Yield what is wrong with questions and queued prompts, and remember which of them wait."""
        kind, request, queued = event["kind"], event.get("request"), event.get("queued")
        if kind == "permission":
            self._questions.add(str(request))
        elif kind == "answer":
            if str(request) not in self._questions:
                yield f"answers {request!r}, which is not an open question"
            self._questions.discard(str(request))
        elif kind == "queued":
            self._queue.add(event["id"])
        elif queued is not None and kind in ("user", "steered", "withdrawn"):
            if isinstance(queued, int) and queued in self._queue:
                self._queue.remove(queued)
            else:
                yield f"removes line {queued} from the queue, which does not contain it"


def _check_file(event: Event) -> Iterator[str]:
    """Yield what is wrong with a file, or with the files of a prompt."""
    if event["kind"] == "file":
        if not is_relative(event.get("path")):
            yield f"a path that is not in the workspace: {str(event.get('path'))[:_SHOWN]!r}"
        if not _SHA256.fullmatch(str(event.get("sha256"))):
            yield f"has no valid sha256: {str(event.get('sha256'))[:_SHOWN]!r}"
        if type(event.get("bytes")) is not int or event["bytes"] <= 0:
            yield f"has no valid number of bytes: {str(event.get('bytes'))[:_SHOWN]!r}"
    elif event["kind"] in ("user", "queued") and "files" in event:
        paths = event["files"]
        if not isinstance(paths, list) or not all(map(is_relative, paths)):
            yield f"names files that are not in the workspace: {str(paths)[:_SHOWN]!r}"


def _wrong_keys(kind: str, keys: tuple[str, ...]) -> tuple[str, bool]:
    """Return what is wrong with the keys of an event, "" if nothing is, and whether that is only a note."""
    if kind not in KINDS:
        return f"a kind that this version does not know: {kind}", True
    required, optional = KINDS[kind].required, KINDS[kind].optional
    expected = ("id", "ts", "kind", *required, *(key for key in optional if key in keys))
    if missing := [key for key in required if key not in keys]:
        return f"{kind} without {missing[0]!r}", False
    if tuple(key for key in keys if key in expected) != expected:
        return f"the keys of {kind} are not in order: {', '.join(keys)}", False
    if unknown := [key for key in keys if key not in expected]:
        return f"a key that this version does not know: {unknown[0]!r} in {kind}", True
    return "", False


def findings(lines: Iterable[bytes], verifier: Verifier | None = None) -> Iterator[Finding]:
    """Yield the findings on a log, in the order of its lines. Each line ends in a newline, except a torn last line."""
    verifier = verifier or Verifier()
    for line in lines:
        yield from verifier.check(line)
    yield from verifier.finish()


def differences(
    lines: Iterable[bytes], received: Iterable[tuple[int, bytes]], after: int = 0
) -> Iterator[Finding]:
    """Yield where the events that one client received differ from the log. Stops at the first wrong id.

    An id may be repeated, left out or out of order, and the data may differ. `received` are the pairs of id and data
    after line `after`, in the order of arrival. It may end before the log does.
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
