"""What the pages read from the store. Every function blocks, so a route calls it in a thread.

Each function ends a lost turn first, so no page shows it as running. If that fails, `warn` gets the reason.
"""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from breakglass.choices import read_choices
from breakglass.config import Config
from breakglass.errors import NotFound
from breakglass.events import Event
from breakglass.export import markdown
from breakglass.filters import FILTERS
from breakglass.state import SessionState
from breakglass.store import filtered, fleet, log, seek, sessions, space, window
from breakglass.store.derived import Derived
from breakglass.store.filtered import Outline
from breakglass.store.search import Hit
from breakglass.store.sessions import Session
from breakglass.store.window import Window
from breakglass.turns.budget import over_budget
from breakglass.turns.end import current_state
from breakglass.turns.go_on import prompt_to_go_on
from breakglass.web import stream
from breakglass.web.page import bundle, fragments
from breakglass.web.page.document import document
from breakglass.web.page.page_data import FleetRow, HitRow, HostRow, HostsPage, PromptBox
from breakglass.web.page.rows import SessionList, SessionRow, by_urgency, matches
from breakglass.web.page.tools import first_words

MAX_ROWS = 200
"""Sessions that a page lists unless all are requested: 10,000 rows are 5 MB of HTML."""
PAGE_BYTES = 96 << 10
"""Bytes of log that a page shows at once: about 220 KiB of HTML."""
PROSE_BYTES = 4 << 20
"""Bytes of log that are read to render prose that grows. Longer prose is rendered when it is finished."""

SAVED_BYTES = 256 << 10
"""Characters of a saved session that are sent at once."""

Warn = Callable[[str], object]


class Wanted(NamedTuple):
    """The part of a log that a page asks for: its end, or the lines before, after or around a line."""

    before: int | None = None
    after: int | None = None
    around: int | None = None
    show: str = ""
    """The name of a filter, or of none."""


def saved(session: Session, form: str) -> Iterator[bytes]:
    """Return a session as `html`, `md` or `tar.gz`, as far as its log goes now. Its first part raises NotFound."""
    if form == "tar.gz":
        return bundle.stream(lambda output: _write_bundle(session, output))
    return _joined(_document(session, form))


def _write_bundle(session: Session, output: BinaryIO) -> None:
    fd = log.open_reader(session.directory)
    try:
        known = session.log_state(fd)
        bundle.write(output, session.id, fd, known, _document(session, "html"), session)
    finally:
        os.close(fd)


def _document(session: Session, form: str) -> Iterator[str]:
    fd = log.open_reader(session.directory)
    try:
        known = session.log_state(fd)
        events = log.read(fd, seek.START, known.end)
        if form == "md":
            yield from markdown.render(events, session.id)
        else:
            host = str(log.read_one(fd, 1).get("host", ""))
            title = SessionRow(session.id, known.state).heading
            shown = fragments.compact(events)
            names = {"session": session.id, "title": title, "host": host}
            yield from document(shown, **names, files=session)
    finally:
        os.close(fd)


def _joined(parts: Iterable[str]) -> Iterator[bytes]:
    """Yield the parts of a document together, about `SAVED_BYTES` at once."""
    taken: list[str] = []
    length = 0
    for part in parts:
        taken.append(part)
        length += len(part)
        if length >= SAVED_BYTES:
            yield "".join(taken).encode(errors="replace")
            taken, length = [], 0
    yield "".join(taken).encode(errors="replace")


def hit_row(root: Path, hit: Hit, headings: dict[str, str]) -> HitRow:
    """Return a hit as the page shows it, with the heading of its session, which `headings` keeps."""
    session = Session(root, hit.place.session)
    if session.id not in headings:
        try:
            headings[session.id] = SessionRow(session.id, session.state()).heading
        except (NotFound, OSError):  # deleted since it was searched
            headings[session.id] = session.id[:8]
    return HitRow(session.id, headings[session.id], hit.place.line, hit.kind, hit.ts, *hit.excerpt.parts())


def list_sessions(
    root: Path, warn: Warn, *, archived: bool = False, query: str = "", limit: int | None = MAX_ROWS
) -> SessionList:
    """Return the sessions that match `query`, at most `limit` of them; archived ones only with `archived`."""
    every = sessions.list_sessions(root)
    today = log.now()[:10]
    spent = sum(state.spent[1] for _, state in every if state.spent[0] == today)
    found = [
        (session, current_state(session, state, warn))
        for session, state in every
        if (archived or state.is_shown) and (not query or matches(state, query))
    ]
    # The last line is read only for the rows that are shown: it costs one read of a log.
    rows = [_with_disk_use(root, row) for row in _rows.of_all(root, by_urgency(found)[:limit])]
    return SessionList(rows, len(found), spent)


