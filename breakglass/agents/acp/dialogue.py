"""Any agent that speaks the Agent Client Protocol: one process, one session, one prompt, over standard streams.

How this works
--------------

Both sides send JSON-RPC messages, one a line. `Opening` decides which request we send next, up to `session/prompt`.
`SentRequests` numbers our requests and finds the one that a response belongs to. `UpdateReader` turns the agent's
`session/update` notifications into events, and `UpdateFilter` passes it those of this turn. `messages` reads and makes
single messages, `answering` answers the agent's requests, `Questions` holds the open questions, and `outcome` reads how
the turn ended. This class connects them.

Rules for editors:

1. The agent's requests have ids that overlap with ours. A message with a `method` is a request of the agent; a
   message without one is a response to a request of ours.
2. Updates before `session/prompt` are ignored, unless the session is new: an agent that loads a session replays its
   past. Some replay it after their response, so the prompt then waits until the agent is quiet. Updates of another
   session are not shown.
3. The response to `session/prompt` ends the turn, and standard input is closed. What the agent prints after it
   belongs to the turn: the last text and the result are made when the agent has exited.
4. What has no place in the log becomes a notice. Only `answering._QUIET_METHODS` and `updates._WITHOUT_NEWS` are left
   out.
"""

from breakglass.agents import Exit, TurnInput
from breakglass.agents.acp import outcome
from breakglass.agents.acp.answering import AnsweringDialogue
from breakglass.agents.acp.messages import Message
from breakglass.agents.acp.opening import Opening
from breakglass.agents.acp.requests import SentRequests
from breakglass.agents.acp.steps import PROMPT, CannotContinue, Step
from breakglass.agents.line_dialogue import error
from breakglass.agents.lines import (
    as_object,
    closed_by_exit,
    join_deltas,
    unreadable,
)
from breakglass.events import Draft, dumps


class Dialogue(AnsweringDialogue):
    """One process of an ACP agent. It never needs to start over: a missing session is replaced in the same process."""

    def __init__(self, turn_input: TurnInput) -> None:
        super().__init__(turn_input)
        self._sent = SentRequests()
        self._opening = Opening(turn_input)
        self._response: Message | None = None  # to the prompt
        self._is_interrupted = False

    # --- what we write ------------------------------------------------------------------------

    def open(self) -> bytes:
        """Return the first request, `initialize`."""
        self._send_step(self._opening.begin())
        return self.reply()

    @property
    def answered(self) -> bool:
        """Whether the prompt has its response, or the agent failed before that."""
        return self.finished

    def interrupt(self) -> bytes:
        """Return the cancellation of the turn and of its questions; b"" if no prompt is running."""
        if not self._update_filter.has_begun or self.finished:
            return b""
        self._is_interrupted = True
        cancellation = {"method": "session/cancel", "params": {"sessionId": self._opening.session}}
        self._write(cancellation, *self._questions.cancel_all())
        return self.reply()

    def _send_step(self, step: Step) -> list[Draft]:
        """Send the request of `step`, and return its events."""
        self.waits_for_quiet = not step.method
        if not step.method:
            return step.drafts
        self._write(self._sent.add(step.method, step.params))
        self._update_filter.is_new = self._update_filter.is_new or step.method == "session/new"
        if step.method != PROMPT:
            return step.drafts
        self._update_filter.begin(self._opening.session)
        self._updates.mode = self._opening.mode
        return [*self._updates.flush(), *step.drafts]

    def after_quiet(self) -> list[Draft]:
        """Send what waited until the agent has replayed the past."""
        return self._send_step(self._opening.after_quiet()) if self.waits_for_quiet else []

    # --- what the agent prints ----------------------------------------------------------------

    def _is_message(self, value: Message) -> bool:
        return value.get("jsonrpc") == "2.0"

    def _read(self, message: Message) -> list[Draft]:
        if "method" in message:
            return self._read_request(message)
        response = self._sent.match(message)
        if self.finished or response is None:
            return [unreadable([dumps(message)])]
        is_refused = response.method == PROMPT and response.is_error and self._updates.has_refusal
        if is_refused and (told := outcome.refusal_in(message["error"])):
            self.finished, self._response = True, outcome.CANCELLED
            return told
        try:
            if response.is_error:
                return self._send_step(self._opening.refused(response.method, message["error"]))
            return self._read_response(response.method or "", as_object(message.get("result")))
        except CannotContinue as reason:
            self.failed = self.finished = True
            return [*self._updates.flush(), error(f"The agent failed: {reason}")]

    def _read_response(self, method: str, response: Message) -> list[Draft]:
        if method != PROMPT:
            drafts = self._send_step(self._opening.advance(method, response))
            self._updates.titles_are_names = self._opening.titles_are_names
            return drafts
        self.finished = True
        self._response = response
        return outcome.unknown_reason(response)

    # --- the end ------------------------------------------------------------------------------

    def close(self, end: Exit) -> list[Draft]:
        """Return the events that were held back, the result, and the reason if the turn failed. Sets `failed`."""
        drafts = self._read_rest() + self._updates.end()
        drafts += [closed_by_exit(request, end.description) for request in self._questions.unanswered()]
        if self._response is not None:
            result = outcome.read_result(
                self._response,
                self._updates,
                is_interrupted=self._is_interrupted,
                duration_ms=end.duration_ms,
                earlier_cost=self._opening.session_cost,
            )
            drafts.append(("result", result))
            if result["is_error"] and not end.cancelled:
                self.failed = True
                drafts.append(error(result["result"]))
        elif not self.failed and not end.cancelled:
            self.failed = True
            reason = end.stderr.strip() or self._plain_output()
            drafts.append(error(f"The agent failed without an answer: {end.description}. {reason}".strip()))
        return join_deltas(drafts)
