"""Colours for a terminal, by the role of a text. Pure."""

UNLIMITED = 1 << 30
"""A number of lines or columns that no text reaches."""

_STYLES = {
    "margin": "2",
    "note": "2",
    "output": "2",
    "prompt": "1;36",
    "tool": "33",
    "question": "1;33",
    "failure": "31",
    "success": "32",
    "prose": "",
}
"""The SGR parameters (ECMA-48, section 8.3.117) of each style."""

_STATUS_STYLES = {
    "asking": "question",
    "running": "question",
    "ok": "success",
    "new": "note",
    "cancelled": "note",
}

SIGN_STYLES = {"ok": "success", "warn": "question", "unknown": "question", "bad": "failure"}
"""The style of each status of a vital sign."""


def status_style(status: str) -> str:
    """Return the style of a session's or turn's status. One that is not in the table is a failure."""
    return _STATUS_STYLES.get(status, "failure")


def paint(text: str, style: str, *, colours: bool) -> str:
    """Return `text` in a style if there are `colours`, else unchanged."""
    code = _STYLES[style]
    return f"\x1b[{code}m{text}\x1b[0m" if colours and code and text else text
