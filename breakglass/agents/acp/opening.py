"""The requests that open a session of an ACP agent, in order, up to the prompt. Pure.

`initialize`; then `session/new`, or for an earlier session `session/resume` or `session/load`; then the model and the
mode, if they must be set; then `session/prompt`. Each request is sent after the response to the one before it. An
agent that requires a login gets `authenticate` once, if it offers a way that needs no user. After `session/load` the
prompt waits until the agent is quiet, because gemini-cli replays the past after its response.
"""

from typing import Any, NamedTuple

from breakglass import __version__
from breakglass.agents import TurnInput
from breakglass.agents.acp import messages, modes
from breakglass.agents.acp.messages import Message
from breakglass.agents.line_dialogue import error
from breakglass.agents.lines import as_object, as_objects, as_session_id, as_short_text
from breakglass.events import Draft

PROMPT = "session/prompt"

_FORGOTTEN = (
    "The agent did not reopen its earlier session {} ({}). A new one begins, without the earlier turns."
)
_NEVER_ASKS = (
    'its mode "{}" never asks, it offers no mode that asks, and the settings say permissions = "ask". '
    "Nothing was sent to it. Choose another mode in the agent's own settings."
)
_MODE_REFUSED = (
    'The agent refused its mode "{}" ({}). It stays in its mode "{}". Breakglass gives permission if it asks.'
)
_SETTING_METHODS = ("session/set_mode", "session/set_config_option")


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
        self.agent = ""
        """The agent's own name; "" before it said one."""
        self._input = turn_input
        self._model = ""
        self._auth_methods: list[Message] = []
        self._reopen_method = ""  # the method that opens an earlier session, "" if the agent has none
        self._settings: list[tuple[str, Message]] = []  # requests to send before the prompt
        self._offer = modes.Offer("", [], "")
        self._notices: list[Draft] = []  # that come with the prompt
        self._opening_step = Step("session/new", {})  # the last request that opens a session
        self._has_authenticated = False
        self._wanted_mode = ""  # that the last setting sets
        self._has_fallen_back = False
        self._must_wait = False  # whether the agent may still replay the past

    @property
    def titles_are_names(self) -> bool:
        """Whether this agent gives the name of a tool as the title of a call. For others it can be the command."""
        return any(name in self.agent.lower() for name in ("opencode", "kilo"))

    def begin(self) -> Step:
        """Return the first request."""
        return Step("initialize", messages.initialize(__version__))

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
            offered = as_objects(as_object(fields.get("data")).get("authMethods"))
            self._auth_methods = self._auth_methods or offered
        reason = messages.error_text(refusal, self._auth_methods)
        if method == "authenticate":
            raise CannotContinue(f"it refused its login ({reason}). {self._login_advice()}")
        if needs_login and method == self._opening_step.method and (way := self._way_to_log_in()):
            return Step("authenticate", {"methodId": way})
        if method is not None and method == self._reopen_method and not needs_login:
            return self._open_new_session(reason)
        if method in _SETTING_METHODS and self._is_mode_pending and not self._input.ask:
            return self._keep_mode(reason)
        raise CannotContinue(reason)

    def _way_to_log_in(self) -> str:
        """Return the id of a login that needs no person, "" if there is none or it was tried already."""
        if self._has_authenticated:
            return ""
        self._has_authenticated = True
        return messages.way_without_person(self._auth_methods, self._input.variables)

    def _login_advice(self) -> str:
        required = {"code": messages.AUTH_REQUIRED, "message": "It requires a login"}
        return messages.error_text(required, self._auth_methods)

    def _open_session(self, response: Message) -> Step:
        self._auth_methods = as_objects(response.get("authMethods"))
        self.agent = as_short_text(as_object(response.get("agentInfo")).get("name"))
        version = response.get("protocolVersion")
        if isinstance(version, bool) or str(version) != str(messages.VERSION):
            raise CannotContinue(
                f"it speaks version {as_short_text(str(version))} of the protocol, "
                f"only {messages.VERSION} is supported"
            )
        offered = as_object(response.get("agentCapabilities"))
        if isinstance(as_object(offered.get("sessionCapabilities")).get("resume"), dict):
            self._reopen_method = "session/resume"  # like session/load, without a replay
        elif offered.get("loadSession") is True:
            self._reopen_method = "session/load"
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
        self.is_replaced = True
        replaced = error(_FORGOTTEN.format(self._input.session, reason))
        return self._open(Step("session/new", self._session_params(), [replaced]))

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
        """Queue the request that sets a mode which asks, or one which does not."""
        self._offer = modes.read_offer(session)
        choice = modes.choose(self._offer, self.agent, ask=self._input.ask)
        if self._input.ask and not choice.mode and modes.never_asks(self._offer, self.agent):
            raise CannotContinue(_NEVER_ASKS.format(self._offer.current))
        if choice.notice:
            self._notices.append(("notice", {"text": choice.notice}))
        if choice.mode:
            self._queue_mode(choice.mode)

    def _queue_mode(self, mode: str) -> None:
        if self._offer.option:
            params = {"configId": self._offer.option, "value": mode}
            self._settings.append(("session/set_config_option", params))
        else:
            self._settings.append(("session/set_mode", {"modeId": mode}))
        self._wanted_mode = mode

    @property
    def _is_mode_pending(self) -> bool:
        """Whether the request that was sent last sets the mode. It is the last setting."""
        return bool(self._wanted_mode) and not self._settings

    def _keep_mode(self, reason: str) -> Step:
        """Go on in another mode. Every question gets permission, so the agent can do the same in a mode that asks."""
        refused, self._wanted_mode = self._wanted_mode, ""
        other = modes.fallback(self._offer, self.agent, refused) if not self._has_fallen_back else ""
        self._has_fallen_back = True
        if other:
            self._queue_mode(other)
        stays = other or self._offer.current
        self._notices.append(("notice", {"text": _MODE_REFUSED.format(refused, reason, stays)}))
        return self._next_setting_or_prompt()

    def _next_setting_or_prompt(self) -> Step:
        if self._settings:
            method, params = self._settings.pop(0)
            return Step(method, {"sessionId": self.session, **params})
        if self._must_wait:
            return Step("", {})
        prompt = [{"type": "text", "text": messages.prompt_text(self._input.prompt)}]
        model = {"model": self._model} if self._model else {}
        opened = ("session", {"session_id": self.session, **model})
        return Step(PROMPT, {"sessionId": self.session, "prompt": prompt}, [opened, *self._notices])
