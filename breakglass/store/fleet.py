"""All hosts whose copies are here: how true each copy is, and their sessions. Only reads.

A copy alone does not say whether its host still lives. `breakglass mirror` writes what it knows of each link into
`hosts/status.json`. A badge says `Live` only if that file is new, the hub has heard of the host's relay, and nothing
waits. Of a copy that another program writes, such as rsync, it says `Copy`.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from breakglass.state import SessionState
from breakglass.store import hosts, log, sessions
from breakglass.store.sessions import Session
from breakglass.text import plural, size

STATUS = "status.json"
HEARD_SECONDS = 25.0
"""A relay is heard every ten seconds."""
FENCED_SECONDS = 3600.0
"""How long it is shown that two relays used the credentials of one host. The older one has stopped."""
WRITTEN_SECONDS = 15.0
"""The mirror writes its status every two seconds."""
LINK_SIGNS = {
    "lost": "bad",
    "diverged": "bad",
    "fenced": "bad",
    "behind": "warn",
    "stopped": "bad",
    "copy": "unknown",
    "live": "ok",
}
"""The states of a link to a host in the order of a list, and the vital sign that stands for each."""


class Link(NamedTuple):
    """How true the copy of a host is now."""

    state: str
    """`live`, `behind`, `lost`, `diverged`, `fenced`, `stopped` (the mirror does not run) or `copy`."""
    told: str
    """The badge, such as `Not heard since 03:12:09 UTC`."""
    heard: str | None = None
    """When the hub heard of the relay last, RFC 3339; None for never."""
    behind: int = 0
    """The bytes that the relay has not shipped, as far as is known."""
    problem: str = ""
    """What was refused of the host, "" if nothing."""
    behind_lines: int = 0
    generation: int | None = None
    """The highest generation among the copies; None if another program writes them."""
    running: int | None = None
    """The sessions in which a turn runs, as the host says; None if it says nothing now."""
    asking: int | None = None
    signers: tuple[str, ...] = ()
    """The ssh keys that may sign commands on the host, as it says."""
    version: str | None = None
    """The version of Breakglass that the relay has, as it said last."""
    free_bytes: int | None = None
    """The space that is left on the disk of the host, as it said last."""


class Host(NamedTuple):
    """One host, with its sessions, the latest change first."""

    name: str
    link: Link
    sessions: list[tuple[Session, SessionState]]

    @property
    def asking(self) -> int:
        """The sessions in which a question is open, as the host says now, else as far as the copy says."""
        if self.link.asking is not None:
            return self.link.asking
        return sum(bool(state.asking) for _, state in self.sessions)

    @property
    def running(self) -> int:
        """The sessions in which a turn runs, as the host says now, else as far as the copy says."""
        if self.link.running is not None:
            return self.link.running
        return sum(state.turn is not None for _, state in self.sessions)

    def described(self) -> dict[str, Any]:
        """Return the host's object of docs/api.md."""
        return {
            "host": self.name,
            "link": self.link.state,
            "told": self.link.told,
            "heard": self.link.heard,
            "behind_bytes": self.link.behind,
            "behind_lines": self.link.behind_lines,
            "generation": self.link.generation,
            "sessions": len(self.sessions),
            "running": self.running,
            "asking": self.asking,
            "version": self.link.version,
            "free_bytes": self.link.free_bytes,
            "problem": self.link.problem or None,
        }


def list_hosts(data: Path, now: float) -> list[Host]:
    """Return all hosts: those that ask first, then those in which turns run, then those that are not heard."""
    known = _read_status(data)
    found = [
        Host(name, link(known, name, now), sessions.list_sessions(hosts.root_of(data, name)))
        for name in sorted(hosts.names(data))
    ]
    order = [*LINK_SIGNS]
    return sorted(found, key=lambda host: (not host.asking, not host.running, order.index(host.link.state)))


def link_of(data: Path, name: str, now: float) -> Link:
    """Return how true the copy of one host is now."""
    return link(_read_status(data), name, now)


def _read_status(data: Path) -> dict[str, Any]:
    try:
        found = json.loads((data / hosts.DIRECTORY / STATUS).read_bytes())
        return found if isinstance(found, dict) and isinstance(found.get("hosts"), dict) else {}
    except (OSError, ValueError):
        return {}


def link(status: dict[str, Any], name: str, now: float) -> Link:
    """Return how true the copy of a host is. `status` is the content of the mirror's file, {} without one. Pure."""
    known = status.get("hosts", {}).get(name)
    if not isinstance(known, dict):
        return Link("copy", "Copy, as far as it was received")
    heard, behind = known.get("heard") or 0.0, _number(known, "behind")
    heard_at = log.timestamp(heard) if heard else None
    problem = " · ".join(f"{key[:8]}: {value}" for key, value in known.get("problems", {}).items())
    since = f"since {heard_at[11:19]} UTC" if heard_at else "yet"
    lines, generation = _number(known, "behind_lines"), known.get("generation", 1)
    found = Link("live", "Live", heard_at, behind, problem, lines, generation)
    found = found._replace(version=known.get("version") or None, free_bytes=known.get("free"))
    if now - status.get("written", 0.0) > WRITTEN_SECONDS:
        written = log.timestamp(status.get("written", 0.0))
        return found._replace(state="stopped", told=f"The mirror stopped at {written[11:19]} UTC")
    signers = tuple(map(str, known.get("signers", ())))
    if problem:
        return found._replace(state="diverged", told="Diverged", signers=signers)
    if not known.get("connected"):
        return found._replace(state="lost", told=f"No link to the engine; not heard {since}")
    if now - heard > HEARD_SECONDS:
        return found._replace(state="lost", told=f"Not heard {since}")
    found = found._replace(running=known.get("running"), asking=known.get("asking"), signers=signers)
    if known.get("fenced") and now - known.get("fenced_at", 0.0) < FENCED_SECONDS:
        return found._replace(state="fenced", told=f"Fenced · {known['fenced']} claims this name too")
    if unread := _number(known, "unread"):
        return found._replace(state="behind", told=f"Behind · {plural(unread, 'log')} cannot be read there")
    if behind or known.get("pending"):
        counted = plural(lines, "line") if lines else size(behind)
        return found._replace(state="behind", told=f"Behind · {counted}" if behind else "Behind")
    return found


def _number(known: dict[str, Any], key: str) -> int:
    return int(known.get(key) or 0)
