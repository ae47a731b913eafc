"""Which of the modes that an ACP agent offers fits the permissions of a turn. Pure.

The protocol gives the names of modes no meaning. `read-only` is a mode that asks at one agent, and one that can do
nothing at another. So a mode is chosen by what is known of the agent that says its name, else by its id and by what
it says about itself. A wrong choice must be harmless: a turn that need not ask never leaves its mode for a weaker one.
"""

import re
from typing import NamedTuple

from breakglass.agents.acp.messages import Message
from breakglass.agents.lines import as_object, as_objects, as_short_text, as_text


class Mode(NamedTuple):
    """A mode as the agent describes it."""

    id: str
    about: str
    """Its name and description."""


class Offer(NamedTuple):
    """The modes that a session offers."""

    current: str
    modes: list[Mode]
    option: str
    """The id of the config option that sets the mode; "" if `session/set_mode` sets it."""

    def named(self, mode_id: str) -> Mode:
        """Return a mode by its id. The agent may name a current mode that it does not offer."""
        return next((mode for mode in self.modes if mode.id == mode_id), Mode(mode_id, ""))


class Choice(NamedTuple):
    """The mode that a turn needs."""

    mode: str
    """Its id; "" to keep the current one."""
    notice: str = ""
    """What the user should know about it, or ""."""


class KnownModes(NamedTuple):
    """What is known of the modes of one agent. Ids stand without punctuation."""

    acting: tuple[str, ...]
    """Modes in which it never asks, or asks only as its own configuration says."""
    asking: tuple[str, ...]
    """Modes in which it asks before it changes anything."""
    asks_for_all: bool = False
    """Whether permission is enough for it to do everything in a mode that asks."""


_KNOWN_AGENTS = {
    "claude": KnownModes(("bypasspermissions",), ("default",), asks_for_all=True),
    "codex": KnownModes(("agentfullaccess", "fullaccess"), ("readonly",)),
    "opencode": KnownModes(("build",), ()),
    "kilo": KnownModes(("code",), ()),
}
"""What an agent's name contains, to what is known of it.

OpenCode and Kilo ask as their own configuration says, in every mode. Their other modes are agents with fewer tools.
"""

_ACTING = ("bypasspermissions", "yolo", "fullaccess", "agentfullaccess", "allowall", "autopilot")
_ASKING = ("default", "manual", "ask", "readonly")

_SAYS_ACTING = re.compile(
    r"\bbypass|unrestricted|full access|approves? (all|every)|accepts? (all|every) permission|without asking"
    r"|never asks?\b|(skip|no|without)( all| any)? (permission|approval|confirmation)",
    re.IGNORECASE,
)
_SAYS_ASKING = re.compile(
    r"(?<!only )\b(ask|prompt|request)s?\b.*\b(before|permission|approval|confirm|dangerous)"
    r"|(?<!only )(prompts?|asks?) for|requir\w* (your )?(approval|confirmation|permission)|approval is required",
    re.IGNORECASE,
)
_SAYS_REFUSING = re.compile(
    r"\b(deny|denies|denied|refuse|no actual|without making changes|read.?only mode)", re.IGNORECASE
)
_REFUSING = ("plan", "dontask", "readonly", "architect")

_KEPT_ACTING = (
    'The agent offers no mode that never asks. It stays in its mode "{}", and gets permission if it asks.'
)
_KEPT_ASKING = 'The agent offers no mode that is known to ask. It stays in its mode "{}", and may not ask.'


def read_offer(session: Message) -> Offer:
    """Return the modes that a session offers: from `modes`, else from its config options."""
    state = as_object(session.get("modes"))
    if state:
        modes = [_mode(each, "id") for each in as_objects(state.get("availableModes"))]
        return Offer(as_short_text(state.get("currentModeId")), modes, "")
    for option in as_objects(session.get("configOptions")):
        if option.get("category") == "mode":
            offered = as_objects(option.get("options"))
            grouped = [value for group in offered for value in as_objects(group.get("options"))]
            modes = [_mode(each, "value") for each in grouped or offered]
            return Offer(as_short_text(option.get("currentValue")), modes, as_text(option.get("id")))
    return Offer("", [], "")


