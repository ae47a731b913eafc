"""What a notification says. Pure.

It never says more than `detail` allows, and it holds no way to act: only the address of the session.
"""

from typing import NamedTuple

from breakglass.notify import Detail
from breakglass.notify.causes import Cause
from breakglass.text import cut, duration, heading, one_line, visible

MAX_TEXT = 300
"""Characters of a prompt, an error or a tool's input."""
HEADLINES = {
    "question": "A question waits",
    "question_again": "A question still waits",
    "failed": "A turn failed",
    "lost": "A turn was lost",
    "ended": "A turn ended",
    "degraded": "The disk failed under a session",
    "login": "A login from a new address",
    "first_action": "A session began",
    "test": "This is a test",
}


class Subject(NamedTuple):
    """What a notification is about: a session, or the logins of a data root."""

    host: str
    address: str
    """Where a user can look: a URL without any secret, or a command."""
    title: str = ""
    lines: int = 0
    """The length of the log. 0 for no log."""
    seal: str = ""
    """The SHA-256 of the newest seal, "" without one."""
    sealed: int = 0
    """The last line that it seals."""


class Message(NamedTuple):
    """The text of a notification."""

    title: str
    body: str


def write(cause: Cause, subject: Subject, detail: Detail) -> Message:
    """Return the notification of a cause. The body ends with the address, and with the log's length and newest seal."""
    headline = HEADLINES[cause.kind]
    if cause.seconds:
        headline += f" after {duration(cause.seconds * 1000)}"
    parts: list[str] = []
    if detail != "none" and subject.title:
        parts.append(heading(subject.title, ""))
    if detail == "title" and cause.kind in ("question", "question_again"):
        parts.append(f"Tool: {one_line(cause.what, 80)}")
    if detail == "full" or (detail == "title" and cause.kind == "login"):
        parts += [cut(visible(part.strip()), MAX_TEXT) for part in (cause.what, cause.text) if part.strip()]
    body = "\n".join([*parts, *([""] if parts else []), subject.address, *_proof(subject)])
    return Message(f"Breakglass on {subject.host}: {headline}", body)


def _proof(subject: Subject) -> list[str]:
    if not subject.lines:
        return []
    if not subject.seal:
        return [f"log: {subject.lines} lines, no seal yet"]
    return [f"log: {subject.lines} lines; seal of lines 1-{subject.sealed}: {subject.seal}"]
