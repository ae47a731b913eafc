"""The Claude Code CLI: one turn with `claude -p`, read as stream-json and, where leave must be asked, answered.

Two ways to speak to it. One-way: the prompt on standard input, which is then closed, and no questions.
Two-way (`Task.ask`): messages and the control protocol as JSON lines; a question (`can_use_tool`) becomes
a `permission` event, and standard input stays open until the agent has nothing more to ask.
"""

from collections import deque
from collections.abc import Callable
from io import StringIO

from breakglass.agents import Exit, Task
from breakglass.agents.claude import messages as read
from breakglass.agents.claude.messages import Line
from breakglass.agents.claude.tasks import Tasks
from breakglass.agents.lines import (
    MAX_LINE,
    Lines,
    fit,
    fit_table,
    gather,
    parse,
    session_id,
    short,
    string,
    table,
    tables,
    withdrawn,
)
from breakglass.events import MAX_OUTPUT, Draft, clip, dumps

_PRINT = ("-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages")
# The mode is said because the user's own settings may have a default that asks nobody.
_ASKING = ("--input-format", "stream-json", "--permission-prompt-tool", "stdio", "--permission-mode=default")
_ACTING = ("--dangerously-skip-permissions",)

_MAX_TOLD = 5 << 10  # bytes of an error's text: the end of standard error, and our own words
_MAX_UNREAD = 20  # lines
_FORGOTTEN = "The agent's earlier session {} was not found: a new one is begun, which knows nothing of it."
_NOISE = 1e-6  # US dollars: sums of rounded floats


