"""The ways to log in that an ACP agent offers, as a user needs to know them. Pure.

Format: the protocol's page "authentication". A way without a type is done by the agent itself. `env_var` needs
variables in its environment, and `terminal` a terminal in which its program runs. claude-code-acp and others announced
the latter in `_meta` before the protocol had it.
"""

import shlex
from typing import NamedTuple

from breakglass.agents.acp.login import needed_variables, takes_key
from breakglass.agents.acp.messages import MAX_WAYS, Message
from breakglass.agents.lines import as_object, as_short_text, as_text


class Way(NamedTuple):
    """One way to log in."""

    id: str
    name: str
    about: str
    missing: tuple[str, ...] = ()
    """The variables that it needs and that the agent does not have."""
    terminal: str = ""
    """The command that a user must run in a terminal, quoted for a shell; "" if it needs none."""
    has_key: bool = False
    """Whether it takes a key that the agent finds itself."""


def read_ways(
    methods: list[Message], command: tuple[str, ...], variables: tuple[str, ...]
) -> tuple[Way, ...]:
    """Return the ways in `authMethods`, with names that differ.

    `command` starts the agent. `variables` are the names in its environment.
    """
    found: dict[str, Way] = {}
    for method in methods[:MAX_WAYS]:
        way = _read(method, command, variables)
        if way.id:
            name = way.name if way.name not in found else f"{way.name} ({way.id})"
            found[name] = way._replace(name=name)
    return tuple(found.values())


def _read(method: Message, command: tuple[str, ...], variables: tuple[str, ...]) -> Way:
    way_id, about = as_short_text(method.get("id")), as_short_text(method.get("description"))
    needed = needed_variables(method)
    return Way(
        way_id,
        as_short_text(method.get("name")) or way_id,
        about,
        tuple(name for name in needed if name and name not in variables),
        _terminal(method, command),
        bool(needed) or takes_key(method),
    )


def _terminal(method: Message, command: tuple[str, ...]) -> str:
    earlier = as_object(as_object(method.get("_meta")).get("terminal-auth"))
    if method.get("type") != "terminal" and not as_text(earlier.get("command")):
        return ""
    given = method if method.get("type") == "terminal" else earlier
    program = command if given is method else (as_text(earlier.get("command")),)
    added = given.get("args")
    arguments = [as_text(each) for each in added] if isinstance(added, list) else []
    settings = [f"{name}={as_text(value)}" for name, value in as_object(given.get("env")).items()]
    return shlex.join([*(["env", *settings] if settings else []), *program, *arguments])
