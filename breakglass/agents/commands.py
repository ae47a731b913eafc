"""Prompts that begin like a command of the agent: which of them may be one. Pure."""

import re

_OFFERED = re.compile(r"/compact(\s.*)?|/context\s*", re.DOTALL)
"""The commands that a prompt may be. `/compact` may be followed by instructions."""


def is_offered(prompt: str) -> bool:
    """Return whether `prompt` is one of the commands that Breakglass offers. Not every agent has them."""
    return _OFFERED.fullmatch(prompt) is not None
