"""The ssh configuration for the targets: each is an alias, with a pinned host key and without questions. Pure.

ssh_config(5) is the source of every keyword. A value in quotation marks cannot contain one, so a path with a quotation
mark is refused.
"""

from collections.abc import Iterable, Mapping

from breakglass.errors import BadConfig
from breakglass.targets import DESTINATION, Target

DIRECTORY = "ssh"
CONFIG = "config"
KNOWN_HOSTS = "known_hosts"
CONNECT_SECONDS = 10
"""Seconds that a connection may take. A machine in trouble may accept one and answer nothing."""

MAX_SOCKET_DIRECTORY = 107 - 40 - 17
"""Bytes of the directory of a shared connection's socket, with its `/`. The path of a socket has 107 (unix(7)); ssh
adds a hash of 40, and 17 to the name while it makes the socket. Below a longer one each command connects by itself."""


def render(targets: Iterable[Target], directory: str) -> str:
    """Return the configuration. `directory` holds the files that it names. Raises BadConfig for a bad path."""
    head = "# Written by: breakglass target config. Change the settings, not this file.\n"
    return head + "".join(f"\n{_host(target, directory)}" for target in targets)


def _host(target: Target, directory: str) -> str:
    user, host, port = _parts(target)
    rows = {
        "HostName": host.strip("[]"),
        **({"Port": port} if port else {}),
        **({"User": user} if user else {}),
        **({"ProxyJump": target.proxy_jump} if target.proxy_jump else {}),
        **({"IdentityFile": _path(target.identity), "IdentitiesOnly": "yes"} if target.identity else {}),
        "BatchMode": "yes",
        "ConnectTimeout": str(CONNECT_SECONDS),
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "3",
        **(_shared(directory) if len(f"{directory}/".encode()) <= MAX_SOCKET_DIRECTORY else {}),
        "UserKnownHostsFile": _path(f"{directory}/{KNOWN_HOSTS}"),
        "GlobalKnownHostsFile": "/dev/null",
        "HostKeyAlias": target.name,
        "StrictHostKeyChecking": "yes" if target.host_key else "accept-new",
        **({"HostKeyAlgorithms": _algorithms(target.host_key)} if target.host_key else {}),
        "UpdateHostKeys": "no",
    }
    return f"Host {target.name}\n" + "".join(f"    {key} {value}\n" for key, value in rows.items())


def _shared(directory: str) -> dict[str, str]:
    """Return the rows with which commands that run at the same time share one connection. It outlives no turn."""
    return {"ControlMaster": "auto", "ControlPath": _path(directory, "/%C"), "ControlPersist": "no"}


def _parts(target: Target) -> tuple[str, str, str]:
    """Return the user, the host and the port of a target, "" for what is not given."""
    found = DESTINATION.fullmatch(target.ssh)
    assert found
    return found[1] or "", found[2], found[3] or ""


def _algorithms(host_key: str) -> str:
    """Return the algorithms with which a key signs. An RSA key has more than one."""
    kind = host_key.split(" ")[0]
    return "rsa-sha2-512,rsa-sha2-256" if kind == "ssh-rsa" else kind


def _path(path: str, name: str = "") -> str:
    """Return a path, followed by a name in which `%` has a meaning for ssh."""
    if '"' in path or "\n" in path:
        raise BadConfig(f"{path!r}: ssh cannot read a path with a quotation mark")
    return f'"{path.replace("%", "%%")}{name}"'


def known_hosts(targets: Mapping[str, Target], present: str) -> str:
    """Return the known host keys: those of the settings, and the `present` ones of targets without a key there."""
    kept = [line for line in present.splitlines() if _is_accepted(line, targets)]
    pinned = [f"{target.name} {target.host_key}" for target in targets.values() if target.host_key]
    return "".join(f"{line}\n" for line in (*pinned, *kept))


def _is_accepted(line: str, targets: Mapping[str, Target]) -> bool:
    target = targets.get(line.split(" ")[0])
    return target is not None and target.host_key is None
