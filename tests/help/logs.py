"""Logs as data: a sample of each kind of event, and lines made from the samples."""

import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from breakglass import events
from breakglass.events import Draft, Event
from breakglass.state import SessionState, fold

TS = "2026-11-23T01:02:03.004Z"

SAMPLES: dict[str, dict[str, Any]] = {
    "created": {
        "schema": 1,
        "agent": "shell",
        "model": None,
        "title": "A title",
        "by": "ann",
        "host": "box",
        "target": "db1",
        "adopted": {"session_id": "abc", "directory": "/srv", "cost_usd": 0.5},
        "local": True,
    },
    "user": {
        "turn": 2,
        "text": "ls",
        "by": "ann",
        "model": "m-1",
        "key": "k-1",
        "queued": 1,
        "action": {"name": "disks", "params": {}, "argv": ["df", "-h"], "reason": "it is full"},
        "agent": "claude",
        "brief": {"first": 1, "last": 1},
        "files": ["uploads/panel.jpg"],
        "boot_id": "7f6ed2c5-2a5c-4d5f-9a0f-1d8f5c1d8a57",
    },
    "queued": {
        "text": "then this",
        "by": "ann",
        "model": "m-1",
        "key": "k-2",
        "agent": "claude",
        "files": ["uploads/panel.jpg"],
        "steer": False,
    },
    "steered": {"turn": 2, "text": "not that disk", "by": "ann", "queued": 3},
    "withdrawn": {"queued": 3, "by": "ann"},
    "session": {"turn": 2, "session_id": "abc", "model": "m-1", "models": ["m-1", "m-2"]},
    "delta": {"turn": 2, "text": "Now ", "parent": "t-1"},
    "text": {"turn": 2, "text": "Now then.", "parent": "t-1"},
    "tool": {"turn": 2, "tool_id": "t-1", "name": "Bash", "input": {"command": "ls"}, "parent": "t-0"},
    "tool_result": {
        "turn": 2,
        "tool_id": "t-1",
        "output": "a\nb\n",
        "is_error": False,
        "truncated": 7,
        "pictures": [{"file": f"pictures/{'0' * 64}.png", "type": "image/png", "bytes": 9}],
        "parent": "t-0",
    },
    "permission": {
        "turn": 2,
        "request": "r-1",
        "name": "Bash",
        "input": {"command": "rm x"},
        "expires": TS,
        "parent": "t-0",
        "choices": [{"id": "c", "question": "Which?", "options": [{"label": "One"}]}],
        "tool_id": "t-1",
    },
    "answer": {
        "turn": 2,
        "request": "r-1",
        "allow": True,
        "by": "ann",
        "message": "go on",
        "for_session": True,
        "answers": {"c": ["One"]},
    },
    "revoked": {"name": "Bash", "by": "ann"},
    "plan": {"turn": 2, "items": [{"text": "Look", "status": "completed"}], "parent": "t-0"},
    "thinking": {"turn": 2, "text": "Hm.", "parent": "t-0"},
    "notice": {"turn": 2, "text": "The context was compacted.", "parent": "t-0"},
    "retry": {"turn": 2, "attempt": 1, "error": "overloaded", "delay_ms": 500, "parent": "t-0"},
    "result": {
        "turn": 2,
        "is_error": False,
        "result": "Done.",
        "duration_ms": 12,
        "usage": {"input_tokens": 3},
        "cost_usd": 0.25,
        "model": "m-1",
        "context": {"used": 7, "size": 200_000},
    },
    "error": {"turn": 2, "error": "It failed.", "parent": "t-0"},
    "cancelled": {"turn": 2, "by": "ann"},
    "turn_end": {"turn": 2, "status": "ok", "duration_ms": 1234, "refused": 1, "unanswered": 2},
    "beside": {"session": "00000002-0000-4000-8000-000000000000", "action": "disks", "by": "ann"},
    "renamed": {"title": "Another", "by": "ann"},
    "archived": {"archived": True, "by": "ann"},
    "file": {
        "name": "panel.jpg",
        "path": "uploads/panel.jpg",
        "bytes": 9,
        "sha256": "f" * 64,
        "type": "image/jpeg",
        "by": "ann",
        "key": "k-3",
    },
    "vitals": {
        "signs": {"load": {"label": "Load", "status": "bad", "text": "90 on 2 processors", "value": 90}}
    },
    "notified": {"cause": "failed", "about": 9, "to": "notify[0]", "sent": False, "error": "HTTP 500"},
    "repaired": {"offset": 120, "bytes": 3, "saved_as": "events.jsonl.torn-120"},
    "sealed": {"from": 1, "lines": 2, "prev": "", "sha256": "0" * 64},
}
"""Every kind with all of its keys, including the optional ones, in the order of the contract."""


def line(number: int, kind: str, **fields: Any) -> bytes:
    """Return line `number`: the sample of that kind, changed by `fields`."""
    return events.encode(number, TS, kind, {**SAMPLES[kind], **fields})


def log_of(drafts: Iterable[Draft | bytes]) -> bytes:
    """Return a whole log. A draft becomes the event line of its number, bytes become a foreign line."""
    numbered = enumerate(drafts, 1)
    return b"".join(
        draft + b"\n" if isinstance(draft, bytes) else line(number, draft[0], **draft[1])
        for number, draft in numbered
    )


def sealed_log(parts: Iterable[Sequence[Draft | bytes]]) -> bytes:
    """Return a whole log of several parts, each with a seal at its end, computed as docs/contract.md says."""
    log, prev, begin = b"", "", 0
    for part in parts:
        number, first = log.count(b"\n"), log[:begin].count(b"\n") + 1
        for draft in part:
            number += 1
            log += draft + b"\n" if isinstance(draft, bytes) else line(number, draft[0], **draft[1])
        digest = hashlib.sha256(prev.encode() + log[begin:]).hexdigest()
        begin = len(log)
        seal = {"from": first, "lines": number, "prev": prev, "sha256": digest}
        log += line(number + 1, "sealed", **seal)
        prev = digest
    return log


def check_seals(log: bytes) -> list[tuple[int, int]]:
    """Return the first and the last line of each seal in a log. Fail unless each is as docs/contract.md says."""
    lines = [each + b"\n" for each in log.split(b"\n")]
    seals = [json.loads(each) for each in lines if b'"kind":"sealed"' in each]
    end, prev = 0, ""
    for seal in seals:
        sealed = b"".join(lines[seal["from"] - 1 : seal["lines"]])
        assert (seal["from"], seal["prev"]) == (end + 1, prev)
        assert seal["sha256"] == hashlib.sha256(prev.encode() + sealed).hexdigest()
        end, prev = seal["lines"], seal["sha256"]
    return [(seal["from"], seal["lines"]) for seal in seals]


def decoded(log: bytes) -> Sequence[events.Event]:
    """Return the events of a log."""
    return [events.decode(each, number) for number, each in enumerate(log.split(b"\n")[:-1], 1)]


def fold_all(history: Iterable[Event], state: SessionState | None = None) -> SessionState:
    """Return the state after all events of a history."""
    return functools.reduce(fold, history, state or SessionState())
