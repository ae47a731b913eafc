"""What the mirror knows of the links to its hosts, in a small file that `store/fleet.py` reads.

"Heard" is the hub's own time of receipt, so no clock of a host is trusted.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from breakglass.store import hosts
from breakglass.store.fleet import STATUS

STATUS_SECONDS = 2.0


@dataclass
class Link:
    """What a mirror knows of the link to one host."""

    connected: bool = False
    heard: float = 0.0
    """The time at which the hub heard of the relay, in seconds since 1970; 0 for never."""
    version: str = ""
    epoch: int = 0
    """The number of the newest claim: which relay may ship."""
    fenced: str = ""
    """The machine of another relay with the same credentials, which was taken over from; "" for none."""
    fenced_at: float = 0.0
    behind: int = 0
    """The bytes that the relay has not shipped, as it says."""
    behind_lines: int = 0
    unread: int = 0
    """The logs that the relay cannot read now."""
    running: int | None = None
    """None if the relay does not say it, as one of an earlier version."""
    asking: int | None = None
    free: int | None = None
    """The free bytes on the disk of the host."""
    generation: int = 1
    """The highest generation among the copies."""
    signers: list[str] = field(default_factory=list)
    """The ssh keys that may sign commands on the host, as SHA-256 fingerprints."""
    pending: int = 0
    """The messages that the mirror has not read."""
    problems: dict[str, str] = field(default_factory=dict)
    """What was refused, by session."""

    def note(self, seen: dict[str, Any], now: float) -> None:
        """Take note of a heartbeat. A host that was taken over can send anything.

        One of an older claim says that another relay lives, or lived until it saw the newer claim.
        """
        epoch = seen.get("epoch")
        if type(epoch) is int and epoch < self.epoch:
            self.fenced, self.fenced_at = str(seen.get("machine", ""))[:64] or "another machine", now
            return
        self.heard = now
        self.running = self.asking = None
        for key in ("behind", "behind_lines", "unread", "running", "asking", "free"):
            value = seen.get(key)
            if type(value) is int and 0 <= value < 1 << 62:
                setattr(self, key, value)
        self.version = str(seen.get("version", ""))[:64]
        given = seen.get("signers")
        self.signers = [str(each)[:64] for each in given[:100]] if isinstance(given, list) else []


def write_status(data: Path, links: dict[str, Link], now: float) -> None:
    """Write what is known of all hosts."""
    known = {
        host: {**vars(link), "problems": dict([*link.problems.items()][:10])} for host, link in links.items()
    }
    replace(data / hosts.DIRECTORY / STATUS, {"written": now, "hosts": known})


def replace(path: Path, value: Any) -> None:
    """Write a small file of JSON at once. Readers see the old one or the new one."""
    partial = path.with_name(f".{path.name}.new")
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    with open(fd, "w", encoding="utf-8") as file:
        json.dump(value, file)
    os.replace(partial, path)
