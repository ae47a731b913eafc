"""Events as a transcript. Pure: no files and no clock.

How this works. `_RENDERERS` has one function for each kind of event. A renderer returns the text that the event adds
to the terminal, and uses `Layout` for the layout. The margin shows line numbers of the log. A prompt is behind a thick
bar, a tool is one line, its output is behind a thin bar, and prose has no bar. Signs have the meaning, so a transcript
without colours has the same information.

Prose comes twice: as `delta` events while it streams, then complete as `text`. `Transcript` remembers the deltas, so
that the complete text is not shown again.
"""

from collections.abc import Callable
from typing import Any

from breakglass import events
from breakglass.choices import Choice, answers_text, read_choices
from breakglass.cli.layout import Layout
from breakglass.cli.style import UNLIMITED, status_style
from breakglass.events import INTERRUPTED, Event
from breakglass.text import (
    cut,
    duration,
    join_lines,
    money,
    one_line,
    plain,
    plan_status,
    size,
    status_sign,
    turn_outcome,
)

MAX_ERROR_LINE = 1000
"""Characters shown of each line of a tool's error. The width of the terminal does not matter."""
SEAL_DIGITS = 16
"""Hex digits shown of a seal: enough for `breakglass verify --against`."""
MAX_CALL = 500
"""Characters of a tool's call that are shown at most."""
_MAIN_FIELDS = ("command", "file_path", "path", "pattern", "url", "query", "description", "prompt")
"""The fields of a tool's input that describe a call best, the best first. The first one present is shown."""


class Transcript:
    """Renders one log, and remembers what later events need from earlier ones."""

    def __init__(
        self, *, colours: bool = False, columns: int = UNLIMITED, output_lines: int = UNLIMITED
    ) -> None:
        self.layout = Layout(colours=colours, columns=columns)
        self.output_lines = output_lines
        self.deltas: dict[str | None, list[str]] = {}
        """Prose that came as deltas and has not come as `text` yet, by the subagent (`parent`) that wrote it."""
        self.last_text = ""
        """The agent's last complete prose: a `result` often repeats it."""

    @property
    def is_at_line_start(self) -> bool:
        """Whether the cursor is at the beginning of a line."""
        return self.layout.is_at_line_start

    def render(self, event: Event) -> str:
        """Return what an event adds to the terminal. An unknown or malformed event is shown as JSON."""
        try:
            return _RENDERERS.get(event["kind"], _raw)(self, event)
        except (KeyError, TypeError, ValueError, AttributeError):
            return _raw(self, event)

    def finish(self) -> str:
        """Return the text that ends the unfinished line."""
        return self.layout.finish()


# --- sessions and turns ---------------------------------------------------------------------------


def _raw(out: Transcript, event: Event) -> str:
    text = event.get("text") if event.get("kind") == "foreign" else None
    return out.layout.note(event, text if isinstance(text, str) else events.dumps(event))


def _created(out: Transcript, event: Event) -> str:
    by = f"{event['by']} on {event['host']}"
    target = f"target {event['target']}" if event.get("target") else ""
    adopted = f"goes on in {event['adopted']['directory']}" if event.get("adopted") else ""
    local = "stays on this machine" if event.get("local") else ""
    facts = (event["title"], target, adopted, local, event["agent"], event["model"], by, _time(event))
    return out.layout.note(event, " · ".join(str(fact) for fact in facts if fact))


def _user(out: Transcript, event: Event) -> str:
    out.deltas.clear()
    out.last_text = ""
    return _prompt(out, event)


def _prompt(out: Transcript, event: Event) -> str:
    layout = out.layout
    facts = [str(event[key]) for key in ("by", "model") if event.get(key)]
    facts += [f"with {', '.join(map(str, event['files']))}"] if event.get("files") else []
    who = one_line(" · ".join(facts), layout.width)
    head = layout.note(event, f"{who} · {_time(event)}")
    without_number = {**event, "id": ""}
    return layout.finish() + "\n" + head + layout.block(without_number, plain(event["text"]), "┃ ", "prompt")


def _session(out: Transcript, event: Event) -> str:
    model = f" with {event['model']}" if event.get("model") else ""
    return out.layout.note(event, f"the agent's session {event['session_id']}{model}")


