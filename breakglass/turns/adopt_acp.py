"""Ask an ACP agent for the sessions that it keeps itself. Starts one process of it, which gets no prompt."""

import os
import selectors
import signal
import subprocess
import time

from breakglass.agents.acp.listing import Listed, Listing
from breakglass.agents.environ import environment
from breakglass.config import Config
from breakglass.config.agents import AgentConfig
from breakglass.errors import BreakglassError, NotFound

SECONDS = 120.0
"""How long the agent may take. opencode needs half a minute to start on a busy machine."""


def list_sessions(config: Config, agent: AgentConfig) -> list[Listed]:
    """Return the sessions that the agent lists. Raises NotFound if it lists none, with the reason."""
    variables = environment(config.environ, agent.protocol, agent.pass_env, agent.env)
    listing = Listing()
    try:
        with subprocess.Popen(
            agent.command,
            env=variables,
            cwd=variables.get("HOME", "/"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as program:
            try:
                _exchange(program, listing)
            finally:
                os.killpg(program.pid, signal.SIGKILL)  # some agents stay when their input ends
    except OSError as error:
        raise BreakglassError(f"{agent.name} could not be asked for its sessions: {error}") from error
    if listing.problem or not listing.finished:
        why = listing.problem or "it gave no answer"
        raise NotFound(f"the sessions of {agent.name} cannot be listed: {why}")
    return [each for each in listing.sessions if each.id]


def _exchange(program: "subprocess.Popen[bytes]", listing: Listing) -> None:
    """Pass bytes both ways until the list is complete, the agent ends or the time is over."""
    assert program.stdin
    assert program.stdout
    deadline = time.monotonic() + SECONDS
    program.stdin.write(listing.open())
    program.stdin.flush()
    with selectors.DefaultSelector() as ready:
        ready.register(program.stdout, selectors.EVENT_READ)
        while not listing.finished and ready.select(max(0.0, deadline - time.monotonic())):
            data = os.read(program.stdout.fileno(), 1 << 16)
            if not data:
                return
            program.stdin.write(listing.read(data))
            program.stdin.flush()
