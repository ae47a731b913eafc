"""Writes the pages of a sample session into files, for a look in a browser: `python -m tests.help.preview DIR`.

They need no server. They look as in a browser without JavaScript.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

from breakglass.web.page import render
from tests.help.sample_session import history

NOW = "2026-11-23T03:15:00.000Z"


def session(title: str, status: str, **keys: Any) -> dict[str, Any]:
    """Return a session object as the list and the page need it."""
    found: dict[str, Any] = dict.fromkeys(("model", "first_prompt", "last_line"), "")
    found |= {
        "id": "00000001-0000-4000-8000-000000000000",
        "title": title,
        "status": status,
        "agent": "claude",
    }
    found |= {"created": NOW, "updated": "2026-11-23T03:10:00.000Z", "last_event_id": 9, "cost": 0.0}
    found |= {"turn_active": False, "asking": False, "archived": False}
    return found | keys


def pages(static: str = "static") -> dict[str, str]:
    """Return the HTML of every page by its name."""
    events = history()
    last = events[-1]["id"]
    asking = session(
        "disk full on db1", "running", turn_active=True, asking=True, last_event_id=last, cost=0.0841
    )
    sessions = render.by_urgency(
        [
            session("backup of srv", "ok", last_line="All four volumes are **complete**.", cost=0.0212),
            session("", "lost", first_prompt="certificates that end this month"),
            session("nginx answers 502", "running", turn_active=True, last_line="I look at its log."),
            session("dns", "error", last_line="The resolver does not answer."),
            asking,
        ]
    )
    presets = [{"label": label, "text": "What is wrong?", "agent": None} for label in ("Triage", "Disk")]
    agents = [
        {"name": "claude", "ready": True, "default": True, "note": ""},
        {"name": "codex", "ready": False, "default": False, "note": "not found"},
    ]
    shared = {
        "csrf": "csrf",
        "root": "",
        "host": "db1",
        "is_shell": False,
        "may_act": True,
        "static": static,
        "now": NOW,
        "key": "key",
        "presets": presets,
    }
    listing = {**shared, "agents": agents, "query": "", "archived": False}
    transcript = {
        **shared,
        "session": asking,
        "listed": (sessions, len(sessions)),
        "events": [html for _, html in render.fragments(events)],
        "first_id": 1,
        "last_id": last,
        "earlier": False,
        "later": False,
        "beat": 20,
    }
    failure = {**shared, "status": 404, "title": "No such session", "detail": "Nothing was changed."}
    return {
        "session": render.page("session.html", transcript),
        "sessions": render.page("sessions.html", {**listing, "listed": (sessions, len(sessions) + 1)}),
        "empty": render.page("sessions.html", {**listing, "listed": ([], 0), "presets": []}),
        "login": render.page("login.html", {**shared, "next": "/", "error": "That is not the token."}),
        "error": render.page("error.html", failure),
    }


if __name__ == "__main__":
    target = Path(sys.argv[1])
    shutil.copytree(render.STATIC, target / "static", dirs_exist_ok=True)
    for name, html in pages().items():
        (target / f"{name}.html").write_text(html, encoding="utf-8")
