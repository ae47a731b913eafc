"""Examines an agent without a prompt: whether it can start, its version, and whether it seems logged in.

Must not know any single agent: `AgentConfig.about` has the arguments for its program.
"""

import os
import re
import subprocess
from typing import Any

from breakglass.agents.environ import environment
from breakglass.config import AgentConfig, Config
from breakglass.text import one_line, strip_escapes

VERSION_SECONDS = 2.0
"""How long a program may take to print its version."""
LOGIN_SECONDS = 10.0
"""How long a program may take to report whether it is logged in. Claude Code needs some seconds."""


def examine(config: Config, agent: AgentConfig) -> dict[str, Any]:
    """Return an agent as `agents --json` prints it. Runs its program up to twice, and waits for it."""
    environ = environment(config.environ, agent.protocol, agent.pass_env, agent.env)
    version, problem = find_problem(agent, environ)
    login = agent.about.login
    answer = ask_login(agent, version, environ)
    logged_in = login.read(answer) if login and answer is not None else None
    hint = (
        f"it is not logged in: {login.hint.format(name=agent.name)}" if login and logged_in is False else ""
    )
    return {
        "name": agent.name,
        "protocol": agent.protocol,
        "command": list(agent.command),
        "permissions": agent.permissions,
        "default": agent.name == config.agent,
        "can_start": not problem,
        "logged_in": logged_in,
        "program": agent.program(environ) or "",
        "version": version,
        "problem": problem or hint,
    }


def find_problem(agent: AgentConfig, environ: dict[str, str]) -> tuple[str, str]:
    """Return the version that an agent's program prints, and why the agent cannot start; "" for either if none."""
    program = agent.program(environ)
    version, problem = _version(agent, program, environ) if program else ("", "")
    return version, problem or _problem(agent, program, environ)


def _problem(agent: AgentConfig, program: str | None, environ: dict[str, str]) -> str:
    """Return why an agent cannot start and what to do, "" if it can."""
    name, command = agent.name, agent.command[0]
    if "/" in command and not os.path.isabs(command):
        return f"{command}: write the whole path into [agents.{name}] command; it starts in the session's workspace"
    if program is None and "/" in command:
        why = "is not executable: chmod +x it" if os.path.exists(command) else "does not exist: install it"
        return f"{command} {why}, or correct [agents.{name}] command"
    if program is None:
        return (
            f"{command} was not found on PATH: install it, or put its whole path into [agents.{name}] command"
        )
    if agent.permissions == "bypass" and os.geteuid() == 0:
        return agent.about.root_refusal(name, environ)
    return ""


def _version(agent: AgentConfig, program: str, environ: dict[str, str]) -> tuple[str, str]:
    """Return the version that a program prints, "" if it prints none; and why it cannot run, "" if it can.

    A command with arguments is not run: `npx --version` would print the version of npx.
    """
    if len(agent.command) > 1:
        return "", ""
    try:
        answer = _run([program, *agent.about.version_arguments], environ, VERSION_SECONDS)
    except subprocess.TimeoutExpired:
        return "", ""
    except OSError as error:
        why = f"{program} cannot be run: {error.strerror}"
        return "", f"{why}; reinstall it, or correct [agents.{agent.name}] command"
    printed = answer.stdout.decode(errors="replace").strip() if answer.returncode == 0 else ""
    return one_line(strip_escapes(printed).partition("\n")[0], 80), ""


def ask_login(agent: AgentConfig, version: str, environ: dict[str, str]) -> bytes | None:
    """Return what an agent's program prints about its login, None if it cannot be asked without a prompt.

    Only the agent's backend knows whether the key is still valid, and this function does not call it.
    """
    login = agent.about.login
    printed = re.match(r"([0-9]+)\.([0-9]+)\.([0-9]+)", version)
    if login is None or not printed or tuple(map(int, printed.groups())) < login.since:
        return None
    try:
        return _run([*agent.command, *login.arguments], environ, LOGIN_SECONDS).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None


def _run(command: list[str], environ: dict[str, str], seconds: float) -> subprocess.CompletedProcess[bytes]:
    """Run a command with an empty standard input. Raises OSError and TimeoutExpired."""
    return subprocess.run(
        command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
    )
