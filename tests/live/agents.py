"""The real agents as the live tests run them: command lines, and environments that reach only the fake model.

Checked with strace: with these environments a turn of Claude Code, claude-agent-acp and opencode connects to
127.0.0.1 only.
"""

import json
import os
from pathlib import Path
from typing import NamedTuple

from tests.help import programs
from tests.help.fake_model import FakeModel


class Agent(NamedTuple):
    """One ACP agent under test."""

    name: str
    command: tuple[str, ...]
    bash: str
    """Its name of the tool that runs a command."""
    environ: dict[str, str]
    """Variables that it needs besides the base environment."""
    asking: dict[str, str]
    """Further variables that make it ask for permission, if it has no mode for that."""


def base_environment(model: FakeModel, home: Path) -> dict[str, str]:
    """Return the whole environment of an agent that talks to the fake model."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home),
        "ANTHROPIC_API_KEY": "dummy",
        "ANTHROPIC_BASE_URL": model.url,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }


def claude_agent_acp() -> Agent:
    """Return the adapter that makes Claude Code speak ACP. Installs it if necessary."""
    command = (str(programs.install("node")), str(programs.install("claude-agent-acp")))
    environ = {
        "CLAUDE_CODE_EXECUTABLE": str(programs.install("claude")),
        "CLAUDE_CODE_MAX_RETRIES": "1",
        "IS_SANDBOX": "1",  # without it, the agent does not offer its mode that never asks to root
    }
    return Agent("claude-agent-acp", command, "Bash", environ, {})


def codex_acp(model: FakeModel) -> Agent:
    """Return the adapter that makes Codex speak ACP. Installs both if necessary."""
    command = (str(programs.install("node")), str(programs.install("codex-acp")))
    provider = {
        "name": "fake",
        "base_url": f"{model.url}/v1",
        "wire_api": "responses",
        "request_max_retries": 0,
    }
    provider |= {"stream_max_retries": 0, "requires_openai_auth": True, "supports_websockets": False}
    settings = {"model_provider": "fake", "model_providers": {"fake": provider}, "model": "gpt-5.5"}
    environ = {
        "CODEX_PATH": str(programs.install("codex")),
        "CODEX_CONFIG": json.dumps(settings),
        "OPENAI_API_KEY": "dummy",
    }
    return Agent("codex-acp", command, "execute", environ, {})


def gemini(model: FakeModel) -> Agent:
    """Return gemini-cli. Installs it if necessary."""
    command = (str(programs.install("node")), str(programs.install("gemini")), "--acp")
    environ = {
        "GEMINI_API_KEY": "dummy",
        "GOOGLE_GEMINI_BASE_URL": model.url,
        "GEMINI_MODEL": "gemini-2.5-flash",  # else a request before each prompt chooses one
    }
    return Agent("gemini", command, "execute", environ, {})


def opencode(model: FakeModel) -> Agent:
    """Return opencode. Installs it if necessary."""
    provider = {"anthropic": {"options": {"baseURL": f"{model.url}/v1", "apiKey": "dummy"}}}
    settings = {
        "provider": provider,
        "model": "anthropic/claude-sonnet-4-5",
        "autoupdate": False,
        "share": "disabled",
    }
    environ = {
        "OPENCODE_CONFIG_CONTENT": json.dumps(settings),
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "npm_config_registry": model.url,  # prevents the download of a plugin package at the start
    }
    asking = {"OPENCODE_PERMISSION": json.dumps({"*": "ask"})}
    return Agent("opencode", (str(programs.install("opencode")), "acp"), "bash", environ, asking)
