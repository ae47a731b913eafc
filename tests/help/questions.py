"""A turn with open questions but without an agent, for tests of answers. The test itself holds the turn lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from breakglass.store import sessions
from breakglass.store.log import Log
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


def answers(root: Path, session_id: str) -> list[dict[str, Any]]:
    """Return the `answer` events of a session."""
    return [event for event in events_of(sessions.get(root, session_id)) if event["kind"] == "answer"]
