"""How a turn of an ACP agent ended: the keys of its `result` event."""

from typing import Any

from breakglass.agents.acp import messages
from breakglass.agents.acp.messages import Message
from breakglass.agents.acp.updates import UpdateReader
from breakglass.agents.lines import as_text

_REFUSED = "The turn stopped because permission was refused."


def read_result(response: Message, updates: UpdateReader, *, is_refusal: bool) -> dict[str, Any]:
    """Return whether the turn failed, its last prose or the reason, and the tokens that it used.

    `response` is the agent's response to the prompt. `is_refusal` means that a user refused a tool and did not stop
    the turn: codex-acp has no other way to refuse than to stop.
    """
    text = updates.last_text
    failure = messages.STOP_REASONS.get(as_text(response.get("stopReason")), "")
    if response.get("stopReason") == "cancelled" and is_refusal:
        text, failure = _REFUSED, ""
    elif updates.has_failed and not failure:
        failure = text or "The agent's backend failed."
    usage = messages.usage(response)
    result = {"is_error": bool(failure), "result": failure or text}
    return {**result, "usage": usage} if usage else result


def read_cost(updates: UpdateReader, earlier: float) -> dict[str, float]:
    """Return the cost of the turn. The agent's total includes the `earlier` turns of its session."""
    total = updates.dollars
    if total is None:
        return {}
    cost = total - earlier
    return {"cost_usd": round(cost if cost >= 0 else total, 9)}
