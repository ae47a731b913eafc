"""How each agent is started: the tables `[agents.NAME]`, and the agents that exist without any."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from breakglass.agents import PROTOCOLS, About, about
from breakglass.errors import BadConfig
from breakglass.settings import (
    described,
    expected,
    parse_agent_user,
    parse_boolean,
    parse_command,
    parse_names,
    parse_own_path,
    parse_paths,
    parse_permissions,
    parse_sandbox,
    parse_text,
    parse_tools,
    parse_variables,
    setting,
)
from breakglass.suggestion import suggestion

PREFERRED_AGENT = "claude"
FALLBACK_AGENT = "shell"
"""The agent of new sessions if no setting names one, and the one that takes its place if it is not installed."""


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """How one agent is started: a table `[agents.NAME]`."""

    name: str
    protocol: str = field(
        metadata=described(
            parse_text,
            "how to communicate with it: claude (Claude Code), acp (any Agent Client Protocol agent) or shell"
            " (a prompt is a command line)",
        )
    )
    command: tuple[str, ...] = field(
        metadata=described(
            parse_command,
            "the program and its arguments, started without a shell; the protocol appends its own arguments",
        )
    )
    permissions: Literal["bypass", "ask"] = setting(
        "bypass",
        parse_permissions,
        "bypass: it acts without asking, because it may have to act alone; ask: it asks for permission",
    )
    allow: tuple[str, ...] = setting(
        (), parse_tools, "tools, by exact name, that are allowed without asking the user; only with ask"
    )
    deny: tuple[str, ...] = setting(
        (), parse_tools, "tools, by exact name, that are refused without asking the user; only with ask"
    )
    thinking: bool = setting(
        default=False, parse=parse_boolean, meaning="keep the agent's thinking in the log"
    )
    instructions: str | None = setting(
        None,
        parse_own_path,
        "the file with what the agent must heed in every turn, at most 32 KiB; an empty file gives nothing",
        default_words="for claude the text in docs/agents.md",
    )
    runbooks: str | None = setting(
        None, parse_own_path, "the directory with this site's procedures; the agent is told where it is"
    )
    env: Mapping[str, str] = field(
        default_factory=dict,
        metadata=described(parse_variables, "environment variables to set for the agent", "none"),
    )
    pass_env: tuple[str, ...] = setting(
        (), parse_names, "names of further variables of the server's environment that the agent gets"
    )
    sandbox: Literal["none", "bwrap"] = setting(
        "none",
        parse_sandbox,
        "none: the agent has the rights of the server; bwrap: it writes only its workspace, and does not see the data"
        " root, home directories, sockets and other processes; needs bubblewrap",
    )
    readable: tuple[str, ...] = setting(
        (), parse_paths, "paths that the sandbox shows although it hides their directory, such as ~/.local"
    )
    writable: tuple[str, ...] = setting(
        (),
        parse_paths,
        "paths besides the workspace that the agent may write in the sandbox, such as ~/.claude",
    )
    network: bool = setting(
        default=True, parse=parse_boolean, meaning="whether the sandbox has the network, which a model needs"
    )
    user: str | None = setting(
        None,
        parse_agent_user,
        "the user of the agent in the sandbox, if the server is root; ~ is the home of that user",
        default_words="nobody",
    )

    @property
    def about(self) -> About:
        """The properties of its protocol."""
        return about(self.protocol)

    def program(self, environ: Mapping[str, str]) -> str | None:
        """Return the path of the agent's program, looked up in the PATH of `environ`; None if there is none."""
        return shutil.which(self.command[0], path=environ.get("PATH"))


def built_in() -> dict[str, AgentConfig]:
    """Return the agents that exist without any settings, by name."""
    commands = {name: about(name).built_in for name in PROTOCOLS}
    return {name: AgentConfig(name, name, command) for name, command in commands.items() if command}


def default_agent(agents: Mapping[str, AgentConfig], environ: Mapping[str, str]) -> str:
    """Return the agent of new sessions if no setting names one: `PREFERRED_AGENT` if its program is found."""
    return PREFERRED_AGENT if agents[PREFERRED_AGENT].program(environ) else FALLBACK_AGENT


def unknown_agent(key: str, name: str, agents: Mapping[str, AgentConfig]) -> BadConfig:
    """Return the error for the name of an agent that is not configured."""
    if instead := suggestion(name, agents, ""):
        return BadConfig(f"{key}: there is no agent {name[:64]!r}; {instead}")
    return expected(key, name, f"one of {', '.join(sorted(agents))}")
