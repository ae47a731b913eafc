"""Checks of the way to the server: whether it answers, also at its public address, and how long its certificate lasts.

The requests carry no token, so it does not matter who answers.
"""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from breakglass.config import Config
from breakglass.doctor.files import NOT_HERE
from breakglass.store import servers
from breakglass.text import one_line
from breakglass.vitals import Sign
from breakglass.vitals.probes import Place

SECONDS = 5.0
"""How long the server may take to answer."""
SOON_SECONDS = 14 * 86400
"""A certificate that ends within that time was probably not renewed: ACME clients renew 30 days before."""
_USER = "breakglass-doctor"
"""The user that a client from outside tries to name."""


class _Answer(NamedTuple):
    status: int
    body: bytes
    ends: float | None
    """When the certificate of the connection ends, in seconds since the epoch. None without TLS."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self._path)


def _get(base: str, path: str, headers: Mapping[str, str], *, verify: bool) -> _Answer:
    """Ask the server at `base`, a URL or the path of a Unix socket. Raises OSError and HTTPException."""
    at = urlsplit(base)
    connection: http.client.HTTPConnection
    if not at.scheme:
        connection = _UnixConnection(base)
    elif at.scheme == "https":
        context = ssl.create_default_context()
        if not verify:  # the server's own socket, at an address that its certificate does not name
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(at.hostname or "", at.port, timeout=SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=SECONDS)
    try:
        connection.request(
            "GET", f"{at.path.rstrip('/')}{path}" if at.scheme else path, headers=dict(headers)
        )
        sock, response = connection.sock, connection.getresponse()
        ends = _end_of(sock) if verify and isinstance(sock, ssl.SSLSocket) else None
        return _Answer(response.status, response.read(1 << 16), ends)
    finally:
        connection.close()


def _end_of(sock: ssl.SSLSocket | ssl.SSLObject) -> float | None:
    ends = (sock.getpeercert() or {}).get("notAfter")
    return ssl.cert_time_to_seconds(ends) if isinstance(ends, str) else None


def _is_ours(answer: _Answer) -> bool:
    try:
        return answer.status == 200 and json.loads(answer.body).get("service") == "breakglass"
    except (ValueError, AttributeError):
        return False


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    return one_line(getattr(error, "strerror", None) or str(error) or type(error).__name__, 120)


def server(config: Config, place: Place) -> Sign:
    """Whether a server runs on this data root and answers."""
    running = list(servers.find_servers(config.data).values())
    if not running:
        text = "none runs on this data root: no page can be opened; the commands work"
        advice = (
            "do: systemctl start breakglass, or breakglass serve; or name the right data root with --data"
        )
        return Sign("server", "Server", "warn", text, advice=advice)
    for each in running:
        advice = "see its output: journalctl -u breakglass; then: systemctl restart breakglass"
        try:
            answer = _get(each.address, "/health", {}, verify=False)
        except (OSError, http.client.HTTPException) as error:
            return Sign("server", "Server", "bad", f"{each.address}: {_why(error)}", advice=advice)
        if not _is_ours(answer):
            return Sign("server", "Server", "bad", f"{each.address}: status {answer.status}", advice=advice)
    return Sign("server", "Server", "ok", ", ".join(each.address for each in running))


def public_address(config: Config, place: Place) -> Sign:
    """Whether each public address leads to a server of this program, and for how long its certificate lasts."""
    label = "Public address"
    if not config.origins:
        return Sign("public_address", label, "ok", "none is set; through an SSH tunnel none is needed")
    left = float("inf")
    for origin in config.origins:
        base = f"{origin}{config.prefix}"
        try:
            answer = _get(base, "/health", {}, verify=True)
        except (OSError, http.client.HTTPException) as error:
            advice = "check the name in DNS, the proxy and its certificate; or correct origins"
            return Sign("public_address", label, "bad", f"{base}: {_why(error)}", advice=advice)
        if not _is_ours(answer):
            text = f"{base}: status {answer.status}, and not of this program"
            advice = (
                "let the proxy pass Host and the path as docs/deploy.md shows, or correct origins and prefix"
            )
            return Sign("public_address", label, "bad", text, advice=advice)
        left = min(left, float("inf") if answer.ends is None else answer.ends - time.time())
    shown = ", ".join(config.origins)
    if left < SOON_SECONDS:
        text = f"{shown}: the certificate ends in {max(0, int(left // 86400))} d"
        return Sign(
            "public_address", label, "warn", text, round(left), "renew it, and look why it was not renewed"
        )
    return Sign("public_address", label, "ok", f"{shown} answers")


def proxy_user(config: Config, place: Place) -> Sign:
    """Whether a client from outside can name a user itself, because the proxy passes the header on."""
    label, header = "User named by the proxy", config.proxy_user_header
    if header is None or not config.origins:
        return Sign("proxy_user", label, "ok", NOT_HERE)
    base = f"{config.origins[0]}{config.prefix}"
    answer = _get(base, "/api/sessions", {header: _USER}, verify=True)
    if answer.status == 200:
        text = f"any client can log in as any user: the proxy passes {header} from outside"
        advice = f"let the proxy set or remove {header} in each request: docs/deploy.md"
        return Sign("proxy_user", label, "bad", text, advice=advice)
    return Sign("proxy_user", label, "ok", f"{header} from outside has no effect")


def certificate(config: Config, place: Place) -> Sign:
    """Whether the certificate of `tls_cert` fits its key, and for how long it lasts."""
    label = "TLS certificate"
    if config.tls_cert is None:
        return Sign("certificate", label, "ok", NOT_HERE)
    advice = "renew the certificate, and restart the server"
    try:
        ends = _end_of_file(config)
    except ssl.SSLCertVerificationError as error:
        return Sign("certificate", label, "bad", f"{config.tls_cert}: {error.verify_message}", advice=advice)
    except (ssl.SSLError, OSError) as error:
        text = f"{config.tls_cert}: {_why(error)}"
        advice = "check tls_cert and tls_key: the server's user must be able to read both"
        return Sign("certificate", label, "bad", text, advice=advice)
    left = ends - time.time()
    text = f"ends in {int(left // 86400)} d"
    if left < SOON_SECONDS:
        return Sign("certificate", label, "warn", text, round(left), advice)
    return Sign("certificate", label, "ok", text, round(left))


def _end_of_file(config: Config) -> float:
    """Return when the certificate ends. A handshake in memory reads it: the module ssl reads no file of that kind.

    Raises SSLCertVerificationError for one that is not valid now, and SSLError or OSError if it cannot be used.
    """
    assert config.tls_cert
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(config.tls_cert, config.tls_key)
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname = False
    asking.verify_flags |= (
        ssl.VERIFY_X509_PARTIAL_CHAIN
    )  # the certificate itself is trusted, without its issuer
    asking.load_verify_locations(config.tls_cert)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        asking.wrap_bio(to_client, to_server),
        serving.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    found = _end_of(ends[0])
    if found is None:
        raise ssl.SSLError("it has no end date")
    return found
