"""Examines an agent without a prompt: whether it can start, its version, and whether it seems logged in.

Must not know any single agent: `AgentConfig.about` has the arguments for its program.
"""

import contextlib
import os
import re
import subprocess
import tempfile
from typing import Any, NamedTuple

from breakglass import sandbox
from breakglass.agents.environ import environment
from breakglass.config import Config
from breakglass.config.agents import AgentConfig
from breakglass.errors import BadConfig
from breakglass.sandbox import Sandbox
from breakglass.sandbox.init import landlock_version
from breakglass.text import one_line, strip_escapes

VERSION_SECONDS = 2.0
"""How long a program may take to print its version."""
LOGIN_SECONDS = 10.0
"""How long a program may take to report whether it is logged in. Claude Code needs some seconds."""
_NOT_FOUND = 3
_FIND_PROGRAM = f'command -v -- "$1" || exit {_NOT_FOUND}'


class Place(NamedTuple):
    """Where an agent's programs run: their environment, and their sandbox, if any."""

    environ: dict[str, str]
    sandbox: Sandbox | None


def examine(config: Config, agent: AgentConfig) -> dict[str, Any]:
    """Return an agent as `agents --json` prints it. Runs its program up to twice, and waits for it.

    The programs of an agent with a sandbox run in one, with an empty workspace.
    """
    found = find_program(config, agent)
    login = agent.about.login
    answer = ask_login(agent, found)
    logged_in = login.read(answer) if login and answer is not None else None
    hint = (
        f"it is not logged in: {login.hint.format(name=agent.name)}" if login and logged_in is False else ""
    )
    return {
        "name": agent.name,
        "protocol": agent.protocol,
        "command": list(agent.command),
        "permissions": agent.permissions,
        "sandbox": agent.sandbox,
        "landlock": landlock_version() > 0 if agent.sandbox != "none" else None,
        "default": agent.name == config.agent,
        "can_start": not found.problem,
        "logged_in": logged_in,
        "program": found.path,
        "version": found.version,
        "problem": found.problem or hint,
    }


class Program(NamedTuple):
    """What is known about an agent's program."""

    place: Place
    path: str
    """"" if there is none."""
    version: str
    """What it prints, "" if it prints none."""
    problem: str
    """Why the agent cannot start and what to do, "" if it can."""


def find_program(config: Config, agent: AgentConfig) -> Program:
    """Return what is known about an agent's program. Runs it once, in its sandbox if it has one."""
    try:
        place, problem = _place(config, agent), ""
    except BadConfig as error:
        place, problem = Place({}, None), str(error)
    program, version = agent.program(place.environ), ""
    if not problem and place.sandbox:
        program, problem = _find_in_sandbox(agent, place)
    if program and not problem:
        version, problem = _version(agent, program, place)
    return Program(place, program or "", version, problem or _problem(agent, program, place.environ))


def _place(config: Config, agent: AgentConfig) -> Place:
    """Return where an agent's programs run. Raises BadConfig."""
    server = sandbox.change_environ(config, agent)
    environ = environment(server, agent.protocol, agent.pass_env, agent.env)
    return Place(environ, sandbox.find_sandbox(config, agent))


def _find_in_sandbox(agent: AgentConfig, place: Place) -> tuple[str, str]:
    """Return the path of the agent's program in its sandbox, or "" and why there is none. Tries the sandbox."""
    words = ["sh", "-c", _FIND_PROGRAM, "sh", agent.command[0]]
    try:
        done = _run(words, place, LOGIN_SECONDS)
    except FileNotFoundError:
        return "", "the sandbox needs bubblewrap: apt-get install bubblewrap"
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", f"the sandbox does not work here: {error}"
    if done.returncode == _NOT_FOUND:
        why = f"{agent.command[0]} is not in the sandbox: add the directory of its installation to"
        return "", f"{why} [agents.{agent.name}] readable, or install it for all users"
    if done.returncode:
        reason = one_line(strip_escapes(done.stderr.decode(errors="replace")).strip(), 300)
        hint = "docs/deploy.md says what the machine must allow"
        return "", f"the sandbox does not work here: {reason or f'exit status {done.returncode}'}; {hint}"
    return done.stdout.decode(errors="replace").strip(), ""


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
    if agent.permissions == "bypass" and os.geteuid() == 0 and agent.sandbox == "none":
        return agent.about.root_refusal(name, environ)
    return ""


def _version(agent: AgentConfig, program: str, place: Place) -> tuple[str, str]:
    """Return the version that a program prints, "" if it prints none; and why it cannot run, "" if it can.

    A command with arguments is not run: `npx --version` would print the version of npx.
    """
    if len(agent.command) > 1:
        return "", ""
    try:
        answer = _run([program, *agent.about.version_arguments], place, VERSION_SECONDS)
    except subprocess.TimeoutExpired:
        return "", ""
    except OSError as error:
        why = f"{program} cannot be run: {error.strerror}"
        return "", f"{why}; reinstall it, or correct [agents.{agent.name}] command"
    printed = answer.stdout.decode(errors="replace").strip() if answer.returncode == 0 else ""
    return one_line(strip_escapes(printed).partition("\n")[0], 80), ""


def ask_login(agent: AgentConfig, program: Program) -> bytes | None:
    """Return what an agent's program prints about its login, None if it cannot be asked without a prompt.

    Only the agent's backend knows whether the key is still valid, and this function does not call it.
    """
    login = agent.about.login
    printed = re.match(r"([0-9]+)\.([0-9]+)\.([0-9]+)", program.version)
    if login is None or not printed or tuple(map(int, printed.groups())) < login.since:
        return None
    try:
        return _run([*agent.command, *login.arguments], program.place, LOGIN_SECONDS).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None


def _run(command: list[str], place: Place, seconds: float) -> subprocess.CompletedProcess[bytes]:
    """Run a command with an empty standard input. Raises OSError and TimeoutExpired."""
    with contextlib.ExitStack() as stack:
        if place.sandbox:
            workspace = os.path.realpath(stack.enter_context(tempfile.TemporaryDirectory()))
            command = sandbox.prepare(place.sandbox, workspace, command)
        return subprocess.run(
            command,
            env=place.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
