"""The files in which Claude Code keeps its own sessions. Pure.

`projects/DIRECTORY/ID.jsonl` is the transcript of one session, one JSON object a line. `sessions/PID.json` names the
session that a running program has open. Both are below `~/.claude`, or below CLAUDE_CONFIG_DIR. Measured with 2.1.330.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

HEAD = 256 << 10
"""Bytes of the beginning of a transcript that are read: the first prompt follows what the program tells its model."""
TAIL = 64 << 10
"""Bytes of its end that are read: the newest title and the cost."""
_TITLES = {"ai-title": "aiTitle", "custom-title": "customTitle"}
"""The lines that name a session, a user's own title last."""


class Transcript(NamedTuple):
    """What the beginning and the end of a transcript say about its session."""

    title: str
    """Its title, else its first prompt."""
    directory: str
    """Where it was begun. Only in this directory does the program find the session."""
    cost: float
    """US dollars so far."""


class OpenSession(NamedTuple):
    """A session that a program has open."""

    session: str
    pid: int
    started: int
    """When the process started, in clock ticks since boot; 0 if unknown."""


def config_directory(environ: Mapping[str, str]) -> str:
    """Return the directory of the program's files, "" if the environment names none."""
    home = environ.get("HOME")
    return environ.get("CLAUDE_CONFIG_DIR") or (f"{home}/.claude" if home else "")


def read_transcript(head: bytes, tail: bytes) -> Transcript | None:
    """Return what a transcript says, from its first and its last bytes; None if it is not of a conversation."""
    first = next((line for line in _lines(head) if line.get("type") == "user" and _prompt(line)), None)
    if first is None or first.get("isSidechain") or not isinstance(first.get("cwd"), str):
        return None
    titles: dict[str, str] = {}
    cost = 0.0
    for line in (*_lines(head), *_lines(tail)):
        kind = str(line.get("type"))
        if kind in _TITLES and isinstance(line.get(_TITLES[kind]), str):
            titles[kind] = line[_TITLES[kind]]
        elif kind == "cost-state":
            cost = _dollars(line.get("totalCostUSD"))
    named = next((titles[kind] for kind in reversed(_TITLES) if titles.get(kind)), "")
    return Transcript(named or _prompt(first), first["cwd"], cost)


def read_open_session(data: bytes) -> OpenSession | None:
    """Return the session that a file of `sessions` names, None if it names none."""
    line = next(_lines(data), {})
    session, pid, started = line.get("sessionId"), line.get("pid"), str(line.get("procStart"))
    if not isinstance(session, str) or type(pid) is not int:
        return None
    return OpenSession(session, pid, int(started) if re.fullmatch("[0-9]{1,18}", started) else 0)


def _lines(data: bytes) -> Iterator[dict[str, Any]]:
    """Yield the whole objects among the lines. The first or the last one may be cut off."""
    for line in data.split(b"\n"):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found


def _prompt(line: Mapping[str, Any]) -> str:
    """Return the text of a `user` line, "" if no user typed it."""
    message = line.get("message")
    content = message.get("content") if isinstance(message, dict) and not line.get("isMeta") else None
    if isinstance(content, list):
        content = next((each.get("text") for each in content if isinstance(each, dict)), None)
    return content if isinstance(content, str) and not content.startswith("<") else ""


def _dollars(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    try:
        dollars = float(value)
    except OverflowError:
        return 0.0
    return max(0.0, dollars) if math.isfinite(dollars) else 0.0
