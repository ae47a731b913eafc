"""The prompt with which a user lets an agent continue after its turn was cut short. Never sent without a user."""

from breakglass.config import Config
from breakglass.state import SessionState
from breakglass.turns.boot import has_restarted

_KILLED = ", and every process that it had started was killed."
_WHAT_HAPPENED = {
    "lost": f"Your last turn was lost: its process died{_KILLED}",
    "timeout": f"Your last turn was stopped because it took too long{_KILLED}",
}
_ENDED = {
    "ok": "Your last turn has ended.",
    "error": f"Your last turn ended with an error{_KILLED}",
    "cancelled": f"Your last turn was stopped by a user{_KILLED}",
}
"""What happened before the machine restarted. Without a restart, there is no reason to go on."""
_ACTION = "An action ran after your last turn."
_RESTARTED = " The machine has restarted since it began."
_WHAT_TO_DO = " Look at what was done and what is half done. Then continue with the task."


def prompt_to_go_on(config: Config, state: SessionState) -> str:
    """Return the prompt that says what happened to the agent of the session's next turn.

    "" if there is nothing to go on with: the last turn was not cut short, and the machine has not restarted since.
    """
    if state.turn or config.is_command_line(state.agent):
        return ""
    is_restarted = has_restarted(state.boot_id)
    if state.is_action:
        what = _ACTION if is_restarted and state.agents else ""
    else:
        what = _WHAT_HAPPENED.get(state.status, "") or (_ENDED.get(state.status, "") if is_restarted else "")
    return f"{what}{_RESTARTED if is_restarted else ''}{_WHAT_TO_DO}" if what else ""
