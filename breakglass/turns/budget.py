"""The budget of a day: over it, a prompt to an agent needs a confirmation. It locks nobody out."""

from breakglass.config import Config
from breakglass.errors import OverBudget
from breakglass.store.spent import spent_today
from breakglass.text import money


def over_budget(config: Config) -> str:
    """Return the sentence that says that today's budget is spent, "" while it is not."""
    limit = config.max_cost_usd_per_day
    if limit is None or (spent := spent_today(config.data)) < limit:
        return ""
    return f"today's budget is spent: {money(spent)} of {money(limit)}"


def refuse_over_budget(config: Config, agent: str) -> None:
    """Raise OverBudget if today's budget is spent. A command line costs nothing, so it is never refused."""
    if not config.is_command_line(agent) and (text := over_budget(config)):
        raise OverBudget(
            f"{text}; it can be sent all the same (over_budget, or breakglass send --over-budget)"
        )
