"""Events as a transcript. Pure: no files and no clock.

The log's line numbers stand in the margin, prompts behind a bar; prose is plain, a tool is one line, its
output stands behind a thin bar. What is what can be told without colours too.
"""

from collections.abc import Callable
from typing import Any

from breakglass import events
from breakglass.cli.style import ALL, STATUS_STYLES, paint
from breakglass.events import Event
from breakglass.text import cut, duration, one_line, plain, status_sign

MARGIN = 7
"""Columns of the margin: a line number of up to six digits and a blank."""
LONGEST_ERROR = 1000
"""Characters of a line of a tool's error that are shown, be the terminal as narrow as it may."""
_TOLD_BY = ("command", "file_path", "path", "pattern", "url", "query", "description", "prompt")
"""The key of a tool's input that says most about the call, the first that is there."""


class Transcript:
    """One log on its way to one terminal. Keeps what it must know of the events before."""

    def __init__(self, *, colours: bool = False, columns: int = ALL, output_lines: int = ALL) -> None:
        self._colours = colours
        self._width = max(20, columns - MARGIN - 2)
        self._output_lines = output_lines
        self._open: object = None
        """What the line at the cursor belongs to; None where the cursor stands at the beginning of one."""
        self._said: dict[str | None, list[str]] = {}
        """Prose that came as deltas, by the subagent that said it, until its `text` comes."""
        self._last_text = ""

    @property
    def is_at_line_start(self) -> bool:
        """Whether whoever prints something else now spoils nothing."""
        return self._open is None

    def render(self, event: Event) -> str:
        """Return what an event adds to the screen. One that is unknown or misshapen is shown raw."""
        try:
            return _KINDS.get(event["kind"], Transcript._raw)(self, event)
        except (KeyError, TypeError, ValueError, AttributeError):
            return self._raw(event)

    def finish(self) -> str:
        """Return what ends the line at the cursor."""
        ended, self._open = self._open is not None, None
        return "\n" if ended else ""

    # --- lines ------------------------------------------------------------------------------------

    def _stream(self, event: Event, channel: object, text: str, bar: str, style: str) -> str:
        """Return `text` where it continues what `channel` has said, else on a line of its own."""
        out = [self.finish() if channel != self._open else ""]
        number = str(event["id"])
        *whole, last = text.split("\n")
        for line in whole:
            out.append(self._piece(number, bar, line, style) + "\n")
            self._open, number = None, ""
        if last:
            out.append(self._piece(number, bar, last, style))
            self._open = channel
        return "".join(out)

    def _piece(self, number: str, bar: str, text: str, style: str) -> str:
        """Return a piece of a line, with margin and bar where it begins one."""
        body = paint(text, style, colours=self._colours)
        if self._open is not None:
            return body
        margin = paint(f"{number:>{MARGIN - 1}} ", "margin", colours=self._colours)
        return margin + paint(bar if text else bar.rstrip(), style, colours=self._colours) + body

    def _block(self, event: Event, text: str, bar: str = "  ", style: str = "prose") -> str:
        """Return whole lines."""
        if event.get("parent"):
            bar = "╎ " + bar
        return (
            self.finish() + self._stream(event, object(), text.strip("\n") or " ", bar, style) + self.finish()
        )

    def _note(self, event: Event, text: str, style: str = "note") -> str:
        return self._block(event, one_line(text, self._width), style=style)

    # --- kinds ------------------------------------------------------------------------------------

    def _raw(self, event: Event) -> str:
        text = event.get("text") if event.get("kind") == "foreign" else None
        return self._note(event, text if isinstance(text, str) else events.dumps(event))

    def _created(self, event: Event) -> str:
        words = (
            event["title"],
            event["agent"],
            event["model"],
            f"{event['by']} on {event['host']}",
            _time(event),
        )
        return self._note(event, " · ".join(str(word) for word in words if word))

    def _user(self, event: Event) -> str:
        self._said.clear()
        self._last_text = ""
        who = one_line(" · ".join(str(event[key]) for key in ("by", "model") if event.get(key)), self._width)
        head = self._note(event, f"{who} · {_time(event)}")
        mark = {**event, "id": ""}
        return self.finish() + "\n" + head + self._block(mark, plain(event["text"]), "┃ ", "prompt")

    def _session(self, event: Event) -> str:
        model = f" with {event['model']}" if event.get("model") else ""
        return self._note(event, f"the agent's session {event['session_id']}{model}")

    def _delta(self, event: Event) -> str:
        text, parent = plain(event["text"]), event.get("parent")
        self._said.setdefault(parent, []).append(event["text"])
        return self._stream(event, ("prose", parent), text, "╎   " if parent else "  ", "prose")

    def _text(self, event: Event) -> str:
        text, parent = event["text"].strip(), event.get("parent")
        said = "".join(self._said.pop(parent, ())).strip()
        if not parent:
            self._last_text = text
        if said and text.endswith(said):  # all of it, or since we joined
            return self.finish()
        return self._block(event, plain(text))

    def _tool(self, event: Event) -> str:
        return self._block(event, self._call(event), "● ", "tool")

    def _permission(self, event: Event) -> str:
        return self._block(event, self._call(event), "? ", "ask")

    def _call(self, event: Event) -> str:
        told = event["input"]
        if isinstance(told, dict):
            told = next((told[key] for key in _TOLD_BY if isinstance(told.get(key), str)), told)
        words = told if isinstance(told, str) else events.dumps(told) if told else ""
        return one_line(f"{event['name']}: {words}", min(self._width, 500))

    def _tool_result(self, event: Event) -> str:
        wrong = event["is_error"] is True
        bar, style = ("✗ ", "wrong") if wrong else ("│ ", "output")
        output = event["output"]
        text = plain(output if isinstance(output, str) else events.dumps(output))
        if self._output_lines == ALL and not event.get("parent"):
            out = self._stream(event, ("output", event["tool_id"], wrong), text, bar, style)
        else:
            out = self._block(
                event, self._shortened(text, LONGEST_ERROR if wrong else self._width), bar, style
            )
        if left_out := event.get("truncated"):
            out += self._block(event, f"… {left_out:,} bytes were left out", bar, style)
        return out

    def _shortened(self, text: str, width: int) -> str:
        lines = text.strip("\n").split("\n")
        if len(lines) > self._output_lines + 1:  # to say of one line that it is left out would take a line
            lines[self._output_lines :] = [f"… {len(lines) - self._output_lines:,} more lines"]
        return "\n".join(cut(line.expandtabs(), width) for line in lines)

    def _answer(self, event: Event) -> str:
        words = f": {event['message']}" if event.get("message") else ""
        allowed = "allowed for the session" if event.get("for_session") is True else "allowed"
        return self._note(
            event, f"{allowed if event['allow'] is True else 'refused'} by {event['by']}{words}", "ask"
        )

    def _plan(self, event: Event) -> str:
        signs = {"completed": "✓", "in_progress": "●"}
        lines = [
            f"{signs.get(item['status'], '·')} {one_line(item['text'], self._width - 4)}"
            for item in event["items"]
        ]
        return self._block(event, "\n".join(lines), "▪ ", "note")

    def _thinking(self, event: Event) -> str:
        return self._block(event, self._shortened(plain(event["text"]), self._width), "… ", "note")

    def _retry(self, event: Event) -> str:
        return self._note(event, f"attempt {event['attempt']}: {event['error']}", "ask")

    def _result(self, event: Event) -> str:
        text = plain(str(event["result"] or "")).strip()
        wrong = event["is_error"] is True
        words = [] if text == self._last_text and not wrong else [text]
        if event.get("cost_usd") is not None:
            words.append(f"${event['cost_usd']:.4f}")
        shown = " · ".join(filter(None, words))
        if not shown:
            return ""
        return self._block(event, shown, "✗ " if wrong else "= ", "wrong" if wrong else "note")

    def _error(self, event: Event) -> str:
        return self._block(event, plain(event["error"]), "✗ ", "wrong")

    def _turn_end(self, event: Event) -> str:
        sign, style = status_sign(event["status"]).sign, STATUS_STYLES.get(event["status"], "wrong")
        words = one_line(f"{event['status']} · {duration(event['duration_ms'])}")
        return self._block(event, words, f"{sign} ", style)


