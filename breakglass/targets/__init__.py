"""Targets: other machines that actions and agents reach by ssh. How one is declared. Pure."""

from dataclasses import dataclass, field

from breakglass.settings import (
    described,
    parse_destination,
    parse_host_key,
    parse_jump,
    parse_text,
    setting,
)


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
