"""The requests that open a session of an ACP agent, in order, up to the prompt. Pure.

`initialize`; then `session/new`, or for an earlier session `session/resume` or `session/load`; then the model and the
mode, if they must be set; then `session/prompt`. Each request is sent after the response to the one before it. An
agent that requires a login gets `authenticate` once, if it offers a way that needs no user. After `session/load` the
prompt waits until the agent is quiet, because gemini-cli replays the past after its response.
"""

import re
from typing import Any

from breakglass import __version__
from breakglass.agents import TurnInput
from breakglass.agents.acp import messages, session_settings
from breakglass.agents.acp.elicitation import CAPABILITY
from breakglass.agents.acp.login import Login
from breakglass.agents.acp.messages import Message
from breakglass.agents.acp.session_settings import SessionSettings
from breakglass.agents.acp.steps import PROMPT, CannotContinue, Step
from breakglass.agents.line_dialogue import error
from breakglass.agents.lines import as_object, as_short_text

_FORGOTTEN = (
    "The agent did not reopen its earlier session {} ({}). "
    "A new one begins, with a record of the earlier turns."
)

_SUPPORTED = re.compile(rf"\s*v?{messages.VERSION}(\.[0-9]+)*\s*", re.IGNORECASE)
"""The version of the protocol as agents write it: 1, "1", 1.0, "v1"."""

_INSTRUCTIONS = "[Instructions for this session, from its operator:\n{}\nEnd of the instructions.]\n\n"
"""The protocol has no system prompt, so they stand before the first prompt of a session."""


_REMARKS = (
    "Before this prompt, the agent got the remarks with which its questions of the last turn were answered."
)


class Opening:
    """The state of the opening: which request comes next. `advance` and `refused` raise `CannotContinue`."""

    def __init__(self, turn_input: TurnInput) -> None:
        self.session = ""
        """The open session; "" before it is open."""
        self.agent = ""
        """The agent's own name; "" before it said one."""
        self._input = turn_input
        self._login = Login(turn_input.variables)
        self._settings = SessionSettings(turn_input)
        self._model = ""
        self._models: list[str] = []
        self._reopen_method = ""  # the method that opens an earlier session, "" if the agent has none
        self._opening_step = Step("session/new", {})  # the last request that opens a session
        self._must_wait = False  # whether the agent may still replay the past
        self._takes_pictures = False

    @property
    def session_cost(self) -> float:
        """US dollars that the open session has cost before this turn."""
        return self._input.session_cost

    @property
    def mode(self) -> str:
        """The mode that the open session is in, "" if it offers none."""
        return self._settings.mode

    @property
    def titles_are_names(self) -> bool:
        """Whether this agent gives the name of a tool as the title of a call. For others it can be the command."""
        return any(name in self.agent.lower() for name in ("opencode", "kilo"))

    def begin(self) -> Step:
        """Return the first request."""
        return Step("initialize", messages.initialize(__version__, CAPABILITY if self._input.ask else {}))

    def advance(self, method: str, response: Message) -> Step:
        """Return the step after the response to a request of `method`."""
        if method == "initialize":
            return self._open_session(response)
        if method == "authenticate":
            return self._opening_step
        if method in ("session/new", "session/load", "session/resume"):
            self._accept_session(response)
            self._must_wait = method == "session/load"
        return self._next_setting_or_prompt()

    def after_quiet(self) -> Step:
        """Return what follows a step without a method, once the agent was quiet."""
        self._must_wait = False
        return self._next_setting_or_prompt()

    def refused(self, method: str | None, refusal: Any) -> Step:
        """Return the step after an error response to `method`. None: the agent could not read a request."""
        fields = as_object(refusal)
        needs_login = fields.get("code") == messages.AUTH_REQUIRED
        if needs_login:
            self._login.note_ways(fields.get("data"))
        if method == "authenticate":
            raise CannotContinue(self._login.explain_failure(refusal))
        reason = self._login.explain(refusal)
        if needs_login and method == self._opening_step.method and (way := self._login.next_way()):
            return Step("authenticate", {"methodId": way})
        if method is not None and method == self._reopen_method and not needs_login:
            return self._open_new_session(reason)
        if method in session_settings.METHODS and self._settings.is_mode_pending and not self._input.ask:
            self._settings.keep_mode(reason)
            return self._next_setting_or_prompt()
        raise CannotContinue(reason)

    def _open_session(self, response: Message) -> Step:
        self._login.note_ways(response)
        self.agent = as_short_text(as_object(response.get("agentInfo")).get("name"))
        version = response.get("protocolVersion")
        if isinstance(version, bool) or not _SUPPORTED.fullmatch(str(version)):
            raise CannotContinue(
                f"it speaks version {as_short_text(str(version))} of the protocol, "
                f"only {messages.VERSION} is supported"
            )
        offered = as_object(response.get("agentCapabilities"))
        if isinstance(as_object(offered.get("sessionCapabilities")).get("resume"), dict):
            self._reopen_method = "session/resume"  # like session/load, without a replay
        elif offered.get("loadSession") is True:
            self._reopen_method = "session/load"
        self._takes_pictures = as_object(offered.get("promptCapabilities")).get("image") is True
        if not self._input.session:
            return self._open(Step("session/new", self._session_params()))
        if not self._reopen_method:
            return self._open_new_session("it cannot reopen any")
        params = {**self._session_params(), "sessionId": self._input.session}
        return self._open(Step(self._reopen_method, params))

    def _open(self, step: Step) -> Step:
        self._opening_step = step._replace(drafts=[])  # sent again after a login
        return step

    def _open_new_session(self, reason: str) -> Step:
        replaced = error(_FORGOTTEN.format(self._input.session, reason))
        self._input = self._input.without_session()
        return self._open(Step("session/new", self._session_params(), [replaced]))

    def _session_params(self) -> Message:
        return {"cwd": self._input.cwd, "mcpServers": []}

    def _accept_session(self, response: Message) -> None:
        self.session = messages.session_id(response) or self._input.session or ""
        if not self.session:
            raise CannotContinue("it opened a session without a usable name")
        self._model = self._input.model or messages.model(response)
        self._models = messages.models(response)
        self._settings.choose(response, self.agent)

    def _next_setting_or_prompt(self) -> Step:
        if request := self._settings.next_request():
            method, params = request
            return Step(method, {"sessionId": self.session, **params})
        if self._must_wait:
            return Step("", {})
        pictures = self._input.pictures if self._takes_pictures else ()
        prompt = messages.prompt_blocks(self._input.prompt, pictures)
        notices = self._settings.notices
        if remarks := self._input.remarks and self._input.remarks():
            prompt.insert(0, {"type": "text", "text": remarks})
            notices = [*notices, ("notice", {"text": _REMARKS})]
        if self._input.instructions and not self._input.session:
            prompt.insert(0, {"type": "text", "text": _INSTRUCTIONS.format(self._input.instructions)})
        model = {"model": self._model} if self._model else {}
        offered = {"models": self._models} if self._models else {}
        opened = ("session", {"session_id": self.session, **model, **offered})
        return Step(PROMPT, {"sessionId": self.session, "prompt": prompt}, [opened, *notices])
