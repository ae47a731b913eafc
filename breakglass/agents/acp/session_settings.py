"""The model and the mode that a turn sets in an ACP agent's session before the prompt. Pure.

Which mode a turn needs is decided in `modes`. A mode that the agent refuses is replaced once, if the turn need not ask.
"""

from breakglass.agents import TurnInput
from breakglass.agents.acp import messages, modes
from breakglass.agents.acp.messages import Message
from breakglass.agents.acp.steps import CannotContinue
from breakglass.agents.lines import as_object
from breakglass.events import Draft

METHODS = ("session/set_mode", "session/set_config_option")
"""The methods that can set a mode."""

_NEVER_ASKS = (
    'its mode "{}" never asks, it offers no mode that asks, and the settings say permissions = "ask". '
    "Nothing was sent to it. Choose another mode in the agent's own settings."
)
_MODE_REFUSED = (
    'The agent refused its mode "{}" ({}). It stays in its mode "{}". Breakglass gives permission if it asks.'
)


class SessionSettings:
    """The requests that set the model and the mode, in order. `choose` raises `CannotContinue`."""

    def __init__(self, turn_input: TurnInput) -> None:
        self.notices: list[Draft] = []
        """What the user should know about the mode. They come with the prompt."""
        self._input = turn_input
        self._agent = ""
        self._requests: list[tuple[str, Message]] = []
        self._offer = modes.Offer("", [], "")
        self._wanted_mode = ""  # that the last request sets
        self._has_fallen_back = False

    def choose(self, session: Message, agent: str) -> None:
        """Choose the model and the mode in what a session offers. `agent` is the agent's own name."""
        self._agent = agent
        self._choose_model(session)
        self._choose_mode(session)

    def next_request(self) -> tuple[str, Message] | None:
        """Return the method and the parameters of the next request, None if all are sent."""
        return self._requests.pop(0) if self._requests else None

    @property
    def is_mode_pending(self) -> bool:
        """Whether the request that was sent last sets the mode. It is the last one."""
        return bool(self._wanted_mode) and not self._requests

    @property
    def mode(self) -> str:
        """The mode that the session is in once every request has its response; "" if it offers none."""
        return self._wanted_mode or self._offer.current

    def keep_mode(self, reason: str) -> None:
        """Go on in another mode. Every question gets permission, so the agent can do the same in a mode that asks."""
        refused, self._wanted_mode = self._wanted_mode, ""
        other = modes.fallback(self._offer, self._agent, refused) if not self._has_fallen_back else ""
        self._has_fallen_back = True
        if other:
            self._queue_mode(other)
        stays = other or self._offer.current
        self.notices.append(("notice", {"text": _MODE_REFUSED.format(refused, reason, stays)}))

    def _choose_model(self, session: Message) -> None:
        """Queue the request that sets the turn's model."""
        if not self._input.model:
            return
        option, _ = messages.config_option(session, "model")
        if option:
            params = {"configId": option, "value": self._input.model}
            self._requests.append(("session/set_config_option", params))
        elif as_object(session.get("models")):  # unstable before schema 1.0, and still in use
            self._requests.append(("session/set_model", {"modelId": self._input.model}))
        else:
            raise CannotContinue("it offers no choice of models, and the turn requires one")

    def _choose_mode(self, session: Message) -> None:
        """Queue the request that sets a mode which asks, or one which does not."""
        self._offer = modes.read_offer(session)
        choice = modes.choose(self._offer, self._agent, ask=self._input.ask)
        if self._input.ask and not choice.mode and modes.never_asks(self._offer, self._agent):
            raise CannotContinue(_NEVER_ASKS.format(self._offer.current))
        if choice.notice:
            self.notices.append(("notice", {"text": choice.notice}))
        if choice.mode:
            self._queue_mode(choice.mode)

    def _queue_mode(self, mode: str) -> None:
        if self._offer.option:
            params = {"configId": self._offer.option, "value": mode}
            self._requests.append(("session/set_config_option", params))
        else:
            self._requests.append(("session/set_mode", {"modeId": mode}))
        self._wanted_mode = mode
