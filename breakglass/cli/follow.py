"""Follows a session's log on a terminal or in a pipe: first the existing lines, then each new one."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from functools import partial
from itertools import count

from breakglass import events
from breakglass.cli import screen
from breakglass.cli.style import UNLIMITED
from breakglass.cli.transcript import Transcript
from breakglass.config import Config
from breakglass.errors import NotFound
from breakglass.events import Event
from breakglass.store import hosts
from breakglass.store.follow import Followers, FollowSignal
from breakglass.store.pieces import Frame, Piece
from breakglass.store.sessions import Session
from breakglass.store.watch import Watch
from breakglass.turns.begin import Accepted, continue_queue
from breakglass.turns.end import current_state
from breakglass.turns.go_on import prompt_to_go_on

OUTPUT_LINES = 12
"""Lines of a tool's output that a terminal shows."""
EXIT_STATUSES: dict[object, int] = {"ok": 0, "cancelled": 130}
"""The exit status of a wait for a turn, by the turn's status. All others are 1."""

Show = Callable[[Piece], int | None]
"""Shows a piece of the log. Returns an exit status to stop, None to go on."""
CaughtUp = Callable[[], int | None]
"""Called when everything so far was shown. Returns an exit status to stop, None to go on."""


def print_log(session: Session, after: int, *, follow: bool) -> int:
    """Print the lines after line `after` as JSON, until Ctrl-C or, without `follow`, to the end. Raises NotFound."""

    def show(piece: Piece) -> None:
        screen.write_lines(piece.body)

    try:
        return _follow(session, after, _replace_foreign, show, lambda: None if follow else 0)
    except KeyboardInterrupt:
        screen.say("detached")
        return 0


def show_session(config: Config, session: Session, after: int) -> int:
    """Show the transcript after line `after`, until Ctrl-C. Raises NotFound."""
    transcript = new_transcript(config, session)
    tell_copy(session)

    def caught_up() -> None:
        if screen.is_terminal() and transcript.is_at_line_start:
            screen.say("(this is all so far; Ctrl-C detaches)")
            # The host of a copy has a boot id of its own, and `continue` refuses a copy.
            if not hosts.host_of(session.root) and prompt_to_go_on(config, current_state(session)):
                screen.say(f"(to let the agent continue: breakglass continue {session.id[:8]})")

    try:
        return _follow(session, after, _unchanged, partial(_show, transcript), caught_up)
    except KeyboardInterrupt:
        screen.write(transcript.finish())
        screen.say("detached")
        return 0


def tell_copy(session: Session) -> None:
    """Say on standard error whose session is shown, if it is the copy of another host's."""
    if host := hosts.host_of(session.root):
        screen.say(f"host {host}: a copy, which can only be read")


class _QueueLook:
    """What a wait for a queued prompt does while nothing is new: it ends a lost turn, or continues a queue."""

    def __init__(self, config: Config, session: Session) -> None:
        self._config = config
        self._session = session
        self._has_told = False

    def __call__(self) -> None:
        if hosts.host_of(self._session.root):
            return  # a copy only shows what its host does
        state = current_state(self._session)
        if state.turn is not None or not state.queued:
            return
        if state.status != "lost":
            continue_queue(self._config, self._session)
        elif not self._has_told:
            self._has_told = True
            screen.say("the turn before it was lost; the prompt waits until the next prompt is sent")


def print_transcript(config: Config, session: Session, after: int, *, plain: bool) -> int:
    """Print the transcript after line `after` to its end: if `plain`, whole and without colours. Raises NotFound."""
    tell_copy(session)
    transcript = Transcript() if plain else new_transcript(config, session)
    status = _follow(session, after, _unchanged, partial(_show, transcript), lambda: 0)
    screen.write(transcript.finish())
    return status


