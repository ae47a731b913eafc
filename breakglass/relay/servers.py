"""The configuration of the engine's servers: one, or three that keep each record three times. Pure.

Three servers form a cluster: each of them may fail, and nothing stops. The servers speak to each other over TLS, and
only one that has the certificate's key is let in.
"""

from typing import NamedTuple
from urllib.parse import urlsplit

from breakglass.relay_settings import PORTS

_CLUSTER_PORT_OFFSET = 2000
"""Added to the port for hosts to get the port for the other servers: 4222 gives 6222."""
_SERVER = """\
# The engine of the relays. Made once by breakglass enroll; change what you need, and keep the include.
{about}listen: "{listen}"
max_payload: 524288
pid_file: "{directory}/{name}.pid"
# max_file is no limit here: each account has its own, and the disk has one.
jetstream {{ store_dir: "{directory}/{store}", max_file: 1024T, sync_interval: always }}
{more}include "accounts.conf"
"""
_TLS = 'tls {{ cert_file: "{directory}/cert.pem", key_file: "{directory}/key.pem"{more} }}'
_WEBSOCKET = """\
websocket {{
  listen: "{listen}"
  {tls}
}}
"""
_CLUSTER = """\
cluster {{
  name: breakglass
  listen: "{listen}"
  routes: [{routes}]
  {tls}
}}
"""


class Address(NamedTuple):
    """Where a server of the engine listens."""

    scheme: str
    host: str
    port: int

    @property
    def is_encrypted(self) -> bool:
        """Whether it is reached over TLS."""
        return self.scheme in ("tls", "wss")

    @property
    def is_websocket(self) -> bool:
        """Whether it is reached through HTTP."""
        return self.scheme in ("wss", "ws")

    def listen(self, port: int) -> str:
        """Return where the server listens: on all networks if that is encrypted, else only where it is told to."""
        host = "0.0.0.0" if self.is_encrypted else self.host  # nosec B104 # hosts of other networks connect to it
        return f"{host}:{port}"

    @property
    def cluster_port(self) -> int:
        """The port at which the other servers reach it."""
        above = self.port + _CLUSTER_PORT_OFFSET
        return above if above < 1 << 16 else self.port - _CLUSTER_PORT_OFFSET


def addresses(url: str) -> list[Address]:
    """Return the addresses of the engine's servers, of a text that `check_url` has taken."""
    found = []
    for each in map(urlsplit, url.split(",")):
        host = each.netloc.rpartition(":")[0] if each.port else each.netloc
        found.append(Address(each.scheme, host, each.port or PORTS[each.scheme]))
    return found


def configurations(url: str, directory: str) -> dict[str, str]:
    """Return the name and the text of the configuration file of each server."""
    found = addresses(url)
    return {
        name: _server(found, at, directory, suffix)
        for at, (name, suffix) in enumerate(zip(names(url), _suffixes(url), strict=True))
    }


def names(url: str) -> list[str]:
    """Return the name of the configuration file of each server."""
    return [f"nats-server{suffix}.conf" for suffix in _suffixes(url)]


def _suffixes(url: str) -> list[str]:
    return ["-1", "-2", "-3"] if "," in url else [""]


def needs_certificate(url: str) -> bool:
    """Return whether the engine needs a certificate: for the hosts, or for its servers among each other."""
    found = addresses(url)
    return len(found) > 1 or found[0].is_encrypted


def _server(found: list[Address], at: int, directory: str, suffix: str) -> str:
    own, more = found[at], ""
    listen, tls = own.listen(own.port), _TLS.format(directory=directory, more="")
    if own.is_websocket:
        more = _WEBSOCKET.format(listen=listen, tls=tls if own.is_encrypted else "no_tls: true")
        listen = "127.0.0.1:-1"  # the engine always listens without a websocket too; no one uses it
    elif own.is_encrypted:
        more = f"{tls}\n"
    if len(found) > 1:
        others = [f'"nats://{each.host}:{each.cluster_port}"' for each in found if each != own]
        tls = _TLS.format(directory=directory, more=f', ca_file: "{directory}/cert.pem", verify: true')
        more += _CLUSTER.format(listen=own.listen(own.cluster_port), routes=", ".join(others), tls=tls)
    return _SERVER.format(
        about=f'server_name: "engine{suffix}"\n' if suffix else "",
        listen=listen,
        directory=directory,
        name=f"nats-server{suffix}",
        store=f"jetstream{suffix}",
        more=more,
    )
