"""A user with a real browser. Any problem in it fails the test: an error, a dialog, a request to another server."""

import os
import re
import shutil
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Locator,
    Page,
    Request,
    expect,
)

from tests.browser.server import ScriptedServer

DEADLINE_MS = 90_000
"""The time after which a test gives up on a page. Tests wait for conditions; only a page that hangs needs this long."""
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
FEW_PROCESSES = (
    "--renderer-process-limit=1 --disable-site-isolation-trials --in-process-gpu "
    "--disable-features=IsolateOrigins,site-per-process,SpareRendererForSitePerProcess"
).split()
"""Flags for tests that open one site only: each process of Chromium takes CPU time to start."""
expect.set_options(timeout=DEADLINE_MS)


def executable() -> str:
    """Return the path of Chromium. Skips the test where there is none, but fails it in CI.

    The headless shell is the same Chromium without windows. It uses a quarter less CPU.
    """
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if not found:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Chromium here: run .ci/tools test")
    return str(found)


class User:
    """A user with a separate browser profile and one window."""

    def __init__(
        self, browser: Browser, server: ScriptedServer, *, logged_in: bool = True, **options: Any
    ) -> None:
        self.server = server
        options = {"service_workers": "block", **DESKTOP, **options}
        self.context: BrowserContext = browser.new_context(base_url=server.address, **options)
        self.context.set_default_timeout(DEADLINE_MS)
        if logged_in:
            self.context.add_cookies([server.cookie()])
        self.problems: list[str] = []
        self.expected = ""
        """A pattern for the problems that the test expects."""
        self.requests: list[str] = []
        """The URLs that the browser has requested."""
        self.context.on("request", self._record_request)
        self.context.on("console", self._record_console)
        self.context.on("weberror", lambda error: self.problems.append(f"thrown: {error.error}"))
        self.page: Page = self.window()

    def window(self) -> Page:
        """Open one more window."""
        page = self.context.new_page()
        page.on("dialog", self._show_dialog)
        page.on("popup", lambda popup: self.problems.append(f"popup: {popup.url}"))
        return page

    def _show_dialog(self, dialog: Dialog) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _record_request(self, request: Request) -> None:
        self.requests.append(request.url)
        if not request.url.startswith((self.server.address + "/", "data:")):
            self.problems.append(f"request to another server: {request.url}")

    def _record_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.problems.append(f"console: {message.text} {message.location.get('url', '')}")

    def open(self, session: str = "", tail: str = "") -> Page:
        """Open a session, or the list, and return the page once its scripts run. `tail`: the query or fragment."""
        self.page.goto(f"/sessions/{session}{tail}" if session else f"/{tail}")
        expect(self.badge).to_have_text("Live")
        return self.page

    @property
    def badge(self) -> Locator:
        """The page's display of its connection."""
        return self.page.locator("#badge")

    def line(self, number: int) -> Locator:
        """Return the element of a line."""
        return self.page.locator(f"#e{number}")

    def shown(self) -> list[int]:
        """Return the numbers of the lines on the page, in the order of the page; each output counts as a line."""
        js = "[...document.querySelectorAll('#log [id]')].map((line) => Number(line.id.slice(1)))"
        found: list[int] = self.page.evaluate(js)
        return found

    def close(self) -> None:
        """Close the browser, and fail if there was a problem that the test did not expect."""
        self.context.close()
        unexpected = [
            each for each in self.problems if not (self.expected and re.search(self.expected, each))
        ]
        assert not unexpected, unexpected


NETWORK = r"Failed to load resource: net::|ERR_"
"""What Chromium prints on the console without a network. A page cannot prevent it."""


def missing(user: User, session: str) -> set[int]:
    """Return the lines of the log that the page does not show.

    Pieces of prose are left out: their finished `text` replaces them. The pieces of a shell's output are one block on
    the page, which must hold all of them.
    """
    events = user.server.events(session)
    printed: dict[str, str] = {}
    for event in events:
        if event.get("tool_id", "").startswith("shell-") and event["kind"] == "tool_result":
            printed[event["tool_id"]] = printed.get(event["tool_id"], "") + event["output"]
    for called, output in printed.items():
        for block in user.page.locator(f"[data-tool='{called}'] .output > pre").all():
            assert block.text_content() == output
    merged = {event["id"] for event in events if event.get("tool_id") in printed and "output" in event}
    return {event["id"] for event in events if event["kind"] != "delta"} - set(user.shown()) - merged


def assert_complete(user: User, session: str) -> None:
    """Fail unless the page shows every line from its first one to the log's end, once and in order."""
    shown = user.shown()
    assert len(shown) == len(set(shown)), "a line appears twice"
    top = user.page.evaluate(
        "[...document.querySelectorAll('#log > .line')].map((line) => Number(line.id.slice(1)))"
    )
    assert top == sorted(top), "lines are out of order"
    assert {number for number in missing(user, session) if number > min(shown)} == set()


LOGGED_OUT = NETWORK + "|status of 401|EventSource's response has a MIME type"
"""The same after the login has ended: the stream's address then redirects to the login page."""


def send_prompt(page: Page, text: str) -> None:
    """Write a prompt and send it by keyboard."""
    write_prompt(page, text)
    page.locator("#prompt").press("Control+Enter")


def write_prompt(page: Page, text: str) -> None:
    """Put text into the prompt field in one step.

    Playwright's `fill` goes through the browser's editing commands. These lay out the growing field again for each
    inserted line, which takes minutes for thousands of lines on a busy machine.
    """
    set_value = """(field, text) => {
      field.value = text;
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }"""
    page.locator("#prompt").evaluate(set_value, text)
