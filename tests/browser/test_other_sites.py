"""A hostile page on another site, in the browser of a logged-in user, tries everything that a browser can do."""

import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect

from breakglass.access.credentials import Credential, csrf_token
from tests.browser.user import DEADLINE_MS, FLAGS, executable
from tests.help.servers import TOKEN, Server, serving
from tests.help.waiting import wait_until

ATTACK = """
async ({ at, session }) => {
  const got = {};
  const tried = async (name, attempt) => {
    try { got[name] = await attempt(); } catch (error) { got[name] = `refused: ${error.name}`; }
  };
  const json = { "content-type": "application/json" }, cookies = { credentials: "include" };
  const turn = `${at}/api/sessions/${session}/turns`, body = JSON.stringify({ prompt: "echo pwned" });
  const read = async (answer) => `${answer.type} ${answer.status} ${(await answer.text()).length}`;
  await tried("read", async () => read(await fetch(`${at}/api/sessions`, cookies)));
  await tried("read page", async () => read(await fetch(`${at}/`, cookies)));
  await tried("read blind", async () => read(await fetch(`${at}/api/sessions`, { mode: "no-cors", ...cookies })));
  await tried("json", async () => read(await fetch(turn, { method: "POST", headers: json, body, ...cookies })));
  for (const kind of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) {
    await tried(kind, async () => read(await fetch(turn,
      { method: "POST", mode: "no-cors", headers: { "content-type": kind }, body, ...cookies })));
  }
  await tried("beacon", async () => `${navigator.sendBeacon(turn, new Blob([body], { type: "text/plain" }))}`);
  await tried("patch", async () =>
    read(await fetch(`${at}/api/sessions/${session}`, { method: "PATCH", ...cookies })));
  const loads = (element) => new Promise((done) => {
    element.onload = () => done("loaded"); element.onerror = () => done("refused: error");
    setTimeout(() => done("refused: silence"), 3000);
    document.body.append(element);
  });
  const make = (tag, more) => Object.assign(document.createElement(tag), more);
  await tried("image", () => loads(make("img", { src: `${at}/static/icon.svg` })));
  await tried("script", () => loads(make("script", { src: `${at}/api/sessions` })));
  await tried("style", () => loads(make("link", { rel: "stylesheet", href: `${at}/sessions/${session}` })));
  for (const path of [`/api/sessions/${session}/events`, `/sessions/${session}/stream`]) {
    await tried(`source ${path.slice(-6)}`, () => new Promise((done) => {
      const source = new EventSource(at + path, { withCredentials: true });
      source.onopen = () => done("opened"); source.onmessage = () => done("read");
      source.onerror = () => { source.close(); done("refused: error"); };
    }));
  }
  await tried("socket", () => new Promise((done) => {
    const socket = new WebSocket(`${at.replace("http", "ws")}/api/sessions/${session}/events`);
    socket.onopen = () => done("opened"); socket.onerror = () => done("refused: error");
  }));
  for (const [name, action, fields] of [
    ["form sessions", "/sessions", { prompt: "echo pwned", agent: "shell" }],
    ["form turns", `/sessions/${session}/turns`, { prompt: "echo pwned" }],
    ["form rename", `/sessions/${session}`, { title: "pwned" }],
    ["form api", `/api/sessions/${session}/cancel`, {}],
    ["form logout", "/logout", {}],
  ]) {
    await tried(name, async () => {
      const frame = make("iframe", { name });
      const form = make("form", { method: "post", action: at + action, target: name });
      for (const [key, value] of Object.entries(fields)) form.append(make("input", { name: key, value }));
      document.body.append(frame, form);
      await new Promise((done) => { frame.onload = done; setTimeout(done, 3000); form.submit(); });
      try { return frame.contentDocument ? "refused: blank" : "refused: shut"; } catch { return "refused: shut"; }
    });
  }
  await tried("frame", async () => {
    const frame = make("iframe", { src: `${at}/sessions/${session}` });
    await loads(frame);
    try { return frame.contentDocument?.body?.innerText ? "read" : "refused: shut"; } catch { return "refused: shut"; }
  });
  return got;
}
"""


