"""The login address: the URL of a server's login page with a one-time code, and how a phone reaches it."""

import ipaddress
import socket
from urllib.parse import urlsplit

from breakglass.cli import screen
from breakglass.cli.qr import show_qr
from breakglass.store.servers import RunningServer

_DEFAULT_PORTS = {"http": 80, "https": 443}


def with_code(login_page: str, code: str) -> str:
    """Return the URL that logs in once. The code follows `#`, a part that browsers send to no server."""
    return f"{login_page}#code={code}"


def show_code(server: RunningServer, code: str) -> None:
    """Print the login address as a QR code, and how to reach it if only this machine can open it."""
    if server.login_page is not None:
        show_qr(with_code(server.login_page, code))
    warn_if_loopback(server)


def warn_if_loopback(server: RunningServer) -> None:
    """Say on standard error that only this machine can open the address, if that is so, and what to do."""
    if command := tunnel(server):
        screen.say(
            "Only this machine can open that address: a phone cannot (docs/deploy.md describes TLS and a proxy). On "
            f"another computer, first run:\n  {command}"
        )


def tunnel(server: RunningServer) -> str:
    """Return the command for another computer that makes a loopback address open there, "" for other addresses."""
    page = urlsplit(server.login_page or "")
    if not _is_loopback(page.hostname or ""):
        return ""
    port = page.port or _DEFAULT_PORTS[page.scheme]
    target = server.address if server.address.startswith("/") else urlsplit(server.address).netloc
    return f"ssh -L {port}:{target} {socket.gethostname()}"


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
