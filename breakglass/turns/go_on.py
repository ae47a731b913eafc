"""The prompt with which a user lets an agent continue after its turn was cut short. Never sent without a user."""

import time
from datetime import datetime

from breakglass.state import SessionState

_WHAT_HAPPENED = {
    "lost": "Your last turn was lost: its process died, and every process that it had started was killed.",
    "timeout": "Your last turn was stopped because it took too long, and every process that it had started was killed.",
}
_RESTARTED = " The machine was restarted after that."
_WHAT_TO_DO = " Look at what was done and what is half done. Then continue with the task."


def prompt_to_go_on(state: SessionState, *, is_command_line: bool) -> str:
    """Return the prompt that says what happened, "" if the last turn of an agent was not cut short."""
    what = "" if is_command_line or state.is_action or state.turn else _WHAT_HAPPENED.get(state.status, "")
    return f"{what}{_RESTARTED if _was_restarted(state.updated) else ''}{_WHAT_TO_DO}" if what else ""


def _was_restarted(ts: str) -> bool:
    """Return whether the machine has started after `ts` (RFC 3339)."""
    try:
        at = datetime.fromisoformat(ts).timestamp()
    except ValueError:
        return False
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) > at
