"""How a turn of an ACP agent ended: the keys of its `result` event."""

import re
from typing import Any

from breakglass.agents.acp import messages
from breakglass.agents.acp.messages import Message
from breakglass.agents.acp.updates import UpdateReader
from breakglass.agents.lines import as_text, beginning
from breakglass.events import Draft, dumps

CANCELLED: Message = {"stopReason": "cancelled"}
"""The response to a prompt that says that the turn was cancelled."""
_SAYS_REFUSED = re.compile(
    r"(?!.*\b[45]\d\d\b)(?=.*\b(operation|permission|tool|user)\b)"
    r".*\b(abort|cancel|declin|den(y|ied)|interrupt|refus|reject)",
    re.IGNORECASE | re.DOTALL,
)
"""A text that says what was refused or by whom. An HTTP status in it means that the backend refused, not the user."""
_UNKNOWN_REASON = "The agent ended its turn with a reason that Breakglass does not know: {}"
_REFUSED = "The turn stopped because permission was refused."


def read_result(
    response: Message, updates: UpdateReader, *, is_interrupted: bool, duration_ms: int, earlier_cost: float
) -> dict[str, Any]:
    """Return whether the turn failed, its last prose or the reason, its tokens, its duration and its cost.

    `response` is the agent's response to the prompt. `is_interrupted` means that a user stopped the turn. Without
    that, a cancelled turn in which permission was refused counts as refused, because codex-acp cannot refuse otherwise.
    `earlier_cost` is what the session had cost before the turn.
    """
    text = updates.last_text
    failure = messages.STOP_REASONS.get(as_text(response.get("stopReason")), "")
    if response.get("stopReason") == "cancelled" and updates.has_refusal and not is_interrupted:
        text, failure = _REFUSED, ""
    elif updates.has_failed and not failure:
        failure = text or "The agent's backend failed."
    usage = messages.usage(response)
    return {
        "is_error": bool(failure),
        "result": failure or text,
        **({"usage": usage} if usage else {}),
        "duration_ms": duration_ms,
        **_cost(updates, earlier_cost),
        **({"context": updates.context} if updates.context else {}),
    }


def refusal_in(error: Any) -> list[Draft]:
    """Return a notice if an error means that the turn ended because a user refused permission, else nothing.

    Some agents respond to the prompt with an error then, instead of `cancelled`.
    """
    said = messages.error_text(error, [])
    return [("notice", {"text": f"The agent ended its turn: {said}"})] if _SAYS_REFUSED.match(said) else []


def unknown_reason(response: Message) -> list[Draft]:
    """Return a notice if the agent ended its turn for a reason that Breakglass does not know."""
    reason = response.get("stopReason")
    if isinstance(reason, str) and (reason == "end_turn" or reason in messages.STOP_REASONS):
        return []
    said = beginning(dumps(reason)) if reason is not None else "none"
    return [("notice", {"text": _UNKNOWN_REASON.format(said)})]


def _cost(updates: UpdateReader, earlier: float) -> dict[str, float]:
    """Return the cost of the turn. The agent's total includes the `earlier` turns of its session."""
    total = updates.dollars
    if total is None:
        return {}
    cost = total - earlier
    return {"cost_usd": round(cost if cost >= 0 else total, 9)}
