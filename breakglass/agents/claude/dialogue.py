"""The Claude Code CLI: one turn with `claude -p`, its stream-json read into events, its questions answered.

How this works
--------------

Standard input carries JSON lines: the prompt with its pictures, and the control protocol. With `TurnInput.ask`, a
`can_use_tool` request becomes a `permission` event, and its answer becomes a `control_response` line. The input is
closed after the result.

`_READERS` maps a line's type to the method that reads it. The other modules know nothing of this class. `output` reads
what the model says and does, with `messages` for single lines, `streamed_text` for what streams and `todo` for the
to-do list. `outcome` reads results, costs and failures. `rounds` knows whether the agent still works. `session` knows
which session it is in. `control` holds the open questions and makes the lines that we write. `steering` knows whether a
tool runs, and which prompts the agent got meanwhile.

Rules for editors:

1. Do not rely on the order of lines. `init` may come late or twice. A subagent's lines come between
   the main agent's.
2. A `result` line does not end the turn, because a background task may begin another round. The process's exit ends it.
   An agent that has answered and does not exit is ended by the runner.
3. Prose comes twice: as deltas, then whole. `StreamedText` holds the deltas that have no whole text yet, so that a
   broken stream or a stop loses none of them.
4. Judge a result by `is_error`, never by `subtype`.
"""

from collections.abc import Callable

from breakglass.agents import Exit, TurnInput
from breakglass.agents.claude import control, outcome
from breakglass.agents.claude.messages import Line
from breakglass.agents.claude.output import ModelOutput
from breakglass.agents.claude.session import AgentSession
from breakglass.agents.claude.steering import SteeredDialogue
from breakglass.agents.line_dialogue import error
from breakglass.agents.lines import (
    as_object,
    as_session_id,
    as_short_text,
    as_text,
    join_deltas,
    unreadable,
)
from breakglass.choices import NO_ANSWERS, Answers
from breakglass.events import Draft, dumps

_PRINT = ("-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages")
_READ = ("--input-format", "stream-json")
# Without the mode, the user's own settings could choose one that never asks.
_ASKING = ("--permission-prompt-tool", "stdio", "--permission-mode=default")
_ACTING = ("--dangerously-skip-permissions",)

_FORGOTTEN = (
    "The agent's earlier session {} was not found. A new one begins, with a record of the earlier turns."
)


