"""A real server, and people with real browsers who visit it: what goes wrong in one unseen fails its test."""

import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

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

from breakglass.events import Draft, Event
from breakglass.store import log, seek, sessions
from tests.help.servers import TOKEN, Server

PATIENCE_MS = 30_000
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
SETTINGS = """
[agents.actor]
protocol = "claude"
command = [{python}, "-m", "tests.help.scripted_agent"]
permissions = "ask"
env = {{ PYTHONPATH = {root} }}

[agents.many]
protocol = "claude"
command = [{python}, {many}]

[agents.absent]
protocol = "claude"
command = ["no-such-program"]

[[presets]]
label = "Uptime"
text = "echo since $((1 + 1)) days"
agent = "shell"

[[presets]]
label = "Disk"
text = "echo all full"
"""

expect.set_options(timeout=PATIENCE_MS)


def executable() -> str:
    """Return the path of Chromium. Skips the test where there is none, but fails it in CI."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Chromium here: run .ci/tools test")
    return str(found)


class House(Server):
    """A server with the agents of these tests, and the means to write a log without one."""

    def play(self, *lines: str, title: str = "") -> str:
        """Make a session whose agent plays these lines, and return its id."""
        session = self.new_session(agent="actor", title=title)
        self.prompt(session, "\n".join(lines))
        return session

    def written(self, drafts: Iterable[Draft], title: str = "") -> str:
        """Make a session whose log goes on with these, and return its id. They must hold whole turns."""
        session = sessions.create(self.data, "shell", None, title, "ann")
        with session.open_log() as opened:
            for kind, fields in drafts:
                opened.append(kind, **fields)
        return session.id

    def appended(self, session: str, kind: str, **fields: Any) -> int:
        """Append one event as any other process may, and return its number."""
        with sessions.get(self.data, session).open_log() as opened:
            return opened.append(kind, **fields)

    def events(self, session: str) -> list[Event]:
        """Return the log."""
        fd = log.open_reader(sessions.get(self.data, session).directory)
        try:
            return [*log.read(fd, seek.START, seek.find_end(fd, log.size(fd)))]
        finally:
            os.close(fd)

    def cookie(self) -> dict[str, Any]:
        """Log in and return the cookie as Playwright takes it."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        status, _, headers = self.ask("POST", "/login", urlencode({"token": TOKEN}).encode(), form)
        assert status == 303
        name, value = re.match(r"([^=]+)=([^;]+)", headers["set-cookie"]).groups()  # type: ignore[union-attr]
        return {"name": name, "value": value, "url": self.address, "httpOnly": True, "sameSite": "Strict"}


@contextmanager
def house(root: Path, **env: str) -> Iterator[House]:
    """Serve while in the context."""
    root.mkdir(parents=True, exist_ok=True)
    settings = root / "breakglass.toml"
    here = Path(__file__).resolve().parent.parent
    paths = {"python": sys.executable, "root": here.parent, "many": here / "help" / "many_events.py"}
    settings.write_text(SETTINGS.format(**{name: f"'{path}'" for name, path in paths.items()}))
    opened = House(root / "var", "--config", str(settings), **env)
    try:
        yield opened
    finally:
        opened.kill()


class Person:
    """Somebody with a browser of their own: one window, in which nothing may go wrong unseen."""

    def __init__(self, browser: Browser, server: House, *, logged_in: bool = True, **options: Any) -> None:
        self.server = server
        options = {"service_workers": "block", **DESK, **options}
        self.context: BrowserContext = browser.new_context(base_url=server.address, **options)
        self.context.set_default_timeout(PATIENCE_MS)
        if logged_in:
            self.context.add_cookies([server.cookie()])  # type: ignore[list-item]
        self.wrong: list[str] = []
        self.expected = ""
        """What of it the test expects: a pattern."""
        self.asked: list[str] = []
        self.context.on("request", self._requested)
        self.context.on("console", self._said)
        self.context.on("weberror", lambda error: self.wrong.append(f"thrown: {error.error}"))
        self.page: Page = self.window()

    def window(self) -> Page:
        """Open one more window."""
        page = self.context.new_page()
        page.on("dialog", self._asked)
        page.on("popup", lambda popup: self.wrong.append(f"popup: {popup.url}"))
        return page

    def _asked(self, dialog: Dialog) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _requested(self, request: Request) -> None:
        self.asked.append(request.url)
        if not request.url.startswith((self.server.address + "/", "data:")):
            self.wrong.append(f"asked elsewhere: {request.url}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.wrong.append(f"console: {message.text} {message.location.get('url', '')}")

    def open(self, session: str = "", tail: str = "") -> Page:
        """Go to a session, or to the list, and return the page once its scripts run."""
        self.page.goto(f"/sessions/{session}{tail}" if session else f"/{tail}")
        expect(self.badge).to_have_text("Live")
        return self.page

    @property
    def badge(self) -> Locator:
        """What the page says of its connection."""
        return self.page.locator("#badge")

    def line(self, number: int) -> Locator:
        """Return a line by its number."""
        return self.page.locator(f"#e{number}")

    def shown(self) -> list[int]:
        """Return the numbers of the lines on the page, in its order; outputs count as lines."""
        js = "[...document.querySelectorAll('#log [id]')].map((line) => Number(line.id.slice(1)))"
        found: list[int] = self.page.evaluate(js)
        return found

    def leave(self) -> None:
        """Close the browser, and fail if anything went wrong that was not expected."""
        self.context.close()
        wrong = [each for each in self.wrong if not (self.expected and re.search(self.expected, each))]
        assert not wrong, wrong


NETWORK = r"Failed to load resource: net::|ERR_"
"""What a browser says on its console while there is no network, whatever a page does."""


def missing(person: Person, session: str) -> set[int]:
    """Return the lines of the log that the page does not show.

    Pieces of prose have gone into their `text`. So have pieces of a script's output into one, which must be whole.
    """
    events = person.server.events(session)
    printed: dict[str, str] = {}
    for event in events:
        if event.get("tool_id", "").startswith("shell-") and event["kind"] == "tool_result":
            printed[event["tool_id"]] = printed.get(event["tool_id"], "") + event["output"]
    for called, output in printed.items():
        for block in person.page.locator(f"[data-tool='{called}'] .output > pre").all():
            assert block.text_content() == output
    merged = {event["id"] for event in events if event.get("tool_id") in printed and "output" in event}
    return {event["id"] for event in events if event["kind"] != "delta"} - set(person.shown()) - merged


def complete(person: Person, session: str) -> None:
    """Fail unless the page shows the log's end: each line once, in order, none missing since the first shown."""
    shown = person.shown()
    assert len(shown) == len(set(shown)), "a line stands twice"
    top = person.page.evaluate(
        "[...document.querySelectorAll('#log > .line')].map((line) => Number(line.id.slice(1)))"
    )
    assert top == sorted(top), "lines are out of order"
    assert {number for number in missing(person, session) if number > min(shown)} == set()


LOGGED_OUT = NETWORK + "|status of 401|EventSource's response has a MIME type"
"""The same where the login has ended: the stream's address leads to the page that asks for the token."""
