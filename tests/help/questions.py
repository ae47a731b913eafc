"""A turn with open questions but without an agent, for tests of answers. The test itself holds the turn lock."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from breakglass import events
from breakglass.store import log, sessions, untold
from breakglass.store.log import Log
from breakglass.store.seek import START
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock
from tests.help.session_logs import events_of

LATER = "9999-01-01T00:00:00.000Z"


@contextmanager
def open_turn(root: Path, session_id: str, *questions: dict[str, Any]) -> Iterator[Log]:
    """Keep a turn of the session open, in which these questions are asked. Yields the log."""
    session = Session(root, session_id)
    lock = TurnLock(session)
    lock.take()
    try:
        with session.open_log() as opened:
            turn = opened.append("user", text="go on", by="ann")
            for question in questions:
                asked = {"request": "r", "name": "Bash", "input": {"command": "rm x"}, "expires": LATER}
                opened.append("permission", turn=turn, **{**asked, **question})
            yield opened
    finally:
        lock.release()


class OldQuestion:
    """A session with a question that was asked some seconds ago, and waits until `answer`."""

    def __init__(self, root: Path, title: str, age_seconds: float) -> None:
        self.session = sessions.create(root, "shell", title=title)
        self._lock = TurnLock(self.session)
        self._lock.take()
        untold.mark(root, self.session.id, START, is_first=True)
        asked_at = log.timestamp(time.time() - age_seconds)
        prompt = {"turn": 2, "text": "x", "by": "ann", "agent": "shell"}
        question = {"request": "r1", "name": "Bash", "input": {"command": "rm x"}, "expires": LATER}
        with open(Path(self.session.directory, log.NAME), "ab") as file:
            file.write(events.encode(2, asked_at, "user", prompt))
            file.write(events.encode(3, asked_at, "permission", {"turn": 2, **question}))

    def answer(self) -> None:
        """Answer the question, and end the turn."""
        try:
            with self.session.open_log() as opened:
                opened.append("answer", turn=2, request="r1", allow=True, by="ann")
                opened.append("turn_end", turn=2, status="ok", duration_ms=20_000)
        finally:
            self._lock.release()


def answers(root: Path, session_id: str) -> list[dict[str, Any]]:
    """Return the `answer` events of a session."""
    return [event for event in events_of(sessions.get(root, session_id)) if event["kind"] == "answer"]
