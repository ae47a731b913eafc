"""A log of another schema is not written to, and a look at its turn makes no other file either."""

from collections.abc import Callable
from pathlib import Path

import pytest

from breakglass.config import Config
from breakglass.errors import BreakglassError
from breakglass.store import sessions
from breakglass.store.sessions import Session
from breakglass.turns.end import cancel_turn, end_if_lost
from tests.help.logs import line


def stop(session: Session) -> object:
    return cancel_turn(session, by="ann")


@pytest.mark.parametrize(("act", "has_turn"), [(end_if_lost, True), (stop, True), (stop, False)])
def test_a_turn_in_a_log_of_another_schema_is_not_ended(
    act: Callable[[Session], object], has_turn: bool, settings: Config
) -> None:
    session = sessions.create(settings.data, "shell")
    log = Path(session.directory, "events.jsonl")
    text = log.read_bytes().replace(b'"schema":1', b'"schema":2') + (
        line(2, "user", turn=2) if has_turn else b""
    )
    log.write_bytes(text)
    before = sorted(Path(session.directory).iterdir())
    with pytest.raises(BreakglassError, match="schema 2"):
        act(session)
    assert (log.read_bytes(), sorted(Path(session.directory).iterdir())) == (text, before)