class Dialogue:
    """One `claude` process."""

    merge_stderr = False

    def __init__(self, task: Task) -> None:
        self.argv = _command(task)
        self.environ: dict[str, str] = {}
        self.failed = False
        self.start_over = False
        self._task = task
        self._lines = Lines()
        self._to_say = b""
        self._session = ""
        self._counted = task.spent  # US dollars of the agent's session that are in the log
        self._streaming: dict[str, StringIO] = {}  # parent, or "", to prose that has no `text` yet
        self._questions: dict[str, Line] = {}
        self._tasks = Tasks()
        self._model = ""  # that answered last
        self._callers: dict[str, str] = {}  # subagent to the tool call that began it
        self._background = False
        self._interrupted = False
        self._resulted = False
        self._finished = not task.ask
        self._failure = ""  # why the last result failed
        self._told = ""  # the last API failure for which there is an `error` event
        self._unread: deque[bytes] = deque(maxlen=_MAX_UNREAD)  # what was no JSON: perhaps a complaint

    # --- what we say --------------------------------------------------------------------------

    def begin(self) -> list[Draft]:
        """Return nothing: the CLI says itself that it has begun."""
        return []

    def open(self) -> bytes:
        """Return the prompt."""
        if not self._task.ask:
            return self._task.prompt.encode(errors="replace")
        return _line(read.user_message(self._task.prompt))

    def answer(self, request: str, *, allow: bool, message: str = "") -> bool:
        """Answer an open question; False if there is none of that name.

        AskUserQuestion wants the choices: `message` has one line for each of its questions.
        """
        question = self._questions.pop(request, None)
        if question is None:
            return False
        verdict = read.allowing(question, message) if allow else read.denying(message)
        self._to_say += _line(read.response(question, verdict))
        return True

    def reply(self) -> bytes:
        """Return what is to be written now, once."""
        data, self._to_say = self._to_say, b""
        return data

    @property
    def finished(self) -> bool:
        """Whether no question can come any more: true at once where none may be asked."""
        return self._finished

    def interrupt(self) -> bytes:
        """Return the control request that stops the turn and keeps its prose; b"" where SIGINT does that."""
        if self._finished:
            return b""
        self._interrupted = True
        return _line(read.INTERRUPT)

    # --- what it says -------------------------------------------------------------------------

    def translate(self, data: bytes) -> list[Draft]:
        """Return the events in `data` and in what was held of the calls before."""
        return gather([draft for line in self._lines.feed(data) for draft in self._read(line)])

    def _read(self, raw: bytes | None) -> list[Draft]:
        if raw is None:
            return [_error(f"The agent printed a line of over {MAX_LINE >> 20} MiB; it is left out here.")]
        line = parse(raw)
        if line is None:
            if not raw.startswith(b"{"):  # else a line of its own, torn by its death
                self._unread.append(raw[:_MAX_TOLD])
            return []
        reader = _READERS.get(string(line.get("type")))
        return reader(self, line) if reader else []

    def _system(self, line: Line) -> list[Draft]:
        subtype = line.get("subtype")
        if subtype == "init":
            return self._init(line)
        if subtype == "api_retry":
            return [read.retry(line)]
        if subtype == "compact_boundary":
            return [read.compaction(line)]
        if subtype == "task_started":
            self._callers[string(line.get("task_id"))] = short(line.get("tool_use_id"))
        elif subtype == "background_tasks_changed":
            self._background = bool(tables(line.get("tasks")))
        return []

    def _init(self, line: Line) -> list[Draft]:
        session = session_id(line.get("session_id"))
        if not session or session == self._session:
            return []
        if session != self._task.session:
            self._counted = 0.0
        self._session = session
        model = short(line.get("model"))
        return [("session", {"session_id": session, **({"model": model} if model else {})})]

    def _stream_event(self, line: Line) -> list[Draft]:
        marks = read.parent_of(line)
        speaker = marks.get("parent", "")
        if table(line.get("event")).get("type") == "message_start":  # what a cut stream began is begun anew
            self._streaming.pop(speaker, None)
        text = read.text_delta(line)
        if not text:
            return []
        held = self._streaming.setdefault(speaker, StringIO())
        if held.tell() < MAX_OUTPUT:
            held.write(text)
        return [("delta", {"text": text, **marks})]

    def _assistant(self, line: Line) -> list[Draft]:
        self._tasks.call(line)
        drafts = read.said(line, thinking=self._task.thinking)
        texts = [fields["text"] for kind, fields in drafts if kind == "text"]
        marks = read.parent_of(line)
        if not marks:
            self._model = read.model(line) or self._model
        if line.get("is_api_error_message"):  # prose in form, but the CLI's words about its backend
            self._told = self._told if marks else "\n".join(texts)
            errors = [_error(read.advised(text, line.get("error")), marks) for text in texts]
            return self._unfinished(marks.get("parent", "")) + errors
        if texts:
            self._streaming.pop(marks.get("parent", ""), None)
        return drafts

    def _unfinished(self, speaker: str) -> list[Draft]:
        """Return as a `text` the prose that streamed and broke off: lost for the agent, not for the reader."""
        held = self._streaming.pop(speaker, None)
        if held is None:
            return []
        text = fit(held.getvalue())[0]
        return [("text", {"text": text, "parent": speaker} if speaker else {"text": text})]

    def _user(self, line: Line) -> list[Draft]:
        return read.answered(line) + self._tasks.carry_out(line)

    def _rate_limit_event(self, line: Line) -> list[Draft]:
        return read.rate_limit(line)

    def _result(self, line: Line) -> list[Draft]:
        self._resulted = True
        self._failure = read.failure(line)
        self._finished |= self._interrupted or not self._background  # a subagent there may still ask
        if self._is_missing(self._failure):
            return []
        return [
            *self._unfinished(""),
            ("result", {**read.result(line), "cost_usd": round(self._cost(line), 9), **self._answering()}),
        ]

    def _answering(self) -> dict[str, str]:
        return {"model": self._model} if self._model else {}

    def _cost(self, line: Line) -> float:
        """Return the US dollars of this result alone, and count them.

        The CLI's total runs on over resumes, and holds what a killed turn spent and never reported; but a
        CLI that was killed, or lost its home, may have forgotten its total. It also says what was spent
        since its last result, in this process: never less than that.
        """
        total, newly = read.dollars(line.get("total_cost_usd")), read.newly_spent(line)
        gained = total - self._counted
        if gained < -_NOISE:
            gained = total if newly is None else newly
        self._counted = total
        return max(gained, newly or 0.0, 0.0)

    def _control_request(self, line: Line) -> list[Draft]:
        asked = table(line.get("request"))
        request = short(line.get("request_id"))
        if not self._task.ask or not request:
            return []
        if asked.get("subtype") != "can_use_tool":
            self._to_say += _line(read.unsupported(line))
            return []
        self._questions[request] = line
        caller = self._callers.get(string(asked.get("agent_id")))
        fields = {
            "request": request,
            "name": short(asked.get("tool_name")),
            "input": fit_table(table(asked.get("input"))),
        }
        return [("permission", {**fields, **({"parent": caller} if caller else {})})]

    def _control_cancel_request(self, line: Line) -> list[Draft]:
        return self._withdraw(short(line.get("request_id")))

    def _withdraw(self, request: str) -> list[Draft]:
        if self._questions.pop(request, None) is None:
            return []
        return [withdrawn(request)]

    # --- how it ended -------------------------------------------------------------------------

    def close(self, end: Exit) -> list[Draft]:
        """Return what was still held, and the reason where the turn failed; sets `failed` and `start_over`."""
        last = self._lines.rest()
        drafts = self._read(last) if last else []
        for request in list(self._questions):
            drafts += self._withdraw(request)
        for speaker in list(self._streaming):
            drafts += self._unfinished(speaker)
        if end.cancelled:
            return gather(drafts)
        self.start_over = self._is_missing(self._failure or end.stderr)
        self.failed = bool(self._failure) or end.code != 0 or not self._resulted
        if self.start_over:
            drafts.append(_error(_FORGOTTEN.format(self._task.session)))
        elif self.failed and not (self._failure and self._failure == self._told):
            drafts.append(_error(self._failure or self._why(end)))
        return gather(drafts)

    def _is_missing(self, complaint: str) -> bool:
        return self._task.session is not None and not self._session and read.names_no_session(complaint)

    def _why(self, end: Exit) -> str:
        when = "after its answer" if self._resulted else "without an answer"
        printed = b"\n".join(self._unread)[-_MAX_TOLD:].decode(errors="replace")
        complaint = read.cause(end.stderr.strip() or printed.strip())
        return f"The agent failed {when}: {end.how}. {complaint}".strip()


_READERS: dict[str, Callable[[Dialogue, Line], list[Draft]]] = {
    "system": Dialogue._system,
    "stream_event": Dialogue._stream_event,
    "assistant": Dialogue._assistant,
    "user": Dialogue._user,
    "result": Dialogue._result,
    "rate_limit_event": Dialogue._rate_limit_event,
    "control_request": Dialogue._control_request,
    "control_cancel_request": Dialogue._control_cancel_request,
}
"""A line's type, to what is made of it. Other types are passed over."""


def _command(task: Task) -> list[str]:
    command = [*task.command, *_PRINT, *(_ASKING if task.ask else _ACTING)]
    if (
        task.ask and task.deny
    ):  # some tools it never asks about, like reading a file: then there is nothing to refuse
        command.append("--settings=" + dumps({"permissions": {"ask": list(task.deny)}}))
    if session := session_id(task.session):
        command.append(f"--resume={session}")  # in one word: a value must not act as a flag
    if task.model:
        command.append(f"--model={task.model}")
    return command


def _line(value: Line) -> bytes:
    return dumps(value).encode() + b"\n"


def _error(text: str, marks: dict[str, str] | None = None) -> Draft:
    return "error", {"error": clip(text, _MAX_TOLD)[0], **(marks or {})}
