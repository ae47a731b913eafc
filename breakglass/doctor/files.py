"""Checks of the data root: who can reach it, what file system it is on, and how much space is left."""

import os
import stat
from pathlib import Path

from breakglass.config import Config
from breakglass.errors import BadConfig
from breakglass.store import disk, root
from breakglass.text import size
from breakglass.trusted_path import check_trusted
from breakglass.vitals import Sign, Status
from breakglass.vitals.probes import Place

NOT_HERE = "-"
"""The text of a sign that does not concern this installation."""
_MEMORY = ("tmpfs", "ramfs", "overlay")
"""File systems whose content a reboot, or the end of a container, deletes."""
_SPACE_ADVICE = "see what uses it: breakglass ls --long --archived; then: breakglass prune --older-than 90d"


def data_root(config: Config, place: Place) -> Sign:
    """Whether turns can be recorded, and whether another user could read or exchange the logs."""
    label, path = "Data root", config.data.absolute()
    try:
        check_trusted(_existing(path))
    except BadConfig as error:
        reason, _, remedy = str(error).partition("; do: ")
        advice = f"do: {remedy}" if remedy else "use another place"
        return Sign("data_root_access", label, "bad", f"{path}: {reason}", advice=advice)
    if not path.exists():
        return Sign(
            "data_root_access",
            label,
            "warn",
            f"{path} does not exist yet",
            advice="name the right one with --data or BREAKGLASS_DATA; the first session creates it",
        )
    if rights := stat.S_IMODE(path.stat().st_mode) & 0o077:
        text = f"others have rights on {path} ({rights:03o}); the server does not start"
        return Sign("data_root_access", label, "bad", text, advice=f"do: chmod 700 {path}")
    if message := root.read_only_message(path):
        advice = f"no turn can start here; if that is not intended, make it writable: {path}"
        return Sign("data_root_access", label, "bad", message, advice=advice)
    return Sign("data_root_access", label, "ok", str(path))


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def file_system(config: Config, place: Place) -> Sign:
    """Whether locks and appends can be trusted, and whether the data outlives a reboot."""
    label = "File system"
    kind = disk.file_system_type(_existing(config.data.absolute()))
    if disk.is_untrusted(kind):
        advice = "move the data root to a local disk: docs/operate.md, Move to another machine"
        return Sign(
            "file_system", label, "bad", f"{kind}: locks and appends cannot be trusted there", advice=advice
        )
    if kind in _MEMORY:
        advice = "use a directory on a disk, or in a container a volume; for an emergency it is right"
        return Sign("file_system", label, "warn", f"{kind}: a restart deletes it", advice=advice)
    return Sign("file_system", label, "ok", kind or "of unknown type")


def free_space(config: Config, place: Place) -> Sign:
    """Whether the disk has space for new turns."""
    at = os.statvfs(_existing(config.data.absolute()))
    free = at.f_bavail * at.f_frsize
    status: Status = "bad" if free < 64 << 20 else "warn" if free < 1 << 30 else "ok"
    return Sign(
        "free_space",
        "Free space",
        status,
        f"{size(free)} free",
        free,
        "" if status == "ok" else _SPACE_ADVICE,
    )


def free_inodes(config: Config, place: Place) -> Sign:
    """Whether the disk has inodes for new sessions. Some file systems, such as btrfs, have no fixed number."""
    at = os.statvfs(_existing(config.data.absolute()))
    if not at.f_files:
        return Sign("free_inodes", "Free inodes", "ok", "not limited")
    status: Status = "bad" if at.f_favail < 100 else "warn" if at.f_favail < 10_000 else "ok"
    advice = "" if status == "ok" else f"delete many small files on that file system; {_SPACE_ADVICE}"
    return Sign("free_inodes", "Free inodes", status, f"{at.f_favail:,} free", at.f_favail, advice)
