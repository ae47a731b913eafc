"""A session's log on its way to a terminal or a pipe: what is there, then what comes, until told to stop."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from itertools import count

from breakglass import events
from breakglass.cli import screen
from breakglass.cli.style import ALL
from breakglass.cli.transcript import Transcript
from breakglass.config import Config
from breakglass.errors import NotFound
from breakglass.events import Event
from breakglass.store.follow import Followers, FollowEvent
from breakglass.store.pieces import Frame, Piece
from breakglass.store.sessions import Session
from breakglass.store.watch import Watch
from breakglass.turns.begin import Accepted
from breakglass.turns.end import current_state

OUTPUT_LINES = 12
"""Lines of a tool's output that are shown on a terminal."""
ENDINGS: dict[object, int] = {"ok": 0, "cancelled": 130}
"""How a turn ended, to the exit status of who waited for it; anything else is 1."""

Show = Callable[[Piece], int | None]
"""Shows a piece. Returns an exit status once that was all that is wanted."""


def attach(config: Config, session: Session, after: int, *, as_json: bool) -> int:
    """Show a session from the line after `after` on, until Ctrl-C. Raises NotFound once it is gone."""
    transcript = _transcript(config, session)

    def show(piece: Piece) -> None:
        if as_json:
            screen.write_bytes(piece.body)
        else:
            screen.write("".join(map(transcript.render, _events(piece))))

    def caught_up() -> None:
        if not as_json and screen.is_terminal() and transcript.is_at_line_start:
            screen.say("(all there is so far; Ctrl-C detaches)")

    try:
        return _follow(session, after, _for_clients if as_json else _as_they_are, show, caught_up)
    except KeyboardInterrupt:
        screen.write(transcript.finish())
        screen.say("detached")
        return 0


def wait(config: Config, session: Session, taken: Accepted) -> int:
    """Show the turn of a prompt to its end and return the exit status that says how it ended.

    One in the queue is waited for; once it is withdrawn, that is as a turn that was stopped.
    Raises KeyboardInterrupt, having said so, when the person does not want to wait any longer.
    """
    transcript = _transcript(config, session)
    turn = taken.id if taken.what == "turn" else None

    def show(piece: Piece) -> int | None:
        nonlocal turn
        for event in _events(piece):
            if turn is None and event.get("queued") == taken.id:
                if event["kind"] == "withdrawn":
                    screen.write(transcript.render(event))
                    return ENDINGS["cancelled"]
                turn = event["id"]
            if turn is not None and event.get("turn") == turn:
                screen.write(transcript.render(event))
                if event["kind"] == "turn_end":
                    return ENDINGS.get(event.get("status"), 1)
        return None

    try:
        return _follow(session, taken.id - 1, _as_they_are, show)
    except KeyboardInterrupt:
        screen.write(transcript.finish())
        name = session.id[:8]
        screen.say(
            f"detached; the turn goes on. Watch it: breakglass attach {name}, stop it: breakglass cancel {name}"
        )
        raise


def _transcript(config: Config, session: Session) -> Transcript:
    """Return a transcript for our standard output. An agent's tools report to the agent; a shell reports to us."""
    if not screen.is_terminal():
        return Transcript()
    is_command_line = config.is_command_line(session.state().agent)
    return Transcript(
        colours=screen.has_colours(config.environ),
        columns=screen.columns(),
        output_lines=ALL if is_command_line else OUTPUT_LINES,
    )


def _events(piece: Piece) -> Iterator[Event]:
    lines = piece.body[:-1].split(b"\n")
    return map(events.decode, lines, count(piece.begin.number + 1))


# --- following ----------------------------------------------------------------------------------


def _as_they_are(lines: bytes, first: int) -> bytes:
    """Return the lines as they are: whoever shows them wants the events."""
    return lines


def _for_clients(lines: bytes, first: int) -> bytes:
    """Return the lines as every client gets them: what is no event of ours stands as a `foreign` one."""
    each = enumerate(lines[:-1].split(b"\n"), first)
    return b"".join(
        line + b"\n" if events.is_ours(line, number) else _foreign(line, number) for number, line in each
    )


def _foreign(line: bytes, number: int) -> bytes:
    return events.dumps(events.foreign(line, number)).encode() + b"\n"


def _follow(
    session: Session, after: int, frame: Frame, show: Show, caught_up: Callable[[], None] = lambda: None
) -> int:
    """Show what comes after line `after` until `show` returns an exit status, and return that.

    A turn that is lost meanwhile is ended. Raises NotFound where there is no log, or none any more,
    BrokenPipeError once nobody reads our output, and KeyboardInterrupt.
    """
    return asyncio.run(_steps(session, after, frame, show, caught_up))


async def _steps(
    session: Session, after: int, frame: Frame, show: Show, caught_up: Callable[[], None]
) -> int:
    hub = Followers(Watch())
    try:
        async with aclosing(hub.follow(session.directory, after, frame)) as steps:
            async for step in steps:
                if isinstance(step, Piece):
                    status = show(step)
                    if status is not None:
                        return status
                elif step is FollowEvent.CAUGHT_UP:
                    caught_up()
                elif step is FollowEvent.QUIET:
                    screen.check_reader()
                    await asyncio.to_thread(current_state, session)
                elif step is FollowEvent.RESET:
                    screen.say(f"the log has no line {after}; all of it follows")
        raise NotFound(f"session {session.id} was deleted or replaced while it was shown")
    finally:
        await hub.close()
