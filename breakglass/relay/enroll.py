"""Enrolls hosts on the hub: an account for each host, its keys, and the configuration of the engine.

    engine/nats-server.conf    made once, and yours to change: address, TLS, storage; nats-server-1.conf to -3.conf of
                               three servers
    engine/accounts.conf       written anew by each enrolment; the first file includes it
    engine/engine.toml         the address that hosts connect to, or the three
    engine/hosts/<host>.json   the public key of the host, and the hub's secret key for its account
    engine/operators/<name>.key    the public key of an operator

`accounts.py` says what each account may do.
"""

import json
import os
import signal
import tomllib
from contextlib import suppress
from pathlib import Path

from breakglass.errors import BadConfig, Conflict, NotFound
from breakglass.relay import accounts, fleet, servers
from breakglass.relay.accounts import Enrolled
from breakglass.relay.certificate import make_certificate
from breakglass.relay.credentials import Credentials
from breakglass.relay.keys import new_key
from breakglass.relay_settings import check_url
from breakglass.store.hosts import NAME, check_name

DIRECTORY = "engine"
DEFAULT_URL = "nats://127.0.0.1:4222"


class Hub:
    """The files of the engine in a data root."""

    def __init__(self, data: Path) -> None:
        self.directory = data.absolute() / DIRECTORY
        self._hosts = self.directory / "hosts"
        self._operators = self.directory / "operators"

    @property
    def url(self) -> str:
        """The address that hosts connect to, or the three. Raises NotFound before the first host is enrolled."""
        try:
            found = tomllib.loads((self.directory / "engine.toml").read_text(encoding="utf-8"))
            return check_url("engine.toml: url", str(found.get("url", "")))
        except FileNotFoundError:
            raise NotFound(
                f"no host is enrolled in {self.directory.parent}; do: breakglass enroll HOST"
            ) from None

    @property
    def ca(self) -> str:
        """The certificate that hosts accept, "" without TLS."""
        with suppress(FileNotFoundError):
            if servers.addresses(self.url)[0].is_encrypted:
                return (self.directory / "cert.pem").read_text(encoding="utf-8")
        return ""

    @property
    def files(self) -> list[Path]:
        """The configuration file of each server."""
        return [self.directory / name for name in servers.names(self.url)]

    def enrolled(self) -> list[Enrolled]:
        """Return all hosts, by name."""
        with suppress(FileNotFoundError):
            names = sorted(name[:-5] for name in os.listdir(self._hosts) if name.endswith(".json"))
            return [self._read(name) for name in names if NAME.fullmatch(name)]
        return []

    def hub_credentials(self) -> list[Credentials]:
        """Return what the hub needs to reach the accounts of all hosts."""
        found = self.enrolled()
        return [Credentials(each.host, self.url, each.hub_seed, self.ca) for each in found] if found else []

    def public_keys(self, host: str) -> list[str]:
        """Return the public keys of a host, also those that were revoked. Raises NotFound."""
        found = self._read(check_name(host))
        return [*filter(None, (found.host_key, *found.old_keys))]

    def prepare(self, url: str | None) -> None:
        """Make the configuration of the engine, unless it is there. Raises BadConfig and Conflict."""
        if (self.directory / "engine.toml").exists():
            if url and url != self.url:
                raise Conflict(
                    f"hosts connect to {self.url}; to change it, edit {self.directory}/engine.toml"
                )
            return
        wanted = check_url("--url", url or DEFAULT_URL)
        for each in (self.directory, self._hosts):
            each.mkdir(0o700, parents=False, exist_ok=True)
        if servers.needs_certificate(wanted):
            make_certificate(self.directory, [each.host for each in servers.addresses(wanted)])
        for name, text in servers.configurations(wanted, str(self.directory)).items():
            _write(self.directory / name, text)
        _write(self.directory / "engine.toml", f"url = {json.dumps(wanted)}\n")

    def enroll(self, host: str) -> Credentials:
        """Enroll a host, or give it a new key if it was revoked. Raises BadInput and Conflict."""
        check_name(host)
        old = next((each for each in self.enrolled() if each.host == host), None)
        if old and old.host_key:
            raise Conflict(
                f"host {host} is enrolled already; to give it a new key: breakglass enroll {host} --revoke, then again"
            )
        seed, public = new_key()
        hub_seed, old_keys = (old.hub_seed, old.old_keys) if old else (new_key()[0], ())
        self._keep(Enrolled(host, public, hub_seed, old_keys))
        return Credentials(host, self.url, seed, self.ca)

    def revoke(self, host: str) -> None:
        """Take the key of a host away. Its account and its record stay. Raises NotFound."""
        found = self._read(check_name(host))
        keys = filter(None, (*found.old_keys, found.host_key))
        self._keep(found._replace(host_key="", old_keys=tuple(dict.fromkeys(keys))))

    def retire(self, host: str) -> None:
        """Remove the account of a host. The copies of its sessions stay. Raises NotFound."""
        self._read(check_name(host))
        (self._hosts / f"{host}.json").unlink()
        self.write_accounts()

    def enroll_operator(self, name: str) -> Credentials:
        """Let a person send commands to all hosts from another machine. Raises BadInput and Conflict."""
        path = self._operators / f"{check_name(name)}.key"
        if path.exists():
            raise Conflict(
                f"operator {name} is enrolled already; for new credentials: breakglass enroll {name} --operator"
                " --revoke, then again"
            )
        url, (seed, public) = self.url, new_key()
        self._operators.mkdir(0o700, exist_ok=True)
        _write(path, f"{public}\n")
        self.write_accounts()
        return Credentials("", url, seed, self.ca, name)

    def revoke_operator(self, name: str) -> None:
        """Take the key of an operator away. Raises NotFound."""
        try:
            (self._operators / f"{check_name(name)}.key").unlink()
        except FileNotFoundError:
            raise NotFound(f"operator {name} is not enrolled") from None
        self.write_accounts()

    def write_accounts(self) -> None:
        """Write the accounts of all hosts and operators for the engine."""
        operators = [each.read_text().strip() for each in sorted(self._operators.glob("*.key"))]
        text = accounts.write(self.enrolled(), operators, copies=len(servers.addresses(self.url)))
        _write(self.directory / "accounts.conf", text)

    def reload(self) -> bool:
        """Let the engine's servers on this machine read their configuration again. Return whether there is one."""
        found = False
        for path in self.directory.glob("nats-server*.pid"):
            with suppress(OSError, ValueError):
                pid = int(path.read_text())
                if Path(f"/proc/{pid}/comm").read_text().strip() == "nats-server":
                    os.kill(pid, signal.SIGHUP)
                    found = True
        return found

    def _keep(self, found: Enrolled) -> None:
        fleet.replace(self._hosts / f"{found.host}.json", found._asdict())
        os.chmod(self._hosts / f"{found.host}.json", 0o600)
        self.write_accounts()

    def _read(self, host: str) -> Enrolled:
        try:
            return Enrolled(**json.loads((self._hosts / f"{host}.json").read_bytes()))
        except FileNotFoundError:
            raise NotFound(f"host {host} is not enrolled") from None
        except (ValueError, TypeError) as error:
            raise BadConfig(f"{self._hosts}/{host}.json: cannot be read: {error}") from error


def _write(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(fd, "w", encoding="utf-8") as file:
        file.write(text)
