"""A small device: a control group with one core and little memory, for a server and its descendants.

It needs root, and the controllers `memory` and `cpuset` in /sys/fs/cgroup, of version 1 or 2 (cgroups(7)).
"""

import os
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
CORE = "0"


class ControlGroup:
    """One control group, created by `prefix`."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        name = f"breakglass-{os.getpid()}-{id(self)}"
        self._is_version_1 = (ROOT / "memory").is_dir()
        self._groups = (
            [ROOT / "memory" / name, ROOT / "cpuset" / name] if self._is_version_1 else [ROOT / name]
        )

    @classmethod
    def is_available(cls) -> bool:
        """Return whether control groups can be created here."""
        roots = [ROOT / "memory", ROOT / "cpuset"] if (ROOT / "memory").is_dir() else [ROOT]
        usable = all(os.access(root / "cgroup.procs", os.W_OK) for root in roots)
        return usable and (len(roots) == 2 or "cpuset" in (ROOT / "cgroup.subtree_control").read_text())

    def prefix(self) -> list[str]:
        """Create the group, and return a command prefix that runs a command in it."""
        for group in self._groups:
            group.mkdir(exist_ok=True)
        self._set("memory.limit_in_bytes" if self._is_version_1 else "memory.max", str(self._memory))
        if self._is_version_1:
            self._set("cpuset.mems", "0")
        self._set("cpuset.cpus", CORE)
        enter = " && ".join(f"echo $$ > {group}/cgroup.procs" for group in self._groups)
        return ["sh", "-c", f'{enter} && exec "$@"', "control-group"]

    def _set(self, name: str, value: str) -> None:
        next(group for group in self._groups if (group / name).exists()).joinpath(name).write_text(value)

    def remove(self) -> None:
        """Remove the group, which must be empty."""
        for group in self._groups:
            if group.exists():
                group.rmdir()
