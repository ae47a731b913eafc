"""How much memory there is for this process: small devices, containers and units have less than they seem to."""

import os
import re
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def limit() -> int:
    """Return the bytes of memory that this process and what shares its control groups may have (cgroups(7))."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_control_groups()])


def _control_groups() -> list[int]:
    """Return the limits of our control groups, of either version. One that is not to be seen limits nothing."""
    found = []
    for _, controllers, path in (line.split(":", 2) for line in _read(OWN).splitlines()):
        if controllers == "":
            found.append(_read(CGROUPS / path.lstrip("/") / "memory.max"))
        elif "memory" in controllers.split(","):
            found.append(_read(CGROUPS / "memory" / path.lstrip("/") / "memory.limit_in_bytes"))
    return [int(text) for text in found if re.fullmatch(r"[0-9]+\n?", text)]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