def list_hosts(root: Path, now: float, limit: int | None = MAX_ROWS) -> HostsPage:
    """Return all hosts and their sessions: those that ask first, then those in which a turn runs, then the latest."""
    found = fleet.list_hosts(root, now)
    known = [
        HostRow(
            each.name,
            each.link.told,
            fleet.LINK_SIGNS[each.link.state],
            each.asking,
            each.running,
            each.link.problem,
        )
        for each in found
    ]
    told = {each.name: "" if each.link.state == "live" else each.link.told for each in found}
    shown = by_urgency(
        ((each.name, session.id), state)
        for each in found
        for session, state in each.sessions
        if state.is_shown
    )
    rows = [FleetRow(host, told[host], SessionRow(id_, state)) for (host, id_), state in shown[:limit]]
    return HostsPage(known, rows, len(shown))


def session_row(session: Session, warn: Warn) -> SessionRow:
    """Return one session as its own page shows it. Raises NotFound."""
    return _with_last_line(session, current_state(session, warn=warn))


def prompt_box(config: Config, preset: str, state: SessionState | None = None) -> PromptBox:
    """Return the prompt form for a session, or for a new one. Blocks: a budget is compared with today's sessions."""
    agent = state.agent if state else None
    is_shell, presets = config.is_command_line(agent or config.agent), config.presets_for(agent)
    about = config.agents[name].about if (name := agent or config.agent) in config.agents else None
    return PromptBox(
        presets=presets,
        key=secrets.token_hex(16),
        is_shell=is_shell,
        models=(state.models if state else ()) or (about.models if about else ()),
        can_steer=about is not None and about.can_steer,
        chosen=dict(zip(map(str, range(len(presets))), presets, strict=True)).get(preset),
        go_on=prompt_to_go_on(config, state) if state else "",
        over_budget="" if is_shell else over_budget(config),
    )


def why_not_deletable(state: SessionState) -> str:
    """Return why the page does not delete a session of this state, "" if it does."""
    if state.turn is not None:
        return "A turn is running in this session. Stop it first."
    return "" if state.archived else "Only an archived session can be deleted. Archive it first."


def _with_disk_use(root: Path, row: SessionRow) -> SessionRow:
    """Return a row with its disk space if it can be deleted from the page: it is archived."""
    return row._replace(used=space.disk_use(Session(root, row.id))) if row.state.archived else row


def _with_last_line(session: Session, state: SessionState) -> SessionRow:
    fd = log.open_reader(session.directory)
    try:
        return SessionRow(session.id, state, window.read_last_text(fd), _asked(fd, state))
    finally:
        os.close(fd)


_rows = Derived(_with_last_line)
"""The rows of the sessions that were listed last."""


def _asked(fd: int, state: SessionState) -> str:
    """Return the question, or the command that waits for permission."""
    if not state.asking:
        return ""
    try:
        asking = log.read_one(fd, state.asking[0].id)
    except NotFound:  # the log was replaced since its state was read
        return state.asking[0].name
    offered = read_choices(asking.get("choices"))
    return offered[0].question if offered else first_words(asking.get("input")) or state.asking[0].name


def read_window(session: Session, wanted: Wanted) -> Window:
    """Return the part of a log that a page shows. Raises NotFound."""
    part = {"before": wanted.before, "after": wanted.after, "around": wanted.around}
    fd = log.open_reader(session.directory)
    try:
        if chosen := FILTERS.get(wanted.show):
            state = session.log_state(fd).state
            always = [each.id for each in state.asking] + [each.id for each in state.queued]
            return filtered.read(fd, PAGE_BYTES, chosen, **part, always=always)
        return window.read(fd, PAGE_BYTES, **part)
    finally:
        os.close(fd)


def read_prose(session: Session, first: int, last: int) -> list[Event]:
    """Return the lines `first` to `last` and the one before them, [] if they are too many. Raises NotFound."""
    fd = log.open_reader(session.directory)
    try:
        end = seek.find_end(fd, log.size(fd))
        begin = seek.find_after(fd, max(0, first - 2), end)
        until = seek.find_after(fd, last, end)
        return [] if until.offset - begin.offset > PROSE_BYTES else list(log.read(fd, begin, until))
    finally:
        os.close(fd)


def read_outline(session: Session) -> Outline:
    """Return the prompts and the failures of a log. Raises NotFound."""
    fd = log.open_reader(session.directory)
    try:
        return filtered.read_outline(fd)
    finally:
        os.close(fd)


def file_path(session: Session, number: int) -> str:
    """Return the path that the `file` event on a line of the log names. Raises NotFound."""
    fd = log.open_reader(session.directory)
    try:
        event = log.read_one(fd, number)
    finally:
        os.close(fd)
    if event["kind"] != "file" or not isinstance(event.get("path"), str):
        raise NotFound(f"line {number} of the log is not a file")
    return str(event["path"])


def checked_line(session: Session, number: int, ts: str) -> int:
    """Return `number` if that line has the time `ts`, else a number beyond any log. Raises NotFound.

    A power loss can take lines that a page has already shown. Other lines then get their numbers, and the page must
    start over.
    """
    fd = log.open_reader(session.directory)
    try:
        return number if log.read_one(fd, number).get("ts") == ts else stream.BEYOND_ANY_LOG
    except NotFound:
        return stream.BEYOND_ANY_LOG
    finally:
        os.close(fd)
