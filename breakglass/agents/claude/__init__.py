"""The Claude Code CLI."""

import json
from collections.abc import Mapping
from datetime import datetime

from breakglass.agents import About, LoginProbe

CHOICE_TOOL = "AskUserQuestion"

LOG_IN = (
    "set ANTHROPIC_API_KEY for the server or in [agents.{name}.env], "
    "or, without a sandbox, log in: breakglass do log-in-{name}"
)
"""What to do about a program that is not logged in. An agent with a sandbox has no action to log in."""

NOT_AS_ROOT = (
    "Claude Code refuses to act without asking while it runs as root. If that is intended, set "
    'IS_SANDBOX = "1" in [agents.{name}.env]. Otherwise set permissions = "ask" in [agents.{name}], '
    "or run the server as another user"
)
"""Why the CLI does not start as root, and what to do. IS_SANDBOX is the user's decision: we never set it."""


def _root_refusal(name: str, environ: Mapping[str, str]) -> str:
    return "" if environ.get("IS_SANDBOX") == "1" else NOT_AS_ROOT.format(name=name)


def _read_login(output: bytes) -> bool | None:
    try:
        status = json.loads(output)["loggedIn"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return status if isinstance(status, bool) else None


def _read_login_end(output: bytes) -> float | None:
    """Return `loginExpiresAt`: RFC 3339, or milliseconds since the epoch."""
    try:
        ends = json.loads(output)["loginExpiresAt"]
        return datetime.fromisoformat(ends).timestamp() if isinstance(ends, str) else float(ends) / 1000
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


ABOUT = About(
    built_in=("claude",),
    environment=("ANTHROPIC_*", "CLAUDE_*", "AWS_*", "GOOGLE_*"),
    choice_tools=frozenset({CHOICE_TOOL}),
    instructions="system",
    models=("opus", "sonnet", "haiku"),
    can_steer=True,
    login=LoginProbe(
        arguments=("auth", "status"),
        since=(2, 1, 330),
        read=_read_login,
        read_end=_read_login_end,
        hint=LOG_IN,
        log_in=("auth", "login"),
    ),
    root_refusal=_root_refusal,
)
