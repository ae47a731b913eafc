"""A small device: a control group with one core and little memory, for a server and all that descends from it.

Root's, and Linux's: /sys/fs/cgroup with the controllers `memory` and `cpuset`, of either version (cgroups(7)).
"""

import os
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
CORE = "0"


class Box:
    """One control group, made when it is entered by `before`."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        name = f"breakglass-{os.getpid()}-{id(self)}"
        self._first = (ROOT / "memory").is_dir()
        self._groups = [ROOT / "memory" / name, ROOT / "cpuset" / name] if self._first else [ROOT / name]

    @classmethod
    def available(cls) -> bool:
        """Return whether control groups can be made here."""
        places = [ROOT / "memory", ROOT / "cpuset"] if (ROOT / "memory").is_dir() else [ROOT]
        usable = all(os.access(place / "cgroup.procs", os.W_OK) for place in places)
        return usable and (len(places) == 2 or "cpuset" in (ROOT / "cgroup.subtree_control").read_text())

    def before(self) -> list[str]:
        """Make the group, and return the words of a program that runs another one in it."""
        for group in self._groups:
            group.mkdir(exist_ok=True)
        self._set("memory.limit_in_bytes" if self._first else "memory.max", str(self._memory))
        if self._first:
            self._set("cpuset.mems", "0")
        self._set("cpuset.cpus", CORE)
        enter = " && ".join(f"echo $$ > {group}/cgroup.procs" for group in self._groups)
        return ["sh", "-c", f'{enter} && exec "$@"', "box"]

    def _set(self, name: str, value: str) -> None:
        next(group for group in self._groups if (group / name).exists()).joinpath(name).write_text(value)

    def remove(self) -> None:
        """Remove the group, which must be empty."""
        for group in self._groups:
            if group.exists():
                group.rmdir()
