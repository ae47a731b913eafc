"""The instructions that an agent gets besides its prompts: a text of the settings or our own, and where it may read on.

How an agent takes them is in `agents.About.instructions`. The text is read at each turn, so a change applies at once.
"""

import os
from pathlib import Path

from breakglass.config import Config
from breakglass.config.agents import AgentConfig
from breakglass.errors import BadConfig
from breakglass.plain_file import open_plain_file
from breakglass.targets import ssh_config

SHIPPED = Path(__file__).with_name("instructions.md")
"""The text for an agent with a system prompt if the settings name none."""
MAX_BYTES = 32 << 10
"""Bytes of a text. The kernel takes at most 128 KiB in one argument (execve(2))."""


def text_for(config: Config, agent: AgentConfig, target: str | None) -> str:
    """Return the instructions of an agent for a session about `target`, "" for none.

    Raises BadConfig if the file cannot be read: without its instructions an agent must not act.
    """
    if agent.about.instructions == "none":
        return ""
    parts = [_own_text(config, agent)]
    if runbooks := runbooks_of(config, agent):
        parts.append(
            f"The runbooks of this site are in {runbooks}. Look there for a procedure before you improvise."
        )
    if target:
        parts.append(
            f"This session is about the machine {target}, which is not the one that you run on. {_reach(config, agent)}"
        )
    return "\n\n".join(filter(None, parts))


def runbooks_of(config: Config, agent: AgentConfig) -> str:
    """Return the directory of the runbooks, "" for none. Raises BadConfig if it is no directory."""
    if agent.runbooks is None:
        return ""
    path = _expanded(config, agent.runbooks)
    if not os.path.isdir(path):
        raise BadConfig(f"agents.{agent.name}.runbooks: {path} is no directory")
    return os.path.realpath(path)


def _own_text(config: Config, agent: AgentConfig) -> str:
    if agent.instructions is None:
        return SHIPPED.read_text(encoding="utf-8").strip() if agent.about.instructions == "system" else ""
    path, key = _expanded(config, agent.instructions), f"agents.{agent.name}.instructions"
    try:
        with open(open_plain_file(path, os.O_RDONLY), "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise BadConfig(f"{key}: {path} has more than {MAX_BYTES >> 10} KiB")
        text = data.decode()
    except OSError as error:
        raise BadConfig(f"{key}: {path} could not be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadConfig(f"{key}: {path} is not UTF-8") from error
    if "\0" in text:
        raise BadConfig(f"{key}: {path} has a NUL, which no argument can contain")
    return text.strip()


def _reach(config: Config, agent: AgentConfig) -> str:
    path = config.data.absolute() / ssh_config.DIRECTORY / ssh_config.CONFIG
    if agent.sandbox == "none" and path.exists():
        return f"Reach it with: ssh -F {path} NAME COMMAND, where NAME is its name."
    return "Reach it by ssh under its name."


def _expanded(config: Config, path: str) -> str:
    """Return a path of the settings; `~` is the home of the server's user."""
    home = config.environ.get("HOME", "")
    return home + path[1:] if path == "~" or path.startswith("~/") else path