def choose(offer: Offer, agent: str, *, ask: bool) -> Choice:
    """Return the mode that a turn of the agent named `agent` needs: one that asks, or one that never asks."""
    if ask:
        return _choose_asking(offer, agent)
    if acting := _first(offer, agent, asks=False):
        return _switch(offer, acting)
    current = offer.named(offer.current)
    if not offer.modes or _is_asking(current, agent):
        return Choice("")
    asking, known = _first(offer, agent, asks=True), _known(agent)
    if asking and (_is_refusing(current) or (known and known.asks_for_all)):  # every question gets permission
        return Choice(asking)
    return Choice("", _KEPT_ACTING.format(offer.current))


def fallback(offer: Offer, agent: str, refused: str) -> str:
    """Return the mode for a turn that need not ask, after the agent refused a mode; "" to keep the current one."""
    current = offer.named(offer.current)
    asking = _first(offer, agent, asks=True)
    known = _known(agent)
    is_better = _is_refusing(current) or (known is not None and known.asks_for_all)
    return asking if asking not in (refused, offer.current) and is_better else ""


def never_asks(offer: Offer, agent: str) -> bool:
    """Return whether the current mode is known to be one that never asks."""
    known = _known(agent)
    asks_by_configuration = known is not None and not known.asking
    return not asks_by_configuration and _is_acting(offer.named(offer.current), agent)


def _choose_asking(offer: Offer, agent: str) -> Choice:
    if asking := _first(offer, agent, asks=True):
        return _switch(offer, asking)
    is_known = _known(agent) is not None
    return Choice("", "" if is_known or not offer.modes else _KEPT_ASKING.format(offer.current))


def _switch(offer: Offer, mode_id: str) -> Choice:
    return Choice("" if mode_id == offer.current else mode_id)


def _first(offer: Offer, agent: str, *, asks: bool) -> str:
    """Return the id of the best mode that asks, or that never asks: known names first, then descriptions."""
    fits = _is_asking if asks else _is_acting
    fitting = [mode for mode in offer.modes if fits(mode, agent)]
    names = _names(agent, asks=asks)
    fitting.sort(key=lambda mode: names.index(_key(mode.id)) if _key(mode.id) in names else len(names))
    return fitting[0].id if fitting else ""


def _is_acting(mode: Mode, agent: str) -> bool:
    if _known(agent) is not None:
        return _key(mode.id) in _names(agent, asks=False)
    if _key(mode.id) in _ACTING:
        return True
    return bool(_SAYS_ACTING.search(mode.about)) and not _SAYS_REFUSING.search(mode.about)


def _is_asking(mode: Mode, agent: str) -> bool:
    if _known(agent) is not None:
        return _key(mode.id) in _names(agent, asks=True)
    key, about = _key(mode.id), mode.about
    if key in _ACTING or _SAYS_ACTING.search(about) or _SAYS_REFUSING.search(about):
        return False
    return bool(_SAYS_ASKING.search(about)) or key in _ASKING[:2] or (key in _ASKING and not about)


def _is_refusing(mode: Mode) -> bool:
    return _key(mode.id) in _REFUSING or bool(_SAYS_REFUSING.search(mode.about))


def _known(agent: str) -> KnownModes | None:
    return next((known for name, known in _KNOWN_AGENTS.items() if name in agent.lower()), None)


def _names(agent: str, *, asks: bool) -> tuple[str, ...]:
    known = _known(agent) or KnownModes(_ACTING, _ASKING)
    return known.asking if asks else known.acting


def _key(mode_id: str) -> str:
    """Return the id of a mode without punctuation and path. Some agents name modes with addresses."""
    return re.sub(r"[^a-z]", "", re.split(r"[#/]", mode_id.lower())[-1])


def _mode(described: Message, id_key: str) -> Mode:
    words = (as_short_text(described.get(key)) for key in ("name", "description"))
    return Mode(as_short_text(described.get(id_key)), " ".join(filter(None, words)))