class OtherSite(BaseHTTPRequestHandler):
    """An empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title><body>")

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture
def elsewhere() -> Iterator[int]:
    """The port of another server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), OtherSite)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser(chromium: Browser) -> Iterator[Browser]:
    """A browser that resolves evil.example to this machine."""
    browser = chromium.browser_type.launch(
        executable_path=executable(),
        args=[*FLAGS, "--host-resolver-rules=MAP *.example 127.0.0.1", "--disable-popup-blocking"],
    )
    yield browser
    browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in a profile of its own of this browser."""
    page = browser.new_page()
    page.set_default_timeout(DEADLINE_MS)
    yield page
    page.context.close()


def access_log(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def logged_in(page: Page, server: Server) -> None:
    page.goto(server.login_address())
    page.wait_for_url(f"{server.address}/")


# For a browser another port of this host is the same site, so it sends the SameSite=Strict cookie there.
@pytest.mark.parametrize(
    "host",
    [*(pytest.param(name, marks=pytest.mark.torture) for name in ("127.0.0.1", "localhost")), "evil.example"],
)
def test_a_page_of_another_site_reads_nothing_and_changes_nothing(
    host: str, page: Page, elsewhere: int, tmp_path: Path
) -> None:
    record = tmp_path / "access.jsonl"
    with serving(tmp_path / "var", BREAKGLASS_ACCESS_LOG=str(record)) as server:
        session = server.new_session(title="mine")
        logged_in(page, server)
        lines = server.log(session).read_bytes()
        page.goto(f"http://{host}:{elsewhere}/")
        wait_until(lambda: [row for row in access_log(record) if row["path"] == "/"], "the first page")
        before = len(access_log(record))
        got = page.evaluate(ATTACK, {"at": server.address, "session": session})
        assert got.pop("beacon") == "true", "a beacon is sent, and the page does not learn the answer"
        assert {name: result for name, result in got.items() if not result.startswith("refused: ")} == {}
        wait_until(lambda: len(access_log(record)) > before + 12, "the refused requests in the access log")
        statuses = {(row["method"], row["path"], row["status"]) for row in access_log(record)[before:]}
        # The list page, which the user opened before, may still be loading its scripts.
        attacked = {status for _, path, status in statuses if path.startswith(("/api", "/sessions"))}
        assert attacked <= {400, 403, 405}
        assert server.log(session).read_bytes() == lines
        assert [each["id"] for each in server.ask("GET", "/api/sessions?archived=1")[1]["sessions"]] == [
            session
        ]
        page.goto(f"{server.address}/sessions/{session}")
        assert page.title().startswith("mine"), "still logged in"


def test_a_foreign_name_that_resolves_to_this_server_is_refused(page: Page, tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        answer = page.goto(f"http://evil.example:{server.port}/")
        assert answer
        assert answer.status == 421


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_over_plain_http_a_browser_logs_in_and_acts_under_any_name(page: Page, tmp_path: Path) -> None:
    """To such a name browsers send no Sec-Fetch-Site. So a form that said `Origin: null` would be refused."""
    port = free_port()
    name = f"http://vm.example:{port}"
    with serving(tmp_path / "var", "--port", str(port), BREAKGLASS_ORIGINS=name) as server:
        page.goto(f"{name}/")
        page.locator("#token").fill(TOKEN)
        page.locator("button.primary").click()
        page.wait_for_url(f"{name}/")
        assert page.evaluate("isSecureContext") is False
        page.locator("#prompt").fill("echo from afar")
        page.locator("#send").click()
        page.wait_for_url(re.compile("/sessions/"))
        page.get_by_label("Menu").click()
        page.locator("summary", has_text="Rename").click()
        page.locator("input[name=title]").fill("renamed")
        page.locator("button", has_text="Rename").click()
        expect(page.locator("h1")).to_have_text("renamed")
        page.get_by_label("Menu").click()
        page.locator("button", has_text="Log out").click()
        page.wait_for_url(f"{name}/login")
        assert len(server.ask("GET", "/api/sessions")[1]["sessions"]) == 1


def test_a_program_on_another_port_gets_the_cookie_and_cannot_act_with_it(page: Page, tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        logged_in(page, server)
        page.locator("#prompt").fill("echo mine")
        page.locator("#send").click()
        page.wait_for_url(re.compile("/sessions/"))
        session = page.url.partition("/sessions/")[2].partition("#")[0]
        server.wait_for_end(session)
        lines = server.log(session).read_bytes()
        (cookie,) = page.context.cookies(f"http://127.0.0.1:{free_port()}/")
        stolen = {
            "Authorization": "",
            "Cookie": f"{cookie['name']}={cookie['value']}",
            "Origin": server.address,
            "Sec-Fetch-Site": "same-origin",
        }
        status, html, _ = server.ask("GET", f"/sessions/{session}", headers=stolen)
        assert (status, set(re.findall(rb'name="csrf" value="([^"]*)"', html))) == (200, {b""})
        assert server.ask("POST", f"/api/sessions/{session}/turns", {"prompt": "id"}, stolen)[0] == 403
        credential = Credential("", True, "cookie", hashlib.sha256(cookie["value"].encode()).digest())
        form = urlencode({"csrf": csrf_token(credential), "prompt": "id"}).encode()
        as_form = {**stolen, "Content-Type": "application/x-www-form-urlencoded"}
        assert server.ask("POST", f"/sessions/{session}/turns", form, as_form)[0] == 403
        assert server.log(session).read_bytes() == lines
        assert 0 < cookie["expires"] - time.time() <= 12 * 3600


@pytest.mark.torture
def test_a_form_that_is_sent_before_the_scripts_run_has_the_csrf_token(page: Page, tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        logged_in(page, server)
        page.route("**/app.js", lambda route: route.abort())
        page.goto(f"{server.address}/")
        page.locator("#prompt").fill("echo early")
        page.locator("#send").click()
        page.wait_for_url(re.compile("/sessions/"))
        expect(page.locator("#log .user")).to_contain_text("echo early")


def test_our_pages_run_no_script_of_another_site(page: Page, tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        logged_in(page, server)
        for attack in (
            "document.body.setAttribute('onclick', 'window.pwned = 1')",
            "document.body.innerHTML = '<img src=x onerror=alert(1)>'",
            "() => setTimeout('window.pwned = 1', 0)",
            "document.createElement('script').text = 'window.pwned = 1'",
            "document.createElement('script').src = 'https://evil.example/a.js'",
        ):
            with pytest.raises(Exception, match="Trusted"):
                page.evaluate(attack)
