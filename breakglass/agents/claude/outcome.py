"""The lines of the Claude Code CLI about the progress of a turn: retries, limits, results, costs, failures.

Format: as printed by 2.1.330 (tests/agents/claude/captures). No specification of it exists.
"""

import re
from typing import Any

from breakglass.agents.claude import LOG_IN, NOT_AS_ROOT
from breakglass.agents.claude.messages import Line, parent_of
from breakglass.agents.lines import as_count, as_object, as_short_text, as_text, cut_text
from breakglass.events import INTERRUPTED, Draft
from breakglass.tally import Tokens

_NO_SESSION = re.compile("No conversation found|does not match any session")
_DIAGNOSTIC = "[ede_diagnostic]"  # a note for the developers of the CLI
_ROUNDING = 1e-6  # US dollars: sums of rounded floats differ by less

_ADVICE = {
    "authentication_failed": f"Log the agent in: {LOG_IN.format(name='claude')}.",
    "billing_error": "The account of the agent's key has no credit left.",
    "model_not_found": "Choose another model for the next turn.",
}
"""The CLI's class of an API error, to what the user can do."""

_CAUSES = {
    "cannot be used with root": f"{NOT_AS_ROOT.format(name='claude')}.",
    "unknown option": "This Claude Code is too old for Breakglass: update it (2.1.330 is known to work).",
}
"""A part of standard error when the CLI does not start, to what the user can do."""


# --- notices --------------------------------------------------------------------------------------


def retry(line: Line) -> Draft:
    """Return the event for an `api_retry` line."""
    attempt = as_count(line.get("attempt")) or 0
    status = as_count(line.get("error_status"))
    text = as_short_text(line.get("error")) or "unknown"
    text += f" (HTTP {status})" if status else " (no HTTP answer)"
    if (most := as_count(line.get("max_retries"))) is not None:
        text += f", retry {attempt} of {most}"
    wait: dict[str, Any] = {}
    if (delay := as_count(line.get("retry_delay_ms"))) is not None:
        text += f" in {delay / 1000:.1f} s"
        wait = {"delay_ms": delay}
    error = with_advice(text, line.get("error"))
    return "retry", {"attempt": attempt, "error": error, **wait, **parent_of(line)}


def compaction(line: Line) -> Draft:
    """Return the event for a `compact_boundary` line."""
    metadata = as_object(line.get("compact_metadata"))
    sizes = [
        f"{size:,}"
        for key in ("pre_tokens", "post_tokens")
        if (size := as_count(metadata.get(key))) is not None
    ]
    text = "The agent's context was compacted: it now has a summary of everything before"
    text += f" ({' → '.join(sizes)} tokens)." if sizes else "."
    return "notice", {"text": text, **parent_of(line)}


def rate_limit(line: Line) -> list[Draft]:
    """Return the event for a `rate_limit_event` line, none while the limit is not near."""
    info = as_object(line.get("rate_limit_info"))
    wordings = {"allowed_warning": "is nearly reached", "rejected": "is reached"}
    wording = wordings.get(as_text(info.get("status")))
    if not wording:
        return []
    which = f" ({name.replace('_', ' ')})" if (name := as_short_text(info.get("rateLimitType"))) else ""
    text = f"The rate limit of the agent's account{which} {wording}"
    resets = as_count(info.get("resetsAt"))
    if resets is not None and resets < 1 << 33:
        from datetime import UTC, datetime  # slow to import, for a line that rarely comes

        at = datetime.fromtimestamp(resets, UTC)
        text += f"; it resets on {at:%Y-%m-%d} at {at:%H:%M} UTC"
    return [("notice", {"text": f"{text}."})]


# --- results --------------------------------------------------------------------------------------


def result(line: Line, model: str = "", context: int = 0) -> dict[str, Any]:
    """Return the fields of a `result` event, without its cost. `context`: the tokens in the context of `model`."""
    fields: dict[str, Any] = {
        "is_error": bool(line.get("is_error")),  # never by subtype: an API failure has the subtype `success`
        "result": cut_text(_conclusion(line))[0],
        "duration_ms": as_count(line.get("duration_ms")) or 0,
    }
    usage = as_object(line.get("usage"))
    tokens = {key: usage[key] for key in Tokens._fields if as_count(usage.get(key)) is not None}
    return fields | ({"usage": tokens} if tokens else {}) | _context(line, model, context)


def _context(line: Line, model: str, used: int) -> dict[str, Any]:
    """Return the key `context` of a `result` event, if the line says how much the context of that model can hold."""
    by_model = as_object(line.get("modelUsage"))
    only = next(iter(by_model), "") if len(by_model) == 1 else ""  # its name may have a suffix, such as [1m]
    size = as_count(as_object(by_model.get(model) or by_model.get(only)).get("contextWindow"))
    return {"context": {"used": used, "size": size}} if used and size else {}


def failure(line: Line) -> str:
    """Return why the turn of a `result` line failed, "" if it did not."""
    if not line.get("is_error"):
        return ""
    reason = as_short_text(line.get("subtype")) or "it did not say why"
    return _conclusion(line) or f"The agent gave up: {reason}."


def _conclusion(line: Line) -> str:
    errors = line.get("errors")
    texts = [as_text(text) for text in errors] if isinstance(errors, list) else []
    reported = "\n".join(text for text in texts if text and not text.startswith(_DIAGNOSTIC))
    is_aborted = as_text(line.get("terminal_reason")).startswith("aborted")
    return as_text(line.get("result")) or reported or (INTERRUPTED if is_aborted else "")


class SessionCost:
    """The cost of an agent's session in US dollars, from which each `result` gets its own cost.

    The CLI reports a total for all resumed turns, including a killed turn that never reported its cost. A CLI that was
    killed, or whose home was deleted, may have lost its total. The CLI also reports its cost since the last result of
    this process. The cost of a `result` is never less than that.
    """

    def __init__(self, logged: float) -> None:
        self._logged = logged

    def reset(self) -> None:
        """Forget the cost so far: the session is a new one."""
        self._logged = 0.0

    def add(self, line: Line) -> float:
        """Return the cost of a `result` line alone, and count it."""
        total, newest = _dollars(line.get("total_cost_usd")), _spent_since_last_result(line)
        cost = total - self._logged
        if cost < -_ROUNDING:
            cost = total if newest is None else newest
        self._logged = total
        return round(max(cost, newest or 0.0, 0.0), 9)


def _dollars(value: Any) -> float:
    """Return `value` if it is a plausible amount of US dollars, else 0."""
    return float(value) if type(value) in (int, float) and 0 <= value < 1e9 else 0.0


def _spent_since_last_result(line: Line) -> float | None:
    """Return the US dollars that this process spent since its last `result`, None if the line does not say."""
    used = line.get("model_usage_since_last_result")
    if not isinstance(used, dict):
        return None
    return sum(_dollars(as_object(model).get("costUSD")) for model in used.values())


# --- failures -------------------------------------------------------------------------------------


def says_session_is_missing(text: str) -> bool:
    """Return whether `text` is the CLI's error for a session to resume that does not exist."""
    return bool(_NO_SESSION.search(text))


def with_advice(text: str, error: Any) -> str:
    """Return `text` with what the user can do about an API error of the class `error`."""
    advice = _ADVICE.get(as_text(error))
    return f"{text}\n{advice}" if advice else text


def cause(stderr: str) -> str:
    """Return what the user can do about a CLI that did not start, else `stderr` itself."""
    return next((advice for part, advice in _CAUSES.items() if part in stderr), stderr)
