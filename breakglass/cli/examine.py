"""An agent looked at without a prompt: can it start here, which version is it, does it seem logged in."""

import json
import os
import re
import subprocess
from typing import Any

from breakglass.agents.environ import environment
from breakglass.config import AgentConfig, Config
from breakglass.text import one_line, strip_escapes

VERSION_SECONDS = 2.0
"""How long an agent may take to say its version."""
LOGIN_SECONDS = 10.0
"""How long it may take to say whether it is logged in: Claude Code 2.1.330 takes 1 to 2 s (2026-11-23)."""
_ASKABLE = (2, 1, 330)
"""The first version that is known to have `claude auth status`; to an old one these words could be a prompt."""
_LOG_IN = (
    "it is not logged in: set ANTHROPIC_API_KEY for the server or in [agents.{}.env], or run `claude` as this user"
    " and type /login"
)


def examine(config: Config, agent: AgentConfig) -> dict[str, Any]:
    """Return an agent as `agents --json` prints it. Takes as long as its program takes to say its version and more."""
    environ = environment(config.environ, agent.protocol, agent.pass_env, agent.env)
    program = agent.program(environ)
    version, problem = _asked(agent, program, environ) if program else ("", "")
    problem = problem or _problem(agent, program, environ)
    logged_in = _logged_in(agent, version, environ)
    return {
        "name": agent.name,
        "protocol": agent.protocol,
        "command": list(agent.command),
        "permissions": agent.permissions,
        "default": agent.name == config.agent,
        "can_start": not problem,
        "logged_in": logged_in,
        "program": program or "",
        "version": version,
        "problem": problem or (_LOG_IN.format(agent.name) if logged_in is False else ""),
    }


def _logged_in(agent: AgentConfig, version: str, environ: dict[str, str]) -> bool | None:
    """Return whether an agent seems logged in, None where it cannot be told without a prompt.

    Seems: whether the key is still good only its backend knows, and nobody is called here.
    """
    said = re.match(r"([0-9]+)\.([0-9]+)\.([0-9]+)", version)
    if agent.protocol != "claude" or not said or tuple(map(int, said.groups())) < _ASKABLE:
        return None
    try:
        answer = subprocess.run(
            [*agent.command, "auth", "status"],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LOGIN_SECONDS,
            check=False,
        )
        status = json.loads(answer.stdout)["loggedIn"]
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
        return None
    return status if isinstance(status, bool) else None


def _problem(agent: AgentConfig, program: str | None, environ: dict[str, str]) -> str:
    """Return why an agent cannot start and what to do, "" where it can."""
    name, command = agent.name, agent.command[0]
    if "/" in command and not os.path.isabs(command):
        return f"{command}: write the whole path into [agents.{name}] command; it is started in the session's workspace"
    if program is None and "/" in command:
        why = "is not executable: chmod +x it" if os.path.exists(command) else "does not exist: install it"
        return f"{command} {why}, or correct [agents.{name}] command"
    if program is None:
        return (
            f"{command} was not found on PATH: install it, or put its whole path into [agents.{name}] command"
        )
    bypasses = agent.protocol == "claude" and agent.permissions == "bypass"
    if bypasses and os.geteuid() == 0 and environ.get("IS_SANDBOX") != "1":
        return (
            'Claude Code refuses to act without asking while it runs as root: set env = { IS_SANDBOX = "1" } where that'
            f' is meant, or permissions = "ask", in [agents.{name}], or run as another user'
        )
    return ""


def _asked(agent: AgentConfig, program: str, environ: dict[str, str]) -> tuple[str, str]:
    """Return the version that a program says it has, "" where it does not say, and why it cannot be run, "" if it can.

    A command with arguments is left alone: `npx --version` would tell of npx.
    """
    if len(agent.command) > 1:
        return "", ""
    try:
        answer = subprocess.run(
            [program, "--version"],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=VERSION_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "", ""
    except OSError as error:
        return (
            "",
            f"{program} cannot be run: {error.strerror}; install it anew, or correct [agents.{agent.name}] command",
        )
    said = answer.stdout.decode(errors="replace").strip() if answer.returncode == 0 else ""
    return one_line(strip_escapes(said).partition("\n")[0], 80), ""
