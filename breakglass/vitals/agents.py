"""Whether each agent is ready, as a vital sign."""

import time
from functools import partial

from breakglass.config import Config
from breakglass.config.agents import AgentConfig, built_in
from breakglass.text import one_line
from breakglass.vitals import Sign, unknown
from breakglass.vitals.examine import ask_login, find_program
from breakglass.vitals.probes import Place, Probe

KEEP_SECONDS = 300.0
"""For how long the answer is used again: an agent's program takes seconds of processor time to report its login."""
SOON_SECONDS = 7 * 86400
"""A login that ends within that time is shown before it ends."""


def agent_probes(config: Config) -> list[Probe]:
    """Return a probe for each agent, without a built-in one that is not installed and not used."""
    return [
        Probe(f"agent_{agent.name}", agent.name, partial(_examine, config, agent), KEEP_SECONDS)
        for agent in config.agents.values()
        if _is_used(config, agent)
    ]


def _is_used(config: Config, agent: AgentConfig) -> bool:
    is_built_in = built_in().get(agent.name) == agent
    return not is_built_in or agent.name == config.agent or agent.program(config.environ) is not None


def _examine(config: Config, agent: AgentConfig, place: Place) -> Sign:
    name = f"agent_{agent.name}"
    found = find_program(config, agent)
    if found.problem:
        return Sign(name, agent.name, "bad", one_line(found.problem, 100))
    login = agent.about.login
    if login is None:
        return Sign(name, agent.name, "ok", "ready")
    answer = ask_login(agent, found)
    is_logged_in = None if answer is None else login.read(answer)
    if answer is None or is_logged_in is None:
        return unknown(name, agent.name, "it does not say whether it is logged in")
    if not is_logged_in:
        return Sign(name, agent.name, "bad", "not logged in")
    return _ending_login(name, agent.name, login.read_end(answer))


def _ending_login(name: str, label: str, ends: float | None) -> Sign:
    """Return the sign of an agent that is logged in until `ends` (seconds since the epoch); None if that is unknown."""
    left = float("inf") if ends is None else ends - time.time()
    if left > SOON_SECONDS:
        return Sign(name, label, "ok", "ready")
    if left <= 0:
        return Sign(name, label, "bad", "its login has ended", 0)
    days, hours = divmod(int(left) // 3600, 24)
    return Sign(name, label, "warn", f"login ends in {f'{days} d' if days else f'{hours} h'}", round(left))
