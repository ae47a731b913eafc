"""The requests that open a session of an ACP agent, in order, up to the prompt. Pure.

`initialize`; then `session/new`, or for an earlier session `session/resume` or `session/load`; then the model and the
mode, if they must be set; then `session/prompt`. Each request is sent after the response to the one before it.
After `session/load` the prompt waits until the agent is quiet, because gemini-cli replays the past after its response.
"""

from typing import Any, NamedTuple

from breakglass import __version__
from breakglass.agents import TurnInput
from breakglass.agents.acp import messages
from breakglass.agents.acp.messages import Message
from breakglass.agents.line_dialogue import error
from breakglass.agents.lines import as_object, as_objects, as_session_id
from breakglass.events import Draft

PROMPT = "session/prompt"

_FORGOTTEN = (
    "The agent did not reopen its earlier session {} ({}). A new one begins, without the earlier turns."
)
_NEVER_ASKS = (
    'its mode "{}" never asks, it offers no mode that asks, and the settings say permissions = "ask". '
    "Nothing was sent to it. Choose another mode in the agent's own settings."
)


class CannotContinue(Exception):
    """The agent cannot or must not run the turn. The text is the reason, for the user."""


class Step(NamedTuple):
    """The next request, and the events that are known so far."""

    method: str
    """Its method; "" to send nothing until the agent is quiet."""
    params: Message
    drafts: list[Draft] = []  # noqa: RUF012 — never changed


class Opening:
    """The state of the opening: which request comes next. `advance` and `refused` raise `CannotContinue`."""

    def __init__(self, turn_input: TurnInput) -> None:
        self.session = ""
        """The open session; "" before it is open."""
        self.is_replaced = False
        """Whether the session of the earlier turns was replaced by a new one."""
        self._input = turn_input
        self._model = ""
        self._auth_methods: list[Message] = []
        self._reopen_method = ""  # the method that opens an earlier session, "" if the agent has none
        self._settings: list[tuple[str, Message]] = []  # requests to send before the prompt
        self._must_wait = False  # whether the agent may still replay the past

    def begin(self) -> Step:
        """Return the first request."""
        return Step("initialize", messages.initialize(__version__))

    def advance(self, method: str, response: Message) -> Step:
        """Return the step after the response to a request of `method`."""
        if method == "initialize":
            return self._open_session(response)
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
        reason = messages.error_text(refusal, self._auth_methods)
        needs_login = as_object(refusal).get("code") == messages.AUTH_REQUIRED
        if method is not None and method == self._reopen_method and not needs_login:
            return self._open_new_session(reason)
        raise CannotContinue(reason)

    def _open_session(self, response: Message) -> Step:
        self._auth_methods = as_objects(response.get("authMethods"))
        version = response.get("protocolVersion")
        if version != messages.VERSION:
            raise CannotContinue(
                f"it speaks version {version} of the protocol, only {messages.VERSION} is supported"
            )
        offered = as_object(response.get("agentCapabilities"))
        if isinstance(as_object(offered.get("sessionCapabilities")).get("resume"), dict):
            self._reopen_method = "session/resume"  # like session/load, without a replay
        elif offered.get("loadSession") is True:
            self._reopen_method = "session/load"
        if not self._input.session:
            return Step("session/new", self._session_params())
        if not self._reopen_method:
            return self._open_new_session("it cannot reopen any")
        return Step(self._reopen_method, {**self._session_params(), "sessionId": self._input.session})

    def _open_new_session(self, reason: str) -> Step:
        self.is_replaced = True
        replaced = error(_FORGOTTEN.format(self._input.session, reason))
        return Step("session/new", self._session_params(), [replaced])

    def _session_params(self) -> Message:
        return {"cwd": self._input.cwd, "mcpServers": []}

    def _accept_session(self, response: Message) -> None:
        self.session = as_session_id(response.get("sessionId")) or self._input.session or ""
        if not self.session:
            raise CannotContinue("it opened a session without a name in visible ASCII")
        self._model = self._input.model or messages.model(response)
        self._choose_model(response)
        self._choose_mode(response)

    def _choose_model(self, session: Message) -> None:
        """Queue the request that sets the turn's model."""
        if not self._input.model:
            return
        option, _ = messages.config_option(session, "model")
        if option:
            params = {"configId": option, "value": self._input.model}
            self._settings.append(("session/set_config_option", params))
        elif as_object(session.get("models")):  # unstable before schema 1.0, and still in use
            self._settings.append(("session/set_model", {"modelId": self._input.model}))
        else:
            raise CannotContinue("it offers no choice of models, and the turn requires one")

    def _choose_mode(self, session: Message) -> None:
        """Queue the request that sets a mode that asks, or one that never asks.

        An agent without a mode that never asks gets a mode that asks, and permission for everything. Its default mode
        could be one that refuses without asking.
        """
        current, offered = messages.modes(session)
        wanted = messages.ASKING if self._input.ask else (*messages.ACTING, *messages.ASKING)
        mode = messages.pick(offered, wanted)
        if not mode and self._input.ask and current.lower() in messages.ACTING:
            raise CannotContinue(_NEVER_ASKS.format(current))
        if mode and mode != current and as_object(session.get("modes")):
            self._settings.append(("session/set_mode", {"modeId": mode}))
        elif mode and mode != current:
            params = {"configId": messages.config_option(session, "mode")[0], "value": mode}
            self._settings.append(("session/set_config_option", params))

    def _next_setting_or_prompt(self) -> Step:
        if self._settings:
            method, params = self._settings.pop(0)
            return Step(method, {"sessionId": self.session, **params})
        if self._must_wait:
            return Step("", {})
        prompt = [{"type": "text", "text": self._input.prompt}]
        model = {"model": self._model} if self._model else {}
        opened = ("session", {"session_id": self.session, **model})
        return Step(PROMPT, {"sessionId": self.session, "prompt": prompt}, [opened])
