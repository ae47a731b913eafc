"""Enrolls hosts on the hub: an account for each host, its keys, and the configuration of the engine.

    engine/nats-server.conf    made once, and yours to change: address, TLS, storage
    engine/accounts.conf       written anew by each enrolment; the first file includes it
    engine/engine.toml         the address that hosts connect to
    engine/hosts/<host>.json   the public key of the host, and the hub's secret key for its account

Each host has an account of its own. What is sent in one account arrives in no other one, also not as an answer to a
subject that the sender chooses. In its account a host may add pieces to its stream and read it, and nothing more.
"""

import json
import os
import re
import signal
import subprocess
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import nkeys

from breakglass.errors import BadConfig, BadInput, Conflict, NotFound
from breakglass.relay import fleet
from breakglass.relay.credentials import Credentials
from breakglass.relay_settings import check_url
from breakglass.store.hosts import NAME, check_name

DIRECTORY = "engine"
DEFAULT_URL = "nats://127.0.0.1:4222"
MAX_FILE = "16G"
"""The bytes that the engine keeps for one host. It is the longest time that a mirror may be away."""
_HOST_RIGHTS = """\
permissions: {
        publish: { allow: ["bg.log.*", "bg.seen", "$JS.API.STREAM.INFO.BG", "$JS.API.DIRECT.GET.BG",
          "$JS.API.DIRECT.GET.BG.>", "$JS.API.CONSUMER.CREATE.BG.>", "$JS.API.CONSUMER.DELETE.BG.>",
          "$JS.API.CONSUMER.MSG.NEXT.BG.>"] }
        subscribe: { allow: ["_INBOX.>", "bg.cmd.*"] }
        allow_responses: true
      }"""
_SERVER = """\
# The engine of the relays. Made once by breakglass enroll; change what you need, and keep the include.
listen: "{listen}"
max_payload: 524288
pid_file: "{directory}/nats-server.pid"
# max_file is no limit here: each account has its own, and the disk has one.
jetstream {{ store_dir: "{directory}/jetstream", max_file: 1024T, sync_interval: always }}
{tls}include "accounts.conf"
"""
_TLS = 'tls {{ cert_file: "{directory}/cert.pem", key_file: "{directory}/key.pem" }}\n'


class Enrolled(NamedTuple):
    """A host that may ship to this hub."""

    host: str
    host_key: str
    """The public key of the host; "" if it was revoked."""
    hub_seed: str
    old_keys: tuple[str, ...] = ()
    """The public keys that were revoked. They have signed what is in the record."""


class Hub:
    """The files of the engine in a data root."""

    def __init__(self, data: Path) -> None:
        self.directory = data.absolute() / DIRECTORY
        self._hosts = self.directory / "hosts"

    @property
    def url(self) -> str:
        """The address that hosts connect to. Raises NotFound before the first host is enrolled."""
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
            return (self.directory / "cert.pem").read_text(encoding="utf-8")
        return ""

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
        if (self.directory / "nats-server.conf").exists():
            if url and url != self.url:
                raise Conflict(
                    f"hosts connect to {self.url}; to change it, edit {self.directory}/engine.toml"
                )
            return
        wanted = check_url("--url", url or DEFAULT_URL)
        for each in (self.directory, self._hosts):
            each.mkdir(0o700, parents=False, exist_ok=True)
        host, port = _host_and_port(wanted)
        tls = ""
        if wanted.startswith("tls:"):
            tls = _TLS.format(directory=self.directory)
            self._make_certificate(host)
        listen = f"0.0.0.0:{port}" if tls else f"{host}:{port}"
        _write(self.directory / "engine.toml", f"url = {json.dumps(wanted)}\n")
        _write(
            self.directory / "nats-server.conf",
            _SERVER.format(listen=listen, directory=self.directory, tls=tls),
        )

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

    def write_accounts(self) -> None:
        """Write the accounts of all hosts for the engine."""
        accounts = "\n".join(_account(each) for each in self.enrolled())
        _write(
            self.directory / "accounts.conf",
            f"# Written by breakglass enroll: an account for each host.\naccounts: {{\n{accounts}\n}}\n",
        )

    def reload(self) -> bool:
        """Let the running engine read its configuration again. Return whether there is one."""
        with suppress(OSError, ValueError):
            pid = int((self.directory / "nats-server.pid").read_text())
            if Path(f"/proc/{pid}/comm").read_text().strip() == "nats-server":
                os.kill(pid, signal.SIGHUP)
                return True
        return False

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

    def _make_certificate(self, host: str) -> None:
        """Make a certificate for the engine, which the credentials of each host name."""
        kind = "IP" if re.fullmatch(r"[0-9.]+|\[[0-9a-f:]+\]", host) else "DNS"
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ]
        command += [
            "-days",
            "3650",
            "-subj",
            f"/CN={host}",
            "-addext",
            f"subjectAltName={kind}:{host.strip('[]')}",
        ]
        command += ["-keyout", str(self.directory / "key.pem"), "-out", str(self.directory / "cert.pem")]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise BadInput(f"a certificate for {host} could not be made with openssl: {error}") from error
        os.chmod(self.directory / "key.pem", 0o600)


def new_key() -> tuple[str, str]:
    """Return a secret nkey and its public key."""
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    return seed.decode(), nkeys.from_seed(seed).public_key.decode()


def _account(found: Enrolled) -> str:
    hub = nkeys.from_seed(found.hub_seed.encode()).public_key.decode()
    host = f"\n      {{ nkey: {found.host_key}, {_HOST_RIGHTS} }}" if found.host_key else ""
    return f"""\
  "{found.host}": {{
    jetstream: {{ max_mem: 0, max_file: {MAX_FILE}, max_streams: 1 }}
    users: [
      {{ nkey: {hub} }}{host}
    ]
  }}"""


def _host_and_port(url: str) -> tuple[str, str]:
    address = url.partition("://")[2].rstrip("/")
    host, colon, port = address.rpartition(":")
    return (host, port) if colon and not port.endswith("]") else (address, "4222")


def _write(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(fd, "w", encoding="utf-8") as file:
        file.write(text)
