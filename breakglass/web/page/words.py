"""Numbers and states in the page's words. Pure, the same words for the same value always."""

from datetime import datetime, timedelta
from typing import Any

from breakglass.web.page.tools import shorten

LAMPS: dict[str, tuple[str, str]] = {
    "asking": ("\u25d0", "asks"),
    "running": ("\u25cf", "running"),
    "ok": ("\u2713", "done"),
    "error": ("\u2717", "failed"),
    "timeout": ("\u2717", "took too long"),
    "lost": ("\u2717", "lost"),
    "cancelled": ("\u25a0", "stopped"),
    "new": ("\u25cb", "new"),
    "degraded": ("\u2717", "disk failed"),
}
"""The sign and the word of each state; the state's name is the class that colours it."""


def lamp(session: dict[str, Any]) -> str:
    """Return the state that a session's lamp shows, a key of `LAMPS`."""
    if session["asking"]:
        return "asking"
    if session["turn_active"]:
        return "running"
    return session["status"] if session["status"] in LAMPS else "new"


def heading(session: dict[str, Any]) -> str:
    """Return a session's title, else the first words of its first prompt."""
    return shorten(session["title"] or session["first_prompt"] or "", 80) or "New session"


def clock(ts: Any) -> str:
    """Return an event's time to the minute, as it stands in the log: `2026-11-23 03:12 UTC`."""
    return f"{ts[:10]} {ts[11:16]} UTC"


def ago(ts: str, now: str) -> str:
    """Return how long before `now` a time was: `now`, `5m`, `3h`, `2d`."""
    try:
        passed = datetime.fromisoformat(now) - datetime.fromisoformat(ts)
    except ValueError:  # a time that somebody wrote by hand
        return ""
    for unit, letter in ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "m")):
        if passed >= unit:
            return f"{passed // unit}{letter}"
    return "now"


def duration(milliseconds: float) -> str:
    """Return a length of time: `0.2 s`, `14 s`, `3 min 20 s`, `2 h 5 min`."""
    seconds = milliseconds / 1000
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(count: int) -> str:
    """Return a number of bytes: `812 B`, `182 KB`, `3.2 MB`; a KB is 1,024 bytes."""
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.0f} KB" if count < 1024 * 1024 else f"{count / 1024 / 1024:.1f} MB"


def money(dollars: float) -> str:
    """Return a cost: `$0.0042`, `$1.20`."""
    return f"${dollars:.2f}" if dollars >= 0.1 or not dollars else f"${dollars:.4f}"


def tokens(usage: Any) -> str:
    """Return what an agent's own account of its tokens says: `12.3k in, 1.2k out`; "" where it says nothing known."""
    if not isinstance(usage, dict):
        return ""
    count = {key.lower().replace("_", ""): n for key, n in usage.items() if isinstance(n, int)}
    came = sum(n for key, n in count.items() if key.endswith("inputtokens"))
    went = count.get("outputtokens", 0)
    return f"{_thousands(came)} in, {_thousands(went)} out" if came or went else ""


def _thousands(count: int) -> str:
    return str(count) if count < 1000 else f"{count / 1000:.1f}k"
