"""Shows the past of a session as it happened: each event after the pause that was before it, shortened."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from breakglass.cli import screen
from breakglass.cli.transcript import Transcript
from breakglass.errors import BadInput
from breakglass.events import Event
from breakglass.store import log, seek
from breakglass.store.sessions import Session

MAX_PAUSE = 3.0
"""Seconds of a pause at most: a night between two turns would end every replay."""
MAX_SPEED = 1000.0


def parse_speed(text: str) -> float:
    """Return how many times faster than it happened a session is shown. Raises BadInput."""
    try:
        speed = float(text) if text.isascii() else 0.0
    except ValueError:
        speed = 0.0
    if not 0.1 <= speed <= MAX_SPEED:
        raise BadInput(f"expected a number from 0.1 to {MAX_SPEED:g}, got {text[:20]!r}")
    return speed


def show_past(
    session: Session,
    transcript: Transcript,
    first: int,
    speed: float,
    sleep: Callable[[float], object] = time.sleep,
) -> int:
    """Show the events from line `first` on to the present end of the log, or until Ctrl-C. Raises NotFound."""
    fd = log.open_reader(session.directory)
    try:
        end = seek.find_end(fd, log.size(fd))
        begin = seek.find_after(fd, max(0, first - 1), end)
        for pause, event in with_pauses(log.read(fd, begin, end), speed):
            if pause:
                sleep(pause)
            screen.write(transcript.render(event))
    except KeyboardInterrupt:
        pass
    finally:
        os.close(fd)
    screen.write(transcript.finish())
    return 0


def with_pauses(events: Iterable[Event], speed: float) -> Iterator[tuple[float, Event]]:
    """Yield each event with the seconds to wait before it."""
    before: float | None = None
    for event in events:
        at = _seconds(event)
        pause = (at - before) / speed if at is not None and before is not None else 0.0
        yield min(MAX_PAUSE, max(0.0, pause)), event
        before = at if at is not None else before


def _seconds(event: Event) -> float | None:
    """Return when an event was written, in seconds since 1970, None if it does not say so."""
    try:
        return datetime.fromisoformat(event["ts"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