def _time(event: Event) -> str:
    return str(event["ts"])[:19].replace("T", " ") + " UTC"


def _saying(text: Callable[[Event], str]) -> Callable[[Transcript, Event], str]:
    return lambda transcript, event: transcript._note(event, text(event))


_KINDS: dict[Any, Callable[[Transcript, Event], str]] = {
    "created": Transcript._created,
    "user": Transcript._user,
    "session": Transcript._session,
    "delta": Transcript._delta,
    "text": Transcript._text,
    "tool": Transcript._tool,
    "tool_result": Transcript._tool_result,
    "permission": Transcript._permission,
    "answer": Transcript._answer,
    "plan": Transcript._plan,
    "thinking": Transcript._thinking,
    "notice": _saying(lambda event: event["text"]),
    "retry": Transcript._retry,
    "result": Transcript._result,
    "error": Transcript._error,
    "cancelled": _saying(lambda event: f"stopped by {event['by']}"),
    "queued": _saying(lambda event: f"queued by {event['by']}: {event['text']}"),
    "withdrawn": _saying(lambda event: f"prompt {event['queued']} was withdrawn by {event['by']}"),
    "turn_end": Transcript._turn_end,
    "renamed": _saying(lambda event: f"called {event['title']!r} by {event['by']}"),
    "archived": _saying(
        lambda event: f"{'archived' if event['archived'] else 'taken out again'} by {event['by']}"
    ),
    "repaired": _saying(
        lambda event: f"a torn line of {event['bytes']} bytes was moved to {event['saved_as']}"
    ),
}
