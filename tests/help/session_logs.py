"""The events in the log of a session, read from its file as the package itself reads it."""

from pathlib import Path

from breakglass.events import Event
from breakglass.store import log
from breakglass.store.sessions import Session
from tests.help.logs import decoded


def events_of(where: Session | Path) -> list[Event]:
    """Return the events of a session, or of the log at that path. A line not ours is an event of kind `foreign`.

    A last line without its newline is left out. `Session(data, id)` names a session by its data root and id.
    """
    path = where if isinstance(where, Path) else Path(where.directory, log.NAME)
    return [*decoded(path.read_bytes())]


def output_of(where: Session | Path) -> str:
    """Return all that tools have printed so far, in the session or log that `events_of` takes."""
    return "".join(event["output"] for event in events_of(where) if event["kind"] == "tool_result")


def kinds(session: Session) -> list[str]:
    """Return the kinds of all events of a session."""
    return [event["kind"] for event in events_of(session)]
