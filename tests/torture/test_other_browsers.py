"""Firefox and WebKit: a login over plain HTTP works, and a login that has ended leaves no transcript on the device."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.help import other_browsers
from tests.help.other_browsers import NAME, Window
from tests.help.servers import TOKEN, Server, serving
from tests.help.superuser import require_superuser

pytestmark = pytest.mark.torture

BROWSERS: dict[str, Callable[[Path], AbstractContextManager[Window]]] = {
    "firefox": other_browsers.firefox,
    "webkit": other_browsers.webkit,
}


@pytest.fixture(params=BROWSERS)
def window(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Window]:
    require_superuser("to give a browser names of its own")
    folder = tmp_path / "browser"
    folder.mkdir(mode=0o700)
    with BROWSERS[request.param](folder) as opened:
        yield opened


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that is also reached by a name that is not one of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    origins = f"http://{NAME}:{port}"
    with serving(tmp_path / "var", "--port", str(port), BREAKGLASS_ORIGINS=origins) as started:
        yield started


def log_in(window: Window, address: str) -> None:
    window.open(f"{address}/")
    window.fill("#token", TOKEN)
    window.click("button.primary")
    window.wait('return document.querySelector("#badge")?.textContent === "Live"', "the list of sessions")


def test_a_user_logs_in_and_acts_over_plain_http_under_a_name_of_the_settings(
    window: Window, server: Server
) -> None:
    session = server.new_session()
    log_in(window, f"http://{NAME}:{server.port}")
    assert window.run("return window.isSecureContext") is False
    window.open(f"http://{NAME}:{server.port}/sessions/{session}")
    window.fill("#box textarea", "echo $((40 + 2)) is it")
    window.click("#send")
    window.wait('return document.body.textContent.includes("42 is it")', "the output of the command")
    # A form that the browser sends itself, without our script.
    window.run('document.querySelector("form[action$=\\"/logout\\"]").submit()')
    window.wait(
        'return location.pathname === "/login" && document.readyState === "complete"', "the login page"
    )


def test_a_login_that_was_revoked_leaves_no_transcript_on_the_device(window: Window, server: Server) -> None:
    session = server.new_session()
    server.prompt(session, "echo a secret")
    server.wait_for_end(session)
    address = f"http://localhost:{server.port}"
    log_in(window, address)
    window.open(f"{address}/sessions/{session}")
    stored = 'return (await (await caches.open("pages")).keys()).map((each) => new URL(each.url).pathname)'
    window.wait(
        f"const names = await (async () => {{ {stored} }})(); return names.length > 0", "a stored page"
    )
    (server.data / "logins.jsonl").unlink()
    window.open(f"{address}/sessions/{session}")
    window.wait('return Boolean(document.querySelector("#token"))', "the login page")
    assert window.run(stored) == []
