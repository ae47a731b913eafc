"""Firefox and WebKit, the engine of every iPhone: the main flows of the page, on a window of a phone's size."""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from breakglass.store import sessions
from tests.help import other_browsers
from tests.help.other_browsers import NAME, Window
from tests.help.questions import answers, open_turn
from tests.help.servers import TOKEN, Server, serving
from tests.help.session_logs import events_of
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
    settings = {"BREAKGLASS_ORIGINS": origins, "BREAKGLASS_SSE_KEEPALIVE_SECONDS": "3"}
    with serving(tmp_path / "var", "--port", str(port), **settings) as started:
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


BADGE = 'document.querySelector("#badge").textContent'
TEXT = 'document.querySelector("#log").textContent'
OFFLINE = """
  Object.defineProperty(navigator, "onLine", { get: () => false, configurable: true });
  dispatchEvent(new Event("offline"));"""
"""WebDriver cannot take the network away, so the browser is told that it is gone."""
ONLINE = 'delete navigator.onLine; dispatchEvent(new Event("online"));'


def open_session(window: Window, server: Server, session: str, tail: str = "") -> None:
    window.open(f"http://localhost:{server.port}/sessions/{session}{tail}")
    window.wait(f'return {BADGE} === "Live"', "the stream")


def send(window: Window, text: str) -> None:
    window.fill("#box textarea", text)
    window.click("#send")


def test_a_turn_arrives_whole_through_a_killed_server_and_prompts_are_sent_once(
    window: Window, server: Server, tmp_path: Path
) -> None:
    session, gate = server.new_session(), tmp_path / "gate"
    window.resize(390, 844)
    log_in(window, f"http://localhost:{server.port}")
    open_session(window, server, session)
    loop = f"for n in 1 2 3 4 5 6; do echo line $n; done; while ! [ -e {gate} ]; do sleep 0.1; done; echo the last"
    send(window, loop)
    window.wait(f'return {TEXT}.includes("line 6")', "the output of a running turn")
    server.kill()
    window.wait(f'return {BADGE}.startsWith("Reconnecting")', "the badge without a server")
    send(window, "echo sent $((40 + 2)) times")
    window.wait('return document.querySelector("#outbox").textContent.includes("Not sent")', "the outbox")
    gate.touch()
    server.start()
    window.wait(f'return {BADGE} === "Live" && {TEXT}.includes("sent 42 times")', "both turns")
    printed = window.run('return document.querySelector(".output").textContent.trim().split("\\n")')
    assert printed == [*(f"line {n}" for n in range(1, 7)), "the last"]
    events = events_of(sessions.get(server.data, session))
    prompts = [event["text"] for event in events if event["kind"] == "user"]
    assert prompts == [loop, "echo sent $((40 + 2)) times"]


def test_without_a_network_the_kept_page_is_read_and_what_was_missed_comes_later(
    window: Window, server: Server
) -> None:
    session = server.new_session()
    server.prompt(session, "echo remember me")
    server.wait_for_end(session)
    window.resize(390, 844)
    log_in(window, f"http://localhost:{server.port}")
    window.wait("return Boolean(navigator.serviceWorker.controller)", "the service worker")
    open_session(window, server, session)
    window.run(OFFLINE)
    server.process.send_signal(signal.SIGSTOP)  # nothing is sent, and no connection ends
    window.wait(f'return {BADGE}.startsWith("Offline · as of")', "the badge without a network")
    server.process.send_signal(signal.SIGCONT)
    window.run(ONLINE)
    window.wait(f'return {BADGE} === "Live"', "the stream after the network is back")
    server.kill()
    window.open(f"http://localhost:{server.port}/sessions/{session}")
    window.wait(f'return {TEXT}.includes("remember me") && {BADGE} !== "Live"', "the page that was kept")
    server.start()
    server.prompt(session, "echo meanwhile $((1 + 1))")
    window.wait(f'return {BADGE} === "Live" && {TEXT}.includes("meanwhile 2")', "what was missed")


def test_a_turn_is_stopped_and_a_question_is_answered(window: Window, server: Server) -> None:
    stopped, asked = server.new_session(), server.new_session()
    window.resize(390, 844)
    log_in(window, f"http://localhost:{server.port}")
    open_session(window, server, stopped)
    send(window, "sleep 1000")
    window.wait('return Boolean(document.querySelector(".stop:not([hidden])"))', "the turn")
    window.click(".stop")
    window.wait(f'return {TEXT}.includes("Stopped after")', "the end of the turn")
    long = {"name": "Bash", "input": {"command": "\n".join(f"rm -r /srv/{n}" for n in range(40))}}
    with open_turn(server.data, asked, long):
        open_session(window, server, asked)
        assert window.run('return document.querySelector(".permission.open .allow").disabled') is True
        window.run('document.querySelector(".permission.open .rest button").click()')
        window.wait('return !document.querySelector(".permission.open .allow").disabled', "the whole command")
        window.click(".permission.open .allow")
        window.wait('return !document.querySelector(".permission.open")', "the answer")
        assert [answer["allow"] for answer in answers(server.data, asked)] == [True]


def test_a_long_log_opens_at_its_end_and_at_a_line_and_fits_a_phone(window: Window, server: Server) -> None:
    session = server.new_session()
    with sessions.get(server.data, session).open_log() as log:
        turn = log.append("user", text="Look.", by="ann")
        for number in range(20_000):
            log.append("notice", turn=turn, text=f"notice {number} " + "word " * 20)
        log.append("turn_end", turn=turn, status="ok", duration_ms=1)
    window.resize(390, 844)
    log_in(window, f"http://localhost:{server.port}")
    open_session(window, server, session)
    layout = window.run(
        """const dock = document.querySelector("#dock").getBoundingClientRect();
        const end = document.querySelector(".turn_end").getBoundingClientRect();
        return [document.documentElement.scrollWidth <= innerWidth, Math.abs(dock.bottom - innerHeight) <= 1,
          end.top > 0 && end.bottom <= dock.top, document.querySelectorAll("#log > .line").length < 2000];"""
    )
    assert layout == [True] * 4, "sideways, dock, end, lines"
    first = window.run('return document.querySelector("#log > .line").id')
    window.run("scrollTo(0, 0)")
    window.wait(f'return document.querySelector("#log > .line").id !== "{first}"', "earlier lines")
    open_session(window, server, session, "#e500")
    seen = "const box = document.querySelector('#e500')?.getBoundingClientRect(); return box?.top >= 0 && box.top < 400"
    window.wait(seen, "line 500")
