"""A real server with scripted agents, and functions that write a log without an agent."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from breakglass.events import Draft, Event
from breakglass.store import log, seek, sessions
from tests.help.servers import TOKEN, Server

SETTINGS = """
[agents.scripted]
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


class ScriptedServer(Server):
    """A server with the agents of these tests."""

    def run_script(self, *lines: str, title: str = "") -> str:
        """Make a session whose agent runs these lines (tests/help/scripted_agent.py), and return its id."""
        session = self.new_session(agent="scripted", title=title)
        self.prompt(session, "\n".join(lines))
        return session

    def written(self, drafts: Iterable[Draft], title: str = "") -> str:
        """Make a session, append these events to its log, and return its id. Every turn among them must be complete."""
        session = sessions.create(self.data, "shell", None, title, "ann")
        with session.open_log() as opened:
            for kind, fields in drafts:
                opened.append(kind, **fields)
        return session.id

    def appended(self, session: str, kind: str, **fields: Any) -> int:
        """Append one event to a log and return its number."""
        with sessions.get(self.data, session).open_log() as opened:
            return opened.append(kind, **fields)

    def events(self, session: str) -> list[Event]:
        """Return the events of a log."""
        fd = log.open_reader(sessions.get(self.data, session).directory)
        try:
            return [*log.read(fd, seek.START, seek.find_end(fd, log.size(fd)))]
        finally:
            os.close(fd)

    def prompts(self, session: str) -> list[str]:
        """Return the prompts that began turns."""
        return [event["text"] for event in self.events(session) if event["kind"] == "user"]

    def cookie(self) -> Any:
        """Log in and return the cookie in Playwright's form."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        status, _, headers = self.ask("POST", "/login", urlencode({"token": TOKEN}).encode(), form)
        assert status == 303
        name, _, value = headers["set-cookie"].partition(";")[0].partition("=")
        return {"name": name, "value": value, "url": self.address, "httpOnly": True, "sameSite": "Strict"}


@contextmanager
def scripted_server(root: Path, **env: str) -> Iterator[ScriptedServer]:
    """Run a server with its data in `root`; `env` are settings."""
    root.mkdir(parents=True, exist_ok=True)
    settings = root / "breakglass.toml"
    tests = Path(__file__).resolve().parent.parent
    paths = {"python": sys.executable, "root": tests.parent, "many": tests / "help" / "many_events.py"}
    settings.write_text(SETTINGS.format(**{name: f"'{path}'" for name, path in paths.items()}))
    server = ScriptedServer(root / "var", "--config", str(settings), **env)
    try:
        yield server
    finally:
        server.kill()
