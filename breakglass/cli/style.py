"""Text for a terminal: made inert, cut, coloured. Pure.

Nothing an agent says may reach a terminal as anything but letters.
"""

import re

ALL = 1 << 30
"""More lines or columns than anything has."""

# ECMA-48, 5.4 and 5.6: CSI sequences, the strings (OSC: titles, links, the clipboard; DCS, SOS, PM, APC), the rest.
_SEQUENCES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]")
# C0 but tab and newline, DEL, C1; the bidirectional overrides make a command read as another one (CVE-2021-42574).
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

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
LAMPS = {
    "new": ("·", "note"),
    "running": ("●", "ask"),
    "asks": ("?", "ask"),
    "ok": ("✔", "good"),
    "error": ("✗", "wrong"),
    "timeout": ("✗", "wrong"),
    "lost": ("✗", "wrong"),
    "cancelled": ("■", "note"),
}
"""How a session or a turn stands: its sign and the sign's style."""


def clean(text: str) -> str:
    """Return `text` with nothing in it that moves a cursor, colours, links, rings or turns the reading direction.

    A carriage return becomes a newline: what it would overwrite is shown.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", _SEQUENCES.sub("", text))


def one_line(text: str, limit: int = ALL) -> str:
    """Return `text` clean and on one line, cut to `limit` characters."""
    return cut(" ".join(clean(text[: limit * 8]).split()), limit)


def cut(text: str, limit: int) -> str:
    """Return `text` cut to `limit` characters, the last of them then an ellipsis."""
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "…"


def duration(milliseconds: float) -> str:
    """Return a time as a person says it: `12 ms`, `3.4 s`, `2 min 5 s`, `1 h 3 min`."""
    seconds = milliseconds / 1000
    if seconds < 1:
        return f"{milliseconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes} min {seconds} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def paint(text: str, style: str, *, colours: bool) -> str:
    """Return `text` in a style of ours where there are `colours`."""
    code = _STYLES[style]
    return f"\x1b[{code}m{text}\x1b[0m" if colours and code and text else text
