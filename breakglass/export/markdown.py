"""A session as Markdown, for a post-mortem: a table of its turns, and for each turn what was asked and done. Pure."""

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from breakglass.events import Event
from breakglass.text import duration, money, one_line, plain, plural

MAX_CELL = 120
"""Characters of a text in a table."""
_CHANGES = {"Edit", "MultiEdit", "NotebookEdit", "Write"}
"""The tools of Claude Code that change the file in their `file_path`."""
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~&])")
_FENCE = re.compile("`{3,}")


class _Call(NamedTuple):
    ts: str
    line: int
    name: str
    what: str
    outcome: str
    seconds: str


class _Turn:
    """What is known of one turn. If the document begins within it, its prompt is not."""

    def __init__(self, event: Event) -> None:
        is_whole = event["kind"] == "user"
        self.number = event["id"] if is_whole else event["turn"]
        self.ts = str(event.get("ts", ""))
        self.by = str(event.get("by", "")) if is_whole else ""
        self.prompt = str(event.get("text", "")) if is_whole else f"(before line {event['id']})"
        self.status = "running"
        self.took = ""
        self.cost = 0.0
        self.answer = ""
        self.calls: dict[str, _Call] = {}
        self.files: dict[str, None] = {}
        self.notes: list[tuple[int, str]] = []


def render(events: Iterable[Event], session: str, host: str = "") -> Iterator[str]:
    """Yield the parts of the document. `session` is the id of the session, `host` its host if the log's is not used."""
    created, turns = _collect(events)
    title = str(created.get("title") or "") or (turns[0].prompt if turns else "") or session
    yield f"# {_inline(title)}\n\n"
    yield f"Session `{session}`"
    if created:
        began = _minute(created)
        on = _inline(host or created.get("host"))
        about = f", target {_inline(created['target'])}" if created.get("target") else ""
        yield f" on {on}{about}, agent {_inline(created.get('agent'))}, began {began}"
    cost = sum(turn.cost for turn in turns)
    yield f". {plural(len(turns), 'turn')}{', ' + money(cost) if cost else ''}.\n\n"
    yield "## Timeline\n\n| time (UTC) | line | who | asked | outcome | took |\n|---|---|---|---|---|---|\n"
    for turn in turns:
        cells = (_short(turn.ts), turn.number, turn.by, turn.prompt, turn.status, turn.took)
        yield "| " + " | ".join(_cell(cell) for cell in cells) + " |\n"
    files = {path: None for turn in turns for path in turn.files}
    if files:
        yield "\n## Files changed\n\n" + "".join(f"* {_code(path)}\n" for path in files)
    for turn in turns:
        yield from _render_turn(turn)


def _render_turn(turn: _Turn) -> Iterator[str]:
    yield f"\n## Turn {turn.number}: {_inline(turn.status)}\n\n{_block(turn.prompt)}\n"
    if turn.calls:
        yield "\n| time (UTC) | line | tool | call | outcome | took |\n|---|---|---|---|---|---|\n"
        for call in turn.calls.values():
            what = _code(one_line(call.what, MAX_CELL)).replace("|", "\\|") if call.what else ""
            cells = [
                _cell(_short(call.ts)),
                str(call.line),
                _cell(call.name),
                what,
                call.outcome,
                call.seconds,
            ]
            yield "| " + " | ".join(cells) + " |\n"
    for line, note in turn.notes:
        yield f"\n* line {line}: {_inline(note)}"
    if turn.notes:
        yield "\n"
    if turn.answer:
        yield f"\n{_quoted(turn.answer)}\n"


def _collect(events: Iterable[Event]) -> tuple[Event, list[_Turn]]:
    created: Event = {}
    turns: list[_Turn] = []
    for event in events:
        kind = event["kind"]
        if kind == "created":
            created = event
        elif kind == "user":
            turns.append(_Turn(event))
        elif kind == "renamed":
            created = {**created, "title": event.get("title")}
        elif turns or type(event.get("turn")) is int:
            if not turns:
                turns.append(_Turn(event))
            _add(turns[-1], event)
    return created, turns


def _add(turn: _Turn, event: Event) -> None:
    match event["kind"]:
        case "tool" | "tool_result":
            _add_call(turn, event)
        case "text" if not event.get("parent"):
            turn.answer = str(event.get("text", ""))
        case "result":
            turn.cost += _number(event.get("cost_usd"))
        case "error" | "notice":
            turn.notes.append((event["id"], str(event.get("error") or event.get("text") or "")))
        case "answer":
            allowed = "allowed" if event.get("allow") is True else "refused"
            turn.notes.append((event["id"], f"permission {allowed} by {event.get('by')}"))
        case "cancelled":
            turn.notes.append((event["id"], f"stopped by {event.get('by')}"))
        case "turn_end":
            turn.status = str(event.get("status"))
            turn.took = duration(int(_number(event.get("duration_ms"))))


def _add_call(turn: _Turn, event: Event) -> None:
    tool, ts = str(event.get("tool_id")), str(event.get("ts", ""))
    if event["kind"] == "tool":
        value, name = event.get("input"), str(event.get("name", ""))
        turn.calls[tool] = _Call(ts, event["id"], name, _what(value), "no result", "")
        if name in _CHANGES and isinstance(value, dict) and isinstance(value.get("file_path"), str):
            turn.files[value["file_path"]] = None
    elif call := turn.calls.get(tool):
        outcome = "failed" if event.get("is_error") is True else "ok"
        turn.calls[tool] = call._replace(outcome=outcome, seconds=_between(call.ts, ts))


def _number(value: Any) -> float:
    return float(value) if type(value) in (int, float) and math.isfinite(value) else 0.0


def _what(value: Any) -> str:
    if isinstance(value, dict):
        for key in ("command", "file_path", "path", "pattern", "url", "query", "description", "prompt"):
            if isinstance(value.get(key), str):
                return str(value[key])
    return value if isinstance(value, str) else ""


def _between(begin: str, end: str) -> str:
    from datetime import datetime  # it delays commands that export nothing

    try:
        seconds = datetime.fromisoformat(end) - datetime.fromisoformat(begin)
    except (ValueError, TypeError):
        return ""
    return duration(max(0, int(seconds.total_seconds() * 1000)))


# --- Markdown that shows a text as it is --------------------------------------------------------


def _inline(value: Any) -> str:
    return _SPECIAL.sub(r"\\\1", one_line("" if value is None else str(value), 500))


def _cell(value: Any) -> str:
    return _SPECIAL.sub(r"\\\1", one_line(str(value), MAX_CELL))


def _code(text: str) -> str:
    """Return a text as a code span. The text may contain backticks (CommonMark, section 6.1)."""
    shown = one_line(text)
    longest = max((len(each) for each in re.findall("`+", shown)), default=0)
    ticks = "`" * (longest + 1)
    return f"{ticks} {shown} {ticks}" if longest else f"`{shown}`"


def _block(text: str) -> str:
    longest = max((len(each) for each in _FENCE.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}text\n{plain(text).rstrip()}\n{fence}"


def _quoted(text: str) -> str:
    """Return an agent's Markdown as a quotation. Raw HTML in it is escaped."""
    return "\n".join(f"> {line}".rstrip() for line in plain(text).replace("<", "&lt;").split("\n"))


def _short(ts: str) -> str:
    return ts[:19].replace("T", " ")


def _minute(event: Event) -> str:
    return _short(str(event.get("ts", "")))[:16] + " UTC"