def _turn_end(out: Transcript, event: Event) -> str:
    status, told = turn_outcome(event["status"], event.get("refused"), event.get("unanswered"))
    text = one_line(" · ".join(filter(None, (status, told, duration(event["duration_ms"])))))
    return out.layout.block(event, text, f"{status_sign(status).sign} ", status_style(status))


def _time(event: Event) -> str:
    return str(event["ts"])[:19].replace("T", " ") + " UTC"


# --- what the agent says --------------------------------------------------------------------------


def _delta(out: Transcript, event: Event) -> str:
    text, parent = plain(event["text"]), event.get("parent")
    out.deltas.setdefault(parent, []).append(event["text"])
    return out.layout.stream(event, ("prose", parent), text, "╎   " if parent else "  ", "prose")


def _text(out: Transcript, event: Event) -> str:
    text, parent = event["text"].strip(), event.get("parent")
    streamed = "".join(out.deltas.pop(parent, ())).strip()
    if not parent:
        out.last_text = text
    if streamed and text.endswith(streamed):  # the deltas had all of it, or the part since we began to follow
        return out.layout.finish()
    return out.layout.block(event, plain(text))


def _plan(out: Transcript, event: Event) -> str:
    width = out.layout.width - 4
    items = [
        f"{status_sign(plan_status(item['status'])).sign} {one_line(item['text'], width)}"
        for item in event["items"]
    ]
    return out.layout.block(event, "\n".join(items), "▪ ", "note")


def _thinking(out: Transcript, event: Event) -> str:
    return out.layout.block(event, _shortened(out, plain(event["text"]), out.layout.width), "… ", "note")


def _result(out: Transcript, event: Event) -> str:
    text = plain(str(event["result"] or "")).strip()
    is_error = event["is_error"] is True
    parts = [] if text == out.last_text and not is_error else [text]
    if event.get("cost_usd") is not None:
        parts.append(money(event["cost_usd"]))
    shown = " · ".join(filter(None, parts))
    if not shown:
        return ""
    if text == INTERRUPTED:  # a user stopped the turn, which is no failure
        return out.layout.block(event, shown, f"{status_sign('cancelled').sign} ", status_style("cancelled"))
    return out.layout.block(event, shown, "✗ " if is_error else "= ", "failure" if is_error else "note")


def _retry(out: Transcript, event: Event) -> str:
    return out.layout.note(event, f"attempt {event['attempt']}: {event['error']}", "question")


def _error(out: Transcript, event: Event) -> str:
    return out.layout.block(event, plain(event["error"]), "✗ ", "failure")


# --- tools ----------------------------------------------------------------------------------------


def _tool(out: Transcript, event: Event) -> str:
    return out.layout.block(event, _call(out, event), "● ", "tool")


def _permission(out: Transcript, event: Event) -> str:
    if choices := read_choices(event.get("choices")):
        return out.layout.block(event, "\n".join(map(_choice, choices)), "? ", "question")
    return out.layout.block(event, _call(out, event), "? ", "question")


def _choice(choice: Choice) -> str:
    """Return what is to decide and the numbered answers. `breakglass answer` takes the numbers."""
    offered = [f"{n}) {one_line(option.label)}" for n, option in enumerate(choice.options, 1)]
    return "  ".join((one_line(choice.question), *offered))


def _call(out: Transcript, event: Event) -> str:
    """Return a tool's name and the main part of its input, on one line."""
    shown = event["input"]
    if isinstance(shown, dict):
        shown = next((shown[key] for key in _MAIN_FIELDS if isinstance(shown.get(key), str)), shown)
    text = shown if isinstance(shown, str) else events.dumps(shown) if shown else ""
    return join_lines(f"{event['name']}: {text}", min(out.layout.width, MAX_CALL))


