"""A session's state, read from its log without decoding all of it.

Only the kinds in `events.FOLDED` change a state, and a bytes search finds them at the speed of the disk:
290 MB in 0.2 s where decoding takes 4 s (2026-11-23). Because a log is only appended to, a state once
known stays true for its part of the file and is folded on from there.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from breakglass import events
from breakglass.events import State
from breakglass.store import log, seek
from breakglass.store.seek import Position

_FOLDED = re.compile(
    rb'\n\{"id":([1-9][0-9]{0,18}),"ts":"[^"\\]{1,40}","kind":"(?:%s)"'
    % "|".join(sorted(events.FOLDED)).encode()
)


class Known(NamedTuple):
    """What is known of a log: the state after all lines before `end`."""

    state: State = State()
    end: Position = seek.START


def read_state(fd: int, known: Known = Known()) -> Known:  # noqa: B008 — a constant
    """Return what is known after the last whole line of the log, going on from `known`."""
    state, position = known
    size = log.size(fd)
    while (found := seek.lines(fd, position, size))[0]:
        block, following = found
        for number, line in _folded(block, position.number):
            state = events.fold(state, events.decode(line, number))
        updated = _last_time(block, following.number) or state.updated
        state, position = state._replace(last_id=following.number, updated=updated), following
    return Known(state, position)


def _folded(block: bytes, number: int) -> Iterator[tuple[int, bytes]]:
    """Yield those lines of `block` that a state depends on, each with its number; line `number` precedes it."""
    block = b"\n" + block  # a literal at the pattern's front is searched for 10 times faster than ^
    counted = 1
    for match in _FOLDED.finditer(block):
        begin = match.start() + 1
        number += block.count(b"\n", counted, begin)
        counted = begin
        if int(match[1]) == number + 1:
            yield number + 1, block[begin : block.find(b"\n", begin)]


def _last_time(block: bytes, number: int) -> str:
    """Return the time of the last event in `block`, whose last line is line `number`; "" where none is ours."""
    stop = len(block)
    while stop:
        begin = block.rfind(b"\n", 0, stop - 1) + 1
        event = events.decode(block[begin:stop], number)
        if event["kind"] != "foreign":
            return str(event["ts"])
        stop, number = begin, number - 1
    return ""


def find_key(fd: int, key: str) -> int | None:
    """Return the id of the `user` or `queued` event that has this Idempotency-Key, None where none has."""
    wanted = b',"key":' + events.dumps(key).encode()
    position, size = seek.START, log.size(fd)
    while (found := seek.lines(fd, position, size))[0]:
        block, following = found
        at = block.find(wanted)
        while at >= 0:
            begin = block.rfind(b"\n", 0, at) + 1
            number = position.number + block.count(b"\n", 0, begin) + 1
            event = events.decode(block[begin : block.find(b"\n", at)], number)
            if event["kind"] in ("user", "queued") and event.get("key") == key:
                return number
            at = block.find(wanted, at + 1)
        position = following
    return None


def describe(session_id: str, state: State) -> dict[str, Any]:
    """Return the contract's session object. A turn that was lost must have been ended before."""
    return {
        "id": session_id,
        "title": state.title,
        "agent": state.agent,
        "model": state.model,
        "created": state.created,
        "updated": state.updated,
        "last_event_id": state.last_id,
        "turn_active": state.turn is not None,
        "status": state.status,
        "asking": bool(state.asking),
        "queued": len(state.queued),
    }


class Question(NamedTuple):
    """A question of an agent's, and what became of it."""

    turn: int
    closed: str = ""
    """`answered`, `expired` or `withdrawn`; "" while it waits for an answer."""


def find_question(fd: int, request: str) -> Question | None:
    """Return the question of that name in the turn that runs or ran last, None where there is none."""
    end = seek.last(fd, log.size(fd))
    turn = read_state(fd).state.last_turn
    if turn is None:
        return None
    found: Question | None = None
    for event in log.read(fd, seek.after(fd, turn - 1, end), end):
        kind = event["kind"]
        if kind == "permission" and event.get("request") == request:
            found = Question(turn, "expired" if str(event.get("expires", "~")) <= log.now() else "")
        elif found and kind == "answer" and event.get("request") == request:
            return Question(turn, "answered")
        elif found and kind in ("cancelled", "turn_end"):
            found = Question(turn, "withdrawn")
    return found


def age_ms(fd: int, turn: int) -> int:
    """Return the milliseconds from the beginning of a turn to the last event, by the events' own times."""
    known = read_state(fd).state
    began = log.read_one(fd, turn).get("ts", "")
    return max(0, _milliseconds(known.updated) - _milliseconds(began))


def _milliseconds(ts: str) -> int:
    try:
        return int(datetime.fromisoformat(ts).timestamp() * 1000)
    except ValueError:
        return 0
