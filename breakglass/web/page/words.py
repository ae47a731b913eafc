"""A session's status, title and times in the page's words. Pure."""

from typing import Any

from breakglass.text import STATUS_SIGNS, one_line


def shown_status(session: dict[str, Any]) -> str:
    """Return the status that a list shows for a session, a key of `STATUS_SIGNS`."""
    if session["asking"]:
        return "asking"
    if session["turn_active"]:
        return "running"
    return session["status"] if session["status"] in STATUS_SIGNS else "new"


def heading(session: dict[str, Any]) -> str:
    """Return a session's title, else the first words of its first prompt."""
    return one_line(session["title"] or session["first_prompt"] or "", 80) or "New session"


def clock(ts: Any) -> str:
    """Return an event's time to the minute: `2026-11-23 03:12 UTC`."""
    return f"{ts[:10]} {ts[11:16]} UTC"