def _tool_result(out: Transcript, event: Event) -> str:
    is_error = event["is_error"] is True
    bar, style = ("✗ ", "failure") if is_error else ("│ ", "output")
    output = event["output"]
    text = plain(output if isinstance(output, str) else events.dumps(output))
    is_for_user = out.output_lines == UNLIMITED or str(event["tool_id"]).startswith("action-")
    if is_for_user and not event.get("parent"):
        shown = out.layout.stream(event, ("output", event["tool_id"], is_error), text, bar, style)
    else:
        text = _shortened(out, text, MAX_ERROR_LINE if is_error else out.layout.width)
        shown = out.layout.block(event, text, bar, style)
    if left_out := event.get("truncated"):
        shown += out.layout.block(event, f"… {left_out:,} bytes were left out", bar, style)
    return shown


def _shortened(out: Transcript, text: str, width: int) -> str:
    """Return the first lines of `text`, each cut to `width`, with a last line that counts the rest."""
    lines = text.strip("\n").split("\n")
    if len(lines) > out.output_lines + 1:  # "1 more line" would take as much space as that line
        lines[out.output_lines :] = [f"… {len(lines) - out.output_lines:,} more lines"]
    return "\n".join(cut(line.expandtabs(), width) for line in lines)


def _answer(out: Transcript, event: Event) -> str:
    message = f": {event['message']}" if event.get("message") else ""
    allowed = "allowed for the session" if event.get("for_session") is True else "allowed"
    verdict = f"{allowed if event['allow'] is True else 'refused'} by {event['by']}"
    if chosen := answers_text(event.get("answers")):
        verdict = f"answered by {event['by']}: {chosen}"
    without_verdict = {
        "exit": "the question ended without an answer",
        "agent": "the agent withdrew its question",
    }
    return out.layout.note(event, without_verdict.get(event["by"], verdict) + message, "question")


def _vitals(event: Event) -> str:
    signs = event["signs"].values()
    alarming = [f"{each['label']} {each['text']}" for each in signs if each["status"] != "ok"]
    return f"vital signs: {'; '.join(alarming) or 'good'}"


# --- the table ------------------------------------------------------------------------------------

Renderer = Callable[[Transcript, Event], str]


def _note_of(text: Callable[[Event], str]) -> Renderer:
    return lambda out, event: out.layout.note(event, text(event))


_RENDERERS: dict[Any, Renderer] = {
    "created": _created,
    "user": _user,
    "session": _session,
    "delta": _delta,
    "text": _text,
    "tool": _tool,
    "tool_result": _tool_result,
    "permission": _permission,
    "answer": _answer,
    "plan": _plan,
    "thinking": _thinking,
    "notice": _note_of(lambda event: event["text"]),
    "retry": _retry,
    "result": _result,
    "error": _error,
    "cancelled": _note_of(lambda event: f"stopped by {event['by']}"),
    "revoked": _note_of(lambda event: f"{event['name']} needs permission again, by {event['by']}"),
    "queued": _note_of(
        lambda event: (
            f"queued{' to steer' if event.get('steer') else ''} by {event['by']}:"
            f" {join_lines(event['text'], MAX_CALL)}"
        )
    ),
    "steered": _prompt,
    "withdrawn": _note_of(lambda event: f"prompt {event['queued']} was withdrawn by {event['by']}"),
    "turn_end": _turn_end,
    "beside": _note_of(
        lambda event: f"{event['action']} runs beside it: session {event['session']}, by {event['by']}"
    ),
    "file": _note_of(
        lambda event: f"{event['by']} sent {event['path']} ({event['type']}, {size(event['bytes'])})"
    ),
    "vitals": _note_of(_vitals),
    "renamed": _note_of(lambda event: f"renamed to {event['title']!r} by {event['by']}"),
    "archived": _note_of(
        lambda event: f"{'archived' if event['archived'] else 'taken out of the archive'} by {event['by']}"
    ),
    "sealed": _note_of(lambda event: f"sealed up to line {event['lines']}: {event['sha256'][:SEAL_DIGITS]}"),
    "notified": _note_of(
        lambda event: (
            f"told {event['to']}: {event['cause']} {event['about'] or ''}".rstrip()
            if event["sent"]
            else f"could not tell {event['to']}: {event['cause']}: {event.get('error') or 'it failed'}"
        )
    ),
    "repaired": _note_of(
        lambda event: f"an incomplete line of {event['bytes']} bytes was moved to {event['saved_as']}"
    ),
}
