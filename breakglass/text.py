"""Text for users: dangerous characters made visible, texts cut, numbers and states formatted. Pure.

The page and the terminal use the same functions, so both show an event in the same way.
"""

import math
import re
from datetime import datetime
from typing import Any, NamedTuple

from breakglass.tally import tokens_of

# Controls: C0 except tab and newline, DEL and C1. Lone surrogates, which UTF-8 cannot encode.
_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff"
# Every character of the category Cf (format): soft hyphen, zero width characters, directional overrides and isolates,
# which make a command read as another one (Trojan Source, CVE-2021-42574), the byte order mark, tag characters.
_FORMAT = (
    "\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
)
# Line and paragraph separators, and the other characters that Unicode shows as nothing (Default_Ignorable_Code_Point).
# Then letters and symbols without ink: the empty Braille pattern, a null notehead, a filler. Then noncharacters.
_INVISIBLE = (
    "\u2028\u2029\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff"
    "\u2800\U0001d159\U00016fe4\ufdd0-\ufdef\ufffe\uffff"
)
_DANGEROUS = re.compile(f"[{_CONTROLS}{_FORMAT}{_INVISIBLE}]")
# U+FE0E and U+FE0F choose between the text and the colour form of the symbol before them, or make a keycap of a digit.
# Only there are they visible.
_SYMBOL = (
    "\xa9\xae\u203c\u2049\u2122\u2139\u2190-\u27ff\u2900-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
_SELECTOR = re.compile(f"(?<=[{_SYMBOL}])[\ufe0e\ufe0f]|(?<=[0-9#*])\ufe0f(?=\u20e3)")

# ECMA-48: a string (OSC, DCS, SOS, PM, APC) up to BEL or ST, never past its line; a control sequence; any other escape.
# Each alternative is linear.
ESCAPE = re.compile(
    "(?:\x1b[\\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\\\|\x9c)?"
    "|(?:\x1b\\[|\x9b)([0-?]*)([ -/]*[@-~])?"
    "|\x1b[ -/]*[0-~]?"
)
"""A terminal escape. For a control sequence, group 1 contains the parameters and group 2 the command."""

# --- making text safe to show ---------------------------------------------------------------------


def visible(text: str) -> str:
    """Return `text` with a visible mark in place of each character that is invisible or that controls a terminal.

    `\\r\\n` becomes a newline. Tab and newline stay. Use it for every text that a user is asked to allow.
    """
    return _DANGEROUS.sub(_mark, text.replace("\r\n", "\n"))


def escape_json(text: str) -> str:
    """Return the same JSON, but each character that is invisible or controls a terminal is an escape (`\\u202e`)."""
    return _DANGEROUS.sub(_json_escape, text)


def _json_escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def _mark(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)  # the control picture: ␛ for ESC
    if _SELECTOR.match(match.string, match.start()):
        return match[0]
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else f"\u27e8U+{code:04X}\u27e9"


def strip_escapes(text: str) -> str:
    """Return `text` without terminal escapes: colours, cursor moves, titles, links, clipboard writes."""
    return ESCAPE.sub("", text)


def plain(text: str) -> str:
    """Return the output of a program as plain lines: without terminal escapes, the other dangerous characters visible.

    A carriage return becomes a newline, so the text that it would overwrite stays readable.
    """
    return visible(strip_escapes(text.replace("\r\n", "\n")).replace("\r", "\n"))


# --- cutting --------------------------------------------------------------------------------------


def cut(text: str, limit: int) -> str:
    """Return `text` if it has at most `limit` characters, else its beginning with an ellipsis as the last one."""
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "\u2026"


def one_line(text: str, limit: int | None = None) -> str:
    """Return `text` visible, on one line, white space folded, and cut to `limit` characters."""
    if limit is None:
        return " ".join(visible(text).split())
    return cut(" ".join(visible(text[: 8 * limit]).split()), limit)


def join_lines(text: str, limit: int) -> str:
    """Return `text` visible, on one line with `\u23ce` for each line break, and cut to `limit` characters.

    Without the sign, two commands on two lines would read as one command.
    """
    lines = (one_line(line) for line in text[: 8 * limit].replace("\r\n", "\n").split("\n"))
    return cut(" \u23ce ".join(filter(None, lines)), limit)


def heading(title: str, first_prompt: str) -> str:
    """Return how lists name a session: its title, else the beginning of its first prompt; "" without both."""
    return join_lines(title or first_prompt, 80)


# --- numbers --------------------------------------------------------------------------------------


def duration(milliseconds: float) -> str:
    """Return a length of time: `240 ms`, `3.4 s`, `14 s`, `3 min 20 s`, `2 h 5 min`."""
    if milliseconds < 1000:
        return f"{_rounded(milliseconds)} ms"
    if milliseconds < 9_950:
        return f"{_rounded(milliseconds / 100) / 10:.1f} s"
    minutes, seconds = divmod(_rounded(milliseconds / 1000), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _rounded(number: float) -> int:
    """Return the nearest whole number, the larger one for a half, as JavaScript does. `round` returns the even one."""
    return math.floor(number + 0.5)


def age(ts: str, now: str) -> str:
    """Return the time from `ts` to `now`, both RFC 3339, in the largest whole unit: `now`, `12 min`, `3 h`, `40 d`.

    Returns "" for a time that cannot be read: a user may have edited the log.
    """
    try:
        seconds = (datetime.fromisoformat(now) - datetime.fromisoformat(ts)).total_seconds()
    except (ValueError, TypeError):
        return ""
    for size_of_unit, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size_of_unit:
            return f"{int(seconds // size_of_unit)} {unit}"
    return "now"


def size(count: int) -> str:
    """Return a number of bytes: `812 B`, `182 KB`, `3.2 MB`, `1.5 GB`; a KB is 1,024 bytes."""
    if count < 1 << 10:
        return f"{count} B"
    if count < 1 << 20:
        return f"{count / (1 << 10):.0f} KB"
    return f"{count / (1 << 20):.1f} MB" if count < 1 << 30 else f"{count / (1 << 30):.1f} GB"


def plural(count: int, noun: str) -> str:
    """Return a number with its noun, which gets an `s` unless the number is 1."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def money(dollars: float) -> str:
    """Return an amount of US dollars: `$0.0042`, `$1.20`."""
    return f"${dollars:.2f}" if dollars >= 0.1 or not dollars else f"${dollars:.4f}"


def token_counts(usage: Any) -> str:
    """Return the token counts of a `result` event: `12.3k in, 1.2k out`; "" where `usage` has no known counts."""
    tokens = tokens_of(usage)
    if not any(tokens):
        return ""
    return f"{_thousands(tokens.given)} in, {_thousands(tokens.output_tokens)} out"


def context_in(context: Any) -> tuple[int, int] | None:
    """Return the used tokens and the size of an agent's context, from a `result` event; None if they are not there."""
    if not isinstance(context, dict):
        return None
    used, size = context.get("used"), context.get("size")
    if type(used) is int and type(size) is int and 0 <= used < 1 << 53 and 0 < size < 1 << 53:
        return used, size
    return None


def context_share(context: Any) -> str:
    """Return which part of its context an agent has used, such as `12 %`; "" if it is unknown."""
    found = context_in(context)
    return f"{found[0] * 100 / found[1]:.0f} %" if found else ""


def _thousands(count: int) -> str:
    return str(count) if count < 1000 else f"{count / 1000:.1f}".removesuffix(".0") + "k"


# --- states ---------------------------------------------------------------------------------------


class StatusSign(NamedTuple):
    """How a session's or turn's status is shown."""

    sign: str
    label: str


STATUS_SIGNS: dict[str, StatusSign] = {
    "new": StatusSign("\u25cb", "new"),
    "asking": StatusSign("\u25d0", "asks"),
    "running": StatusSign("\u25cf", "running"),
    "ok": StatusSign("\u2713", "done"),
    "error": StatusSign("\u2717", "failed"),
    "timeout": StatusSign("\u2717", "took too long"),
    "lost": StatusSign("\u2717", "lost"),
    "refused": StatusSign("\u2298", "refused"),
    "cancelled": StatusSign("\u25a0", "stopped"),
    "degraded": StatusSign("\u2717", "disk failed"),
}
"""The status of a session or a turn. `asking` is a running turn with an open question."""


def turn_outcome(status: str, refused: object, unanswered: object) -> tuple[str, str]:
    """Return the key of `STATUS_SIGNS` for a `turn_end` event, and what is said about its questions.

    A turn that ended by itself is not shown as done if a user refused what it wanted, or if no answer came in time.
    """
    counts = {"refused": refused, "unanswered": unanswered}
    told = [f"{count} {word}" for word, count in counts.items() if isinstance(count, int) and count > 0]
    return "refused" if told and status == "ok" else status, ", ".join(told)


def plan_status(status: str) -> str:
    """Return the key of `STATUS_SIGNS` with which an item of an agent's to-do list is shown."""
    return {"completed": "ok", "in_progress": "running"}.get(status, "new")


def status_sign(status: str) -> StatusSign:
    """Return the sign for a status. A status that is not in the table is shown as a failure with its own name."""
    return STATUS_SIGNS.get(status, StatusSign("\u2717", status))
