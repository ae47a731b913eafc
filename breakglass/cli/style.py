"""Colours for a terminal, by the role of a text. Pure."""

ALL = 1 << 30
"""More lines or columns than anything has."""

_STYLES = {
    "margin": "2",
    "note": "2",
    "output": "2",
    "prompt": "1;36",
    "tool": "33",
    "ask": "1;33",
    "wrong": "31",
    "good": "32",
    "prose": "",
}
STATUS_STYLES = {
    "asking": "ask",
    "running": "ask",
    "ok": "good",
    "new": "note",
    "cancelled": "note",
}
"""The style of a session's or turn's status. Every other status is a failure: `wrong`."""


def paint(text: str, style: str, *, colours: bool) -> str:
    """Return `text` in a style of ours where there are `colours`."""
    code = _STYLES[style]
    return f"\x1b[{code}m{text}\x1b[0m" if colours and code and text else text