def show_turn(config: Config, session: Session, accepted: Accepted) -> int:
    """Show the turn of a prompt to its end. Return the exit status that says how it ended.

    A queued prompt is waited for, and begun if no runner is left to do that. If it is withdrawn, the status is that of
    a cancelled turn. At Ctrl-C, says that the turn goes on and raises KeyboardInterrupt.
    """
    transcript = new_transcript(config, session)
    turn = accepted.id if accepted.what == "turn" else None
    if turn is None:
        screen.say("queued: waiting for the end of the running turn")

    def show(piece: Piece) -> int | None:
        nonlocal turn
        for event in _decode(piece):
            if turn is None and event.get("queued") == accepted.id:
                if event["kind"] == "withdrawn":
                    screen.write(transcript.render(event))
                    return EXIT_STATUSES["cancelled"]
                turn = event["turn"]  # its own, or of `steered` the one that was running
            if turn is not None and event.get("turn") == turn:
                screen.write(transcript.render(event))
                if event["kind"] == "turn_end":
                    return EXIT_STATUSES.get(event.get("status"), 1)
        return None

    try:
        return _follow(session, accepted.id - 1, _unchanged, show, look=_QueueLook(config, session))
    except KeyboardInterrupt:
        screen.write(transcript.finish())
        name = session.id[:8]
        goes_on = "the turn goes on" if turn else "the prompt stays in the queue"
        screen.say(
            f"detached; {goes_on}. To watch: breakglass attach {name}, to stop: breakglass cancel {name}"
        )
        raise


def new_transcript(config: Config, session: Session) -> Transcript:
    """Return a transcript for standard output.

    A shell's output is for the user and is shown whole. The output of an agent's tools is for the agent and is cut.
    """
    if not screen.is_terminal():
        return Transcript()
    return Transcript(
        colours=screen.has_colours(config.environ),
        columns=screen.columns(),
        output_lines=UNLIMITED if config.is_command_line(session.state().agent) else OUTPUT_LINES,
    )


def _show(transcript: Transcript, piece: Piece) -> None:
    screen.write("".join(map(transcript.render, _decode(piece))))


def _decode(piece: Piece) -> Iterator[Event]:
    lines = piece.body[:-1].split(b"\n")
    return map(events.decode, lines, count(piece.begin.number + 1))


# --- following ------------------------------------------------------------------------------------


def _unchanged(lines: bytes, first: int) -> bytes:
    """Frame lines for a reader that decodes them."""
    return lines


def _replace_foreign(lines: bytes, first: int) -> bytes:
    """Frame lines for a client: each line that is not ours is replaced by a `foreign` event."""
    numbered = enumerate(lines[:-1].split(b"\n"), first)
    return b"".join(
        line + b"\n" if events.is_ours(line, number) else _foreign(line, number) for number, line in numbered
    )


def _foreign(line: bytes, number: int) -> bytes:
    return events.dumps(events.foreign(line, number)).encode() + b"\n"


def _follow(
    session: Session,
    after: int,
    frame: Frame,
    show: Show,
    caught_up: CaughtUp = lambda: None,
    look: Callable[[], object] | None = None,
) -> int:
    """Show the lines after line `after` until `show` or `caught_up` returns an exit status, and return that status.

    While nothing is new, `look` is called again and again. The default ends a turn that is lost meanwhile. Raises
    NotFound if there is no log or it disappears, BrokenPipeError if the reader of our output closes the pipe, and
    KeyboardInterrupt.
    """
    look = look or partial(current_state, session)
    return asyncio.run(_follow_async(session, after, frame, show, caught_up, look))


async def _follow_async(
    session: Session,
    after: int,
    frame: Frame,
    show: Show,
    caught_up: CaughtUp,
    look: Callable[[], object],
) -> int:
    followers = Followers(Watch())
    try:
        async with aclosing(followers.follow(session.directory, after, frame)) as steps:
            async for step in steps:
                if isinstance(step, Piece):
                    status = show(step)
                    if status is not None:
                        return status
                elif step is FollowSignal.CAUGHT_UP:
                    status = caught_up()
                    if status is not None:
                        return status
                elif step is FollowSignal.QUIET:
                    screen.check_reader()
                    await asyncio.to_thread(look)
                elif step is FollowSignal.RESET:
                    screen.say(f"the log has no line {after}; all of it follows")
        raise NotFound(f"session {session.id} was deleted or replaced while it was shown")
    finally:
        await followers.close()
