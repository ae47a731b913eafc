"""The reverse proxies of docs/deploy.md, run with the configurations there in front of a server."""

import getpass
import json
import os
import shutil
import socket
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.help.commands import curl, make_certificate
from tests.help.deploy_page import below_a_path, block
from tests.help.servers import TOKEN, Server, serving
from tests.help.waiting import DEADLINE, wait_until

NAME = "ops.example.com"


def free_port() -> int:
    """Return a port of the loopback interface on which no program listens now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Site(NamedTuple):
    """Where a proxy gets requests, and where the server behind it listens."""

    folder: Path
    port: int
    server_port: int = 0

    @property
    def origin(self) -> str:
        """What a browser shows in its address bar."""
        return f"https://{NAME}:{self.port}"


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """Return a block with places of a real machine replaced. Each of them must be in it."""
    for on_page, here in pairs:
        assert on_page in text, on_page
        text = text.replace(on_page, here)
    return text


def nginx(text: str, site: Site) -> list[str]:
    """Return the command that runs nginx with a server block."""
    text = replaced(text, ("listen 443 ssl", f"listen 127.0.0.1:{site.port} ssl"))
    temporary_paths = "".join(
        f"{name}_temp_path {site.folder / name};\n" for name in "client_body proxy fastcgi uwsgi scgi".split()
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    path = site.folder / "nginx.conf"
    path.write_text(
        f"{user}daemon off;\nworker_processes 1;\npid {site.folder / 'nginx.pid'};\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary_paths}{text}}}\n"
    )
    return [_program("nginx"), "-p", str(site.folder), "-e", str(site.folder / "errors"), "-c", str(path)]


def caddy(text: str, site: Site) -> list[str]:
    """Return the command that runs Caddy with a site, without asking an authority for its certificate."""
    tls = f"    tls {site.folder / 'ops.pem'} {site.folder / 'ops.key'}\n"
    text = replaced(text, (f"{NAME} {{\n", f"{site.origin} {{\n{tls}"))
    path = site.folder / "Caddyfile"
    path.write_text(f"{{\n    admin off\n    auto_https disable_redirects\n}}\n{text}")
    return ["env", f"HOME={site.folder}", _program("caddy"), "run", "--adapter=caddyfile", f"--config={path}"]


def apache(text: str, site: Site) -> list[str]:
    """Return the command that runs Apache with a virtual host and the modules of Debian that it needs."""
    text = replaced(text, ("*:443", f"127.0.0.1:{site.port}"))
    modules = "mpm_event ssl socache_shmcb proxy proxy_http authz_core".split()
    load = "".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n" for name in modules)
    user = "User www-data\nGroup www-data\n" if os.geteuid() == 0 else ""
    path = site.folder / "apache.conf"
    path.write_text(
        f"{load}{user}ServerName localhost\nServerRoot {site.folder}\nPidFile {site.folder}/pid\nMutex posixsem\n"
        f"ErrorLog {site.folder}/errors\nListen 127.0.0.1:{site.port}\n{text}"
    )
    return [_program("apache2"), "-D", "FOREGROUND", "-f", str(path)]


def haproxy(text: str, site: Site) -> list[str]:
    """Return the command that runs HAProxy with a frontend and a backend."""
    text = replaced(text, ("bind :443", f"bind 127.0.0.1:{site.port}"))
    path = site.folder / "haproxy.cfg"
    path.write_text(text)
    return [_program("haproxy"), "-db", "-q", "-f", str(path)]


class Proxy(NamedTuple):
    """A proxy of docs/deploy.md."""

    language: str
    """The language of its block."""
    word: str
    """A word of the block, which no other block in that language has."""
    command: Callable[[str, Site], list[str]]
    """Writes the configuration and returns the command that runs it."""


PROXIES = {
    "nginx": Proxy("nginx", "http://127.0.0.1:8420", nginx),
    "nginx with users": Proxy("nginx", "X-Forwarded-User", nginx),
    "caddy": Proxy("caddyfile", "reverse_proxy", caddy),
    "apache": Proxy("apache", "ProxyPass", apache),
    "haproxy": Proxy("haproxy", "http-no-delay", haproxy),
}


def settings(word: str, site: Site, *, prefixed: bool) -> Path:
    """Write the settings of the first block with `word`, and return the file."""
    text = block("toml", word)
    text = replaced(below_a_path(text) if prefixed else text, (f"https://{NAME}", site.origin))
    path = site.folder / "breakglass.toml"
    text = text.replace("unix:www-data", f"unix:{getpass.getuser()}")
    path.write_text(text.replace("/run/breakglass/socket", str(site.folder / "socket")))
    return path


@contextmanager
def proxying(name: str, site: Site, *, prefixed: bool, without: tuple[str, ...] = ()) -> Iterator[None]:
    """Run a proxy while in the context. Its certificate is `cert.pem` in the folder. `without` is left out."""
    proxy = PROXIES[name]
    text = block(proxy.language, proxy.word)
    text = below_a_path(text) if prefixed else text
    text = replaced(text, *((each, "") for each in without))
    for on_page, here in (
        ("/etc/ssl/", f"{site.folder}/"),
        ("/etc/nginx/", f"{site.folder}/"),
        ("/run/breakglass/socket", str(site.folder / "socket")),
        ("127.0.0.1:8420", f"127.0.0.1:{site.server_port}"),
    ):
        text = text.replace(on_page, here)
    cert, key = make_certificate(site.folder)
    both = proxy.language == "haproxy"
    (site.folder / "ops.pem").write_bytes(cert.read_bytes() + (key.read_bytes() if both else b""))
    key.rename(site.folder / "ops.key")
    with open(site.folder / "output", "wb") as output:
        process = subprocess.Popen(proxy.command(text, site), stdout=output, stderr=output)
    try:
        wait_until(lambda: process.poll() is not None or _answers(site.port), name)
        assert process.poll() is None, (site.folder / "output").read_text()
        yield
    finally:
        process.terminate()
        process.wait(DEADLINE)


class Proxied:
    """A server behind a proxy, and curl as the client of the proxy."""

    def __init__(self, site: Site, server: Server, prefix: str, user: str) -> None:
        self.server = server
        self.head = site.folder / "head"
        """The head of the last stream that was followed."""
        self._user = user
        self.at = f"{site.origin}{prefix}"
        self.prefix = prefix
        self._always = (
            *("--resolve", f"{NAME}:{site.port}:127.0.0.1", "--cacert", str(site.folder / "cert.pem")),
            "-N",
        )

    def ask(self, path: str, *words: str, user: str | None = None) -> str:
        """Return the head and the body of the answer. `user` is NAME:PASSWORD for the proxy, "" for none."""
        name = self._user if user is None else user
        return curl(*self._always, *(("-u", name) if name else ()), *words, f"{self.at}{path}")

    def send_json(self, path: str, body: str, *words: str) -> dict[str, Any]:
        """Send JSON as our own page does, and return the JSON of the response."""
        response = self.ask(path, "-H", "Sec-Fetch-Site: same-origin", "--json", body, *words)
        found: dict[str, Any] = json.loads(response.rpartition("\n\n")[2])
        return found

    @contextmanager
    def following(self, session: str, *words: str) -> Iterator[Iterator[dict[str, Any]]]:
        """Yield the events of a session as they arrive. `words` are options of curl."""
        who = ("-u", self._user) if self._user else ("-H", f"Authorization: Bearer {TOKEN}")
        accept = ("-H", "Accept: text/event-stream")
        command = ["curl", "-sS", "-D", str(self.head), *self._always, *who, *accept, *words]
        command.append(f"{self.at}/api/sessions/{session}/events")
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout
            lines = process.stdout
            try:
                yield (
                    json.loads(line[6:]) for line in lines if line.startswith(b"data:") and b'"kind":' in line
                )
            finally:
                process.kill()


@contextmanager
def proxied(
    folder: Path, name: str, *, prefixed: bool = False, user: str = "", without: tuple[str, ...] = ()
) -> Iterator[Proxied]:
    """Run a server and a proxy in front of it while in the context, both as docs/deploy.md configures them.

    `user` is NAME:PASSWORD of curl for the proxy. `without` is left out of the proxy's configuration.
    """
    site = Site(folder, free_port())
    word = "proxy_user_header" if name == "nginx with users" else "X-Forwarded-For"
    config = settings(word, site, prefixed=prefixed)
    prefix = tomllib.loads(config.read_text()).get("prefix", "")
    with (
        serving(folder / "var", "--config", str(config)) as server,
        proxying(name, site._replace(server_port=server.port), prefixed=prefixed, without=without),
    ):
        yield Proxied(site, server, prefix, user)


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def _program(name: str) -> str:
    return shutil.which(name, path="/usr/sbin:/usr/bin") or name
