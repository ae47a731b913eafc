"""Firefox and WebKit, each started as a user has it and driven by its own protocol. The programs are Debian's.

Debian has no geckodriver, so Firefox is driven by Marionette, the protocol below it: `LENGTH:JSON` over TCP. WebKit has
WebKitWebDriver, which speaks WebDriver over HTTP. Both browsers know only the names in `HOSTS`.
"""

import contextlib
import json
import os
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from tests.help.waiting import DEADLINE, wait_until

NAME = "vm.test"
"""A name of this machine that is not a name of loopback, so browsers do not trust its plain HTTP."""
HOSTS = f"127.0.0.1 localhost {NAME}\n"
WITH_HOSTS = ("unshare", "--mount", "sh", "-euc", 'mount --bind "$1" /etc/hosts; shift; exec "$@"', "sh")
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key of an element in WebDriver."""
_PREFERENCES = {
    "marionette.port": 0,
    "app.update.disabledForTesting": True,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}


class Browser(Protocol):
    """A browser with one window."""

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Send a command of WebDriver, and return its value."""
        ...


class Window:
    """What a user does in a window."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    def open(self, url: str) -> None:
        self._browser.call("Navigate", "url", url=url)

    def run(self, script: str) -> Any:
        """Run the body of an asynchronous function in the page, and return its JSON."""
        code = (
            "const done = arguments[arguments.length - 1];"
            f"(async () => {{ {script} }})().then((v) => done(JSON.stringify(v ?? null)), (e) => done(`error ${{e}}`));"
        )
        found = self._browser.call("ExecuteAsyncScript", "execute/async", script=code, args=[])
        if not isinstance(found, str):  # Firefox: the page was left meanwhile
            raise CannotRun(f"the script returned {found!r}")
        assert not found.startswith("error "), found
        return json.loads(found)

    def wait(self, script: str, what: str) -> Any:
        """Wait until a script returns something true, also across navigations, and return it."""

        def look() -> Any:
            try:
                return self.run(script)
            except CannotRun:
                return None

        return wait_until(look, what)

    def fill(self, selector: str, text: str) -> None:
        self._browser.call("ElementSendKeys", f"element/{self._find(selector)}/value", text=text)

    def click(self, selector: str) -> None:
        self._browser.call("ElementClick", f"element/{self._find(selector)}/click")

    def resize(self, width: int, height: int) -> None:
        """Make the page as large as a phone's. Firefox has a least width, which is a little wider."""
        self._browser.call("SetWindowRect", "window/rect", x=0, y=0, width=width, height=height)

    def _find(self, selector: str) -> str:
        found = self._browser.call("FindElement", "element", using="css selector", value=selector)
        return str(found[_ELEMENT])


class CannotRun(Exception):
    """The browser refused a command, for example because the page is loading."""


class Firefox:
    """A Firefox without a screen."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self._input = self._socket.makefile("rb")
        self._read()
        self._sent = 0
        self.call("NewSession", "")

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        if "element/" in path:
            arguments["id"] = path.split("/")[1]
        self._sent += 1
        message = json.dumps([0, self._sent, f"WebDriver:{method}", arguments]).encode()
        self._socket.sendall(b"%d:%b" % (len(message), message))
        _, _, failure, value = self._read()
        if failure:
            raise CannotRun(failure)
        return value["value"] if isinstance(value, dict) and "value" in value else value

    def close(self) -> None:
        self._input.close()
        self._socket.close()

    def _read(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            length += self._input.read(1)
        return json.loads(self._input.read(int(length[:-1])))


class WebKit:
    """The small browser that comes with WebKitGTK."""

    def __init__(self, port: int, program: str) -> None:
        self._url = f"http://127.0.0.1:{port}/session"
        # Full screen has no toolbar, so the window can be as narrow as a phone.
        options = {"binary": program, "args": ["--automation", "--full-screen"]}
        created = self.call("", "", capabilities={"alwaysMatch": {"webkitgtk:browserOptions": options}})
        self._url += f"/{created['sessionId']}"

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        request = urllib.request.Request(f"{self._url}/{path}".rstrip("/"), json.dumps(arguments).encode())
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise CannotRun(error.read().decode()) from error


@contextlib.contextmanager
def firefox(folder: Path) -> Iterator[Window]:
    """Run Firefox with a new profile."""
    profile = folder / "profile"
    profile.mkdir()
    lines = [f"user_pref({json.dumps(key)}, {json.dumps(value)});" for key, value in _PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines))
    words = ["firefox-esr", "--marionette", "--headless", "--no-remote", "--profile", str(profile)]
    with _running(folder, words):
        port = wait_until(lambda: _read_number(profile / "MarionetteActivePort"), "the port of Firefox")
        with contextlib.closing(Firefox(port)) as browser:
            yield Window(browser)


@contextlib.contextmanager
def webkit(folder: Path) -> Iterator[Window]:
    """Run WebKit with a new home directory, on a screen in memory."""
    (program,) = Path("/usr/lib").glob("*/webkit2gtk-4.1/MiniBrowser")
    read_end, write_end = os.pipe()
    with _running(folder, ["Xvfb", "-displayfd", str(write_end), "-nolisten", "tcp"], pass_fds=(write_end,)):
        os.close(write_end)
        with open(read_end) as number:
            display = f":{number.readline().strip()}"
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with _running(folder, ["WebKitWebDriver", f"--port={port}"], DISPLAY=display):
            wait_until(lambda: _is_open(port), "the driver of WebKit")
            yield Window(WebKit(port, str(program)))


@contextlib.contextmanager
def _running(
    folder: Path, words: list[str], pass_fds: tuple[int, ...] = (), **environ: str
) -> Iterator[None]:
    """Run a program with `HOSTS` as the names of this machine, and kill all that it started in the end."""
    hosts = folder / "hosts"
    hosts.write_text(HOSTS)
    private = {
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
        "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",
    }
    inside = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    with (
        open(folder / "output", "ab") as output,
        subprocess.Popen(
            [*WITH_HOSTS, str(hosts), *inside, *words],
            env={"PATH": os.environ["PATH"], **private, **environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=pass_fds,
        ) as process,
    ):
        try:
            yield
        finally:
            process.kill()


def _read_number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _is_open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
