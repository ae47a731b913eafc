"""The memory that this process may use: a container or a systemd unit often has less than the machine."""

import os
import re
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


def limit() -> int:
    """Return the bytes of memory that this process and its control groups may use together (cgroups(7))."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_control_group_limits()])


def _control_group_limits() -> list[int]:
    """Return the limits of our control groups, version 1 or 2. A group that cannot be read sets no limit."""
    texts = []
    for _, controllers, path in (line.split(":", 2) for line in _read(OWN_GROUPS).splitlines()):
        if controllers == "":
            texts.append(_read(CGROUPS / path.lstrip("/") / "memory.max"))
        elif "memory" in controllers.split(","):
            texts.append(_read(CGROUPS / "memory" / path.lstrip("/") / "memory.limit_in_bytes"))
    return [int(text) for text in texts if re.fullmatch(r"[0-9]+\n?", text)]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