class Dialogue(SteeredDialogue):
    """One `claude` process."""

    def __init__(self, turn_input: TurnInput) -> None:
        super().__init__(turn_input, _command(turn_input))
        self._session = AgentSession(turn_input.session)
        self._cost = outcome.SessionCost(turn_input.session_cost)
        self._output = ModelOutput(thinking=turn_input.thinking)
        self._tool_requests = control.ToolRequests()

    # --- what we write ------------------------------------------------------------------------

    def open(self) -> bytes:
        """Return the prompt."""
        prompt = control.escape_command(self._input.prompt)
        return control.user_message(prompt, self._input.pictures)

    def answer(self, request: str, *, allow: bool, message: str = "", answers: Answers = NO_ANSWERS) -> bool:
        """Answer an open question. Returns False if no such question is open."""
        line = self._tool_requests.answer(request, allow=allow, message=message, answers=answers)
        self._unwritten += line
        return bool(line)

    @property
    def answered(self) -> bool:
        """Whether the last round has ended, and no background task, question or prompt may continue it."""
        return self._rounds.are_over and not self._tool_requests.are_open and not self.unread

    def interrupt(self) -> bytes:
        """Return the control request that stops the turn and keeps its prose; b"" if only SIGINT does that.

        After a control request the agent would go on with a prompt that it has not read.
        """
        if self.finished or self.unread:
            return b""
        self._is_interrupted = True
        return control.interrupt()

    # --- what the agent prints ----------------------------------------------------------------

    def _is_message(self, value: Line) -> bool:
        return as_text(value.get("type")) in _READERS

    def _read(self, message: Line) -> list[Draft]:
        kind, subtype = as_text(message.get("type")), as_text(message.get("subtype"))
        reader = _READERS.get(kind)
        if reader and (kind != "system" or subtype in _SYSTEM or subtype.startswith("hook_")):
            return reader(self, message)
        return [] if kind in _WITHOUT_NEWS else [unreadable([dumps(message)])]

    def _system(self, line: Line) -> list[Draft]:
        subtype = line.get("subtype")
        if subtype == "init":
            return self._init(line)
        if subtype == "api_retry":
            self._output.streamed.expect_again()
            return [outcome.retry(line)]
        if subtype == "compact_boundary":
            return [outcome.compaction(line)]
        if subtype == "task_started":
            self._tool_requests.note_subagent(line)
        self._rounds.note_tasks(line)
        return []

    def _init(self, line: Line) -> list[Draft]:
        if self._session.name:
            self._rounds.begin()  # a second `init` begins another round
        drafts = self._session.read_init(line)
        if drafts and not self._session.is_resumed:
            self._cost.reset()
        return drafts

    def _stream_event(self, line: Line) -> list[Draft]:
        self._rounds.note_output(line)
        return self._output.streamed.read(line)

    def _assistant(self, line: Line) -> list[Draft]:
        self._rounds.note_output(line)
        return self._steering.note(self._output.read_assistant(line))

    def _user(self, line: Line) -> list[Draft]:
        return self._steering.note(self._output.read_user(line))

    def _rate_limit(self, line: Line) -> list[Draft]:
        return outcome.rate_limit(line)

    def _result(self, line: Line) -> list[Draft]:
        failure = outcome.failure(line)
        notices = self._rounds.end(failure)
        self._steering.end_round()
        # A subagent in the background may still ask.
        self.finished |= self._is_interrupted or not self._rounds.has_background_tasks
        if notices is None:
            return self._rounds.contradict(failure)
        if self._session.is_missing(failure):
            return []
        output = self._output
        model = {"model": output.model} if output.model else {}
        summary = outcome.result(line, output.model, output.context)
        result = {**summary, "cost_usd": self._cost.add(line), **model}
        return [*output.streamed.break_off(""), ("result", result), *notices]

    def _control_request(self, line: Line) -> list[Draft]:
        if not self._input.ask or not as_short_text(line.get("request_id")):
            return []
        if as_object(line.get("request")).get("subtype") == "can_use_tool":
            return [self._tool_requests.ask(line)]
        self._unwritten += control.unsupported(line)
        return []

    def _control_cancel_request(self, line: Line) -> list[Draft]:
        return self._tool_requests.withdraw(line)

    # --- the end ------------------------------------------------------------------------------

    def close(self, end: Exit) -> list[Draft]:
        """Return the events that were held back, and the reason if the turn failed. Sets `failed` and `start_over`."""
        drafts = self._read_rest() + self._tool_requests.close(end.description)
        drafts += self._output.streamed.break_off_all()
        if end.cancelled:
            return join_deltas(drafts)
        rounds = self._rounds
        self.start_over = self._session.is_missing(rounds.failure or end.stderr)
        has_bad_exit = end.code < 0 or (end.code > 0 and not rounds.is_contradicted)
        self.failed = bool(rounds.failure) or has_bad_exit or not rounds.has_result
        if self.start_over:
            drafts.append(error(_FORGOTTEN.format(self._input.session)))
        elif self.failed and not (rounds.failure and rounds.failure == self._output.reported_failure):
            drafts.append(error(rounds.failure or self._explain(end)))
        return join_deltas(drafts)

    def _explain(self, end: Exit) -> str:
        when = "after its answer" if self._rounds.has_result else "without an answer"
        reason = outcome.cause(end.stderr.strip() or self._plain_output())
        return f"The agent failed {when}: {end.description}. {reason}".strip()


_READERS: dict[str, Callable[[Dialogue, Line], list[Draft]]] = {
    "system": Dialogue._system,
    "stream_event": Dialogue._stream_event,
    "assistant": Dialogue._assistant,
    "user": Dialogue._user,
    "result": Dialogue._result,
    "rate_limit_event": Dialogue._rate_limit,
    "command_lifecycle": Dialogue._lifecycle,
    "control_request": Dialogue._control_request,
    "control_cancel_request": Dialogue._control_cancel_request,
}
"""A line's type, to the method that reads it. A line of an unknown type is a notice."""

_SYSTEM = frozenset(
    {
        *("init", "api_retry", "compact_boundary", "task_started", "background_tasks_changed"),
        *("status", "session_state_changed", "thinking_tokens", "files_persisted"),
        *("task_progress", "task_updated", "task_notification", "permission_denied"),  # tools say the same
    }
)
"""The known subtypes of `system` lines. Most hold nothing for a reader of the log."""

_WITHOUT_NEWS = frozenset(
    {
        "control_response",
        "keep_alive",
        "tool_progress",
        "auth_status",
        "prompt_suggestion",
    }
)
"""Types of lines that hold nothing for a reader of the log."""


def _command(turn_input: TurnInput) -> list[str]:
    command = [*turn_input.command, *_PRINT, *_READ, *(_ASKING if turn_input.ask else _ACTING)]
    if turn_input.ask and turn_input.deny:  # else it never asks about some tools, such as Read
        command.append("--settings=" + dumps({"permissions": {"ask": list(turn_input.deny)}}))
    if session := as_session_id(turn_input.session):
        command.append(f"--resume={session}")  # one argument, so that the value cannot become an option
    if turn_input.max_cost is not None:
        # It compares what this process has spent. The cost in its result includes the turns that it resumes.
        command.append(f"--max-budget-usd={turn_input.max_cost:.6f}")
    if turn_input.model:
        command.append(f"--model={turn_input.model}")
    if turn_input.instructions:
        command.append(f"--append-system-prompt={turn_input.instructions}")
    if turn_input.runbooks:
        command.append(f"--add-dir={turn_input.runbooks}")
    return command
