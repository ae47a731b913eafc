"""Targets: other machines that actions and agents reach by ssh. How one is declared. Pure."""

import re
from dataclasses import dataclass, field

from breakglass.settings import described, expected, parse_text, setting

DESTINATION = re.compile(
    r"(?:([A-Za-z0-9_][A-Za-z0-9._-]*)@)?([A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::([1-9][0-9]{0,4}))?"
)
"""Where ssh connects to: user, host and port. None can be an option, and none has a character of a shell."""
_HOST_KEY = re.compile(r"((?:ssh|ecdsa|sk)-[a-z0-9@.-]+) ([A-Za-z0-9+/]{20,}={0,2})(?:\s.*)?$")


def parse_destination(name: str, value: object) -> str:
    """Return where ssh connects to: `user@host` or `user@host:port`, an IPv6 address in brackets."""
    if not isinstance(value, str) or not DESTINATION.fullmatch(value):
        raise expected(name, value, "user@host or user@host:port")
    return value


def parse_jump(name: str, value: object) -> str:
    """Return the machines to go through, as ssh's ProxyJump takes them, separated by commas."""
    if not isinstance(value, str) or not all(map(DESTINATION.fullmatch, value.split(","))):
        raise expected(name, value, "user@host:port, several separated by commas")
    return value


def parse_host_key(name: str, value: object) -> str:
    """Return a public key as `ssh-keyscan` and `/etc/ssh/ssh_host_*_key.pub` show it, without a comment."""
    found = _HOST_KEY.match(value) if isinstance(value, str) else None
    if not found:
        raise expected(name, value, "a public host key, such as ssh-ed25519 AAAA…")
    return f"{found[1]} {found[2]}"


@dataclass(frozen=True, slots=True)
class Target:
    """Another machine: a table `[targets.NAME]`. Its name is the alias in the ssh configuration."""

    name: str
    ssh: str = field(metadata=described(parse_destination, "where it is: user@host or user@host:port"))
    host_key: str | None = setting(
        None, parse_host_key, "its public host key, such as `ssh-ed25519 AAAA…`; no other key is accepted"
    )
    proxy_jump: str | None = setting(None, parse_jump, "a machine to go through: user@host:port")
    identity: str | None = setting(
        None, parse_text, "the file with the private key", default_words="those that ssh tries"
    )
