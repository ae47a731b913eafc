"""Writes the pages of a sample session as files: `python -m tests.help.preview DIR`.

They work without a server and without scripts, and look as in a browser without JavaScript.
"""

import functools
import shutil
import sys
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from breakglass.actions import Action, Param
from breakglass.actions.built_in import BUILT_IN
from breakglass.config.presets import Preset
from breakglass.state import OpenQuestion, SessionState
from breakglass.turns.job import ActionStep
from breakglass.web.page import fragments, render
from breakglass.web.page.page_data import (
    ActionPage,
    ActionsPage,
    CommonData,
    DeletePage,
    ErrorPage,
    GivenParam,
    ListPage,
    LoginPage,
    PromptBox,
    SessionPage,
)
from breakglass.web.page.rows import AgentChoice, SessionList, SessionRow
from tests.help.sample_session import history

RESTART = Action(
    "restart",
    ("restart", "--", "{unit}"),
    "disrupts",
    "Restart a service",
    before=("disks",),
    params={"unit": Param("unit", "text", pattern="[a-z]+", about="the unit")},
)
ACTIONS = {**BUILT_IN, "restart": RESTART}
NOW = "2026-11-23T03:15:00.000Z"
FRAME = CommonData(host="db1", csrf="csrf", prefix="", home="", static="/static/0", now=NOW, may_act=True)
RUNNING: dict[str, Any] = {"status": "running", "turn": 2}
ASKING: dict[str, Any] = {**RUNNING, "asking": (OpenQuestion(9, "r1", "Bash", NOW),)}


def row(title: str = "", last_line: str = "", **state: Any) -> SessionRow:
    """Return a session as the list and its own page show it. `state`: fields of its state."""
    shown = {"agent": "claude", "created": NOW, "updated": "2026-11-23T03:10:00.000Z", "last_id": 9, **state}
    return SessionRow(
        "00000001-0000-4000-8000-000000000000", SessionState(title=title, **shown), last_line=last_line
    )


def session_page(shown: SessionRow, sessions: list[SessionRow] | None = None, **fields: Any) -> SessionPage:
    """Return the data of a session's page; without `fields` it has no events."""
    listed = SessionList(sessions or [shown], len(sessions or [shown]))
    box = PromptBox(presets=(), key="key", is_shell=False)
    usual = {
        "events": [],
        "first_id": 1,
        "last_id": 1,
        "earlier": False,
        "later": False,
        "agents": [
            AgentChoice("claude", is_default=True, is_shell=False),
            AgentChoice("shell", is_default=False, is_shell=True),
        ],
        "log_path": "/var/lib/breakglass/events.jsonl",
        "keepalive": 20,
        "box": box,
    }
    return SessionPage(session=shown, sessions=listed, **{**usual, **fields})


PAGES = ("session", "sessions", "empty", "login", "actions", "action", "delete", "error")


@functools.cache
def pages(static: str = "static") -> dict[str, str]:
    """Return every kind of page, by its name."""
    events = history()
    last = events[-1]["id"]
    asking = row("disk full on db1", **ASKING, last_id=last, cost=0.0841)
    sessions = [
        asking,
        row("nginx answers 502", "I look at its log.", **RUNNING),
        row("backup of srv", "All four volumes are **complete**.", status="ok", cost=0.0212),
        row(status="lost", first_prompt="certificates that end this month"),
        row("dns", "The resolver does not answer.", status="error"),
    ]
    presets = tuple(Preset(label, "What is wrong?") for label in ("Triage", "Disk"))
    box = PromptBox(presets=presets, key="key", is_shell=False)
    agents = [
        AgentChoice("claude", is_default=True, is_shell=False),
        AgentChoice("codex", is_default=False, is_shell=False, missing="codex"),
    ]
    shown = [html for _, html in fragments.fragments(events)]
    contents = {
        "session": session_page(asking, sessions, events=shown, last_id=last, box=box),
        "sessions": ListPage(
            SessionList(sessions, len(sessions) + 1, 1.25),
            query="",
            archived=False,
            agents=agents,
            targets=(),
            budget=5.0,
            box=box,
        ),
        "empty": ListPage(
            SessionList([], 0),
            query="",
            archived=False,
            targets=(),
            budget=None,
            agents=agents,
            box=PromptBox(presets=(), key="key", is_shell=False),
        ),
        "login": LoginPage(next="/", error="That is not the token."),
        "actions": ActionsPage(list(ACTIONS.values()), key="key", session=asking),
        "action": ActionPage(
            action=RESTART,
            params=[GivenParam("unit", RESTART.params["unit"].described(()), "nginx")],
            steps=[
                ActionStep("disks", ("df", "-h"), 60),
                ActionStep("restart", ("restart", "--", "a  b"), 60),
            ],
            word="db1",
            key="key",
            session=None,
            reason="",
            error="confirm: type db1 to run it",
        ),
        "delete": DeletePage(asking, used=186_400, problem=""),
        "error": ErrorPage(404, "No such session", "Nothing was changed."),
    }
    return {name: render.page(replace(FRAME, static=static), content) for name, content in contents.items()}


if __name__ == "__main__":
    target = Path(sys.argv[1])
    shutil.copytree(render.STATIC, target / "static", dirs_exist_ok=True)
    for name, html in pages().items():
        (target / f"{name}.html").write_text(html, encoding="utf-8")
