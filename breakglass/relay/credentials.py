"""The credentials of a host, the hub or an operator: a small TOML file with the engine's address, name and key."""

import contextlib
import fcntl
import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from breakglass.config import Config
from breakglass.errors import BadConfig
from breakglass.plain_file import open_plain_file
from breakglass.relay_settings import check_url
from breakglass.store.hosts import NAME

NAME_OF_FILE = "relay.creds"
OPERATOR_FILE = "operator.creds"
_SEED = re.compile(r"SU[A-Z2-7]{56}")


class Credentials(NamedTuple):
    """What a program needs to reach the account of one host, or the account of an operator."""

    host: str
    """The name under which the host is enrolled; "" for an operator."""
    url: str
    """The address of the engine, or the addresses of its three servers with commas between them."""
    seed: str
    """The secret key: an nkey, a text that begins with SU."""
    ca: str = ""
    """The certificate that the engine's own must come from, as PEM; "" for the system's authorities."""
    operator: str = ""
    """The name of the operator, who reaches the commands of all hosts; "" for a host."""

    @property
    def urls(self) -> list[str]:
        """The address of each server of the engine."""
        return self.url.split(",")


def of_host(config: Config) -> Credentials:
    """Return the credentials of this host, as the settings say. Raises BadConfig."""
    path = path_of(config)
    found = read(path)
    if found.operator:
        raise BadConfig(
            f"{path}: these are the credentials of operator {found.operator}, not those of a host"
        )
    if config.relay.host not in (None, found.host):
        raise BadConfig(f"relay.host: {path} is for host {found.host}, not for {config.relay.host}")
    return found._replace(url=config.relay.url or found.url)


def path_of(config: Config) -> Path:
    """Return where the credentials of this host are."""
    named = config.relay.credentials
    return Path(named).expanduser() if named else config.data / NAME_OF_FILE


@contextlib.contextmanager
def held(config: Config) -> Iterator[None]:
    """Show that a relay runs, by a shared lock on the file of credentials. Raises OSError."""
    fd = open_plain_file(path_of(config), os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


def is_relay_running(config: Config) -> bool:
    """Return whether a relay uses these credentials on this machine. Raises OSError."""
    fd = open_plain_file(path_of(config), os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def write(found: Credentials) -> str:
    """Return the text of a file of credentials. A string of JSON is a string of TOML, too."""
    rows = {key: value for key, value in found._asdict().items() if value}
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in rows.items())


def read(path: Path) -> Credentials:
    """Return the credentials in a file. Raises BadConfig if it is not ours alone, or no such file."""
    try:
        with open(open_plain_file(path, os.O_RDONLY), "rb") as file:
            if rights := os.fstat(file.fileno()).st_mode & 0o077:
                raise BadConfig(f"{path}: others have rights on it ({rights:03o}); do: chmod 600 {path}")
            found = tomllib.load(file)
    except FileNotFoundError:
        raise BadConfig(f"{path}: there is no such file; breakglass enroll on the hub prints it") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadConfig(f"{path}: cannot be read: {error}") from error
    known = {key: found.get(key, "") for key in Credentials._fields}
    if set(found) - set(known) or not all(isinstance(value, str) for value in known.values()):
        raise BadConfig(f"{path}: expected host or operator, url, seed and ca, each a text")
    names = [known[key] for key in ("host", "operator") if known[key]]
    if len(names) != 1 or not NAME.fullmatch(names[0]) or not _SEED.fullmatch(known["seed"]):
        raise BadConfig(f"{path}: expected what breakglass enroll printed; it has no host or no seed")
    check_url(f"{path}: url", known["url"])
    return Credentials(**known)
