"""The probes: each measures one vital sign. A probe may hang, so `measure` runs each in a thread with a limit.

psutil where it has the value, /proc where it has not. A probe raises OSError or ValueError if it cannot measure.
"""

import ctypes
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from breakglass.agents.environ import helper_environment
from breakglass.text import duration, size
from breakglass.vitals import Sign, Status, by_limit, worst

PROC = Path("/proc")
PROBE_SECONDS = 2.0
"""Seconds that one probe may take."""
_NOT_DISKS = frozenset("squashfs iso9660 udf erofs cramfs romfs".split())
"""File systems that are always full and always read-only."""
_NETWORK = frozenset("nfs nfs4 cifs smb3 9p ceph glusterfs fuse.sshfs afs".split())
"""File systems of other machines. Asking one that does not answer blocks, so they are not asked."""
_NOT_SYNCHRONISED = 5
"""TIME_ERROR of adjtimex(2)."""


class Place(NamedTuple):
    """What the probes need to know of the settings."""

    data: Path
    environ: Mapping[str, str]


class Probe(NamedTuple):
    """A probe, and the sign that it gives."""

    name: str
    label: str
    run: Callable[[Place], Sign]
    keep_seconds: float = 0.0
    """For how long a measured sign is used again, because measuring is expensive."""


def _sign(name: str, status: Status, text: str, value: float | None = None) -> Sign:
    return Sign(name, LABELS[name], status, text, value)


def _load(place: Place) -> Sign:
    one, five, fifteen = os.getloadavg()
    count = len(os.sched_getaffinity(0))
    text = f"{one:.2f} {five:.2f} {fifteen:.2f} on {count} processor{'s' * (count != 1)}"
    return _sign("load", by_limit(one / count, 2, 8), text, round(one, 2))


def _pressure(place: Place) -> Sign:
    """The share of the last 10 s in which some process waited (PSI, Documentation/accounting/psi.rst)."""
    found = {
        kind: float((PROC / "pressure" / kind).read_text().split("avg10=")[1].split()[0])
        for kind in ("cpu", "memory", "io")
    }
    statuses = (
        by_limit(found["cpu"], 50, 90),
        by_limit(found["memory"], 10, 40),
        by_limit(found["io"], 40, 80),
    )
    text = ", ".join(f"{kind} {value:.0f} %" for kind, value in found.items())
    return _sign("pressure", worst(statuses), text, max(found.values()))


def _memory(place: Place) -> Sign:
    import psutil  # imported only here: it delays commands that measure nothing

    found = psutil.virtual_memory()
    used = 100 * (1 - found.available / found.total)
    return _sign("memory", by_limit(used, 85, 95), f"{used:.0f} % of {size(found.total)}", round(used, 1))


def _swap(place: Place) -> Sign:
    import psutil

    found = psutil.swap_memory()
    if not found.total:
        return _sign("swap", "ok", "none", 0)
    text = f"{found.percent:.0f} % of {size(found.total)}"
    return _sign("swap", by_limit(found.percent, 60, 90), text, found.percent)


def _oom_kills(place: Place) -> Sign:
    for line in (PROC / "vmstat").read_text().splitlines():
        name, _, count = line.partition(" ")
        if name == "oom_kill":
            return _sign("oom_kills", "warn" if int(count) else "ok", f"{count} since the start", int(count))
    raise ValueError("this kernel does not count them")


class _Disk(NamedTuple):
    mount: str
    options: str
    full: float
    """Per cent of its bytes."""
    inodes: float
    """Per cent of its inodes, 0 if it has no fixed number."""


def _disks() -> list[_Disk]:
    import psutil

    found = []
    for each in psutil.disk_partitions(all=False):
        if each.fstype in _NOT_DISKS | _NETWORK:
            continue
        at = os.statvfs(each.mountpoint)
        used, inodes = at.f_blocks - at.f_bfree, at.f_files - at.f_ffree
        full = 100 * used / (used + at.f_bavail) if used + at.f_bavail else 0.0
        found.append(
            _Disk(each.mountpoint, each.opts, full, 100 * inodes / at.f_files if at.f_files else 0.0)
        )
    if not found:
        raise ValueError("no local file system is mounted")
    return found


def _disk(place: Place) -> Sign:
    found = max(_disks(), key=lambda each: each.full)
    return _sign(
        "disk", by_limit(found.full, 85, 95), f"{found.mount} {found.full:.0f} %", round(found.full, 1)
    )


def _inodes(place: Place) -> Sign:
    found = max(_disks(), key=lambda each: each.inodes)
    text = f"{found.mount} {found.inodes:.0f} %"
    return _sign("inodes", by_limit(found.inodes, 85, 95), text, round(found.inodes, 1))


def _read_only(place: Place) -> Sign:
    """A file system that is read-only although it is mounted to be written: the kernel does that after an error."""
    wanted = _mounted_to_be_written()
    found = [each.mount for each in _disks() if "ro" in each.options.split(",") and each.mount in wanted]
    return _sign("read_only", "bad" if found else "ok", ", ".join(found) or "none", len(found))


def _mounted_to_be_written() -> set[str]:
    """Return the mount points that /etc/fstab mounts to be written, and the root."""
    try:
        rows = [line.split() for line in Path("/etc/fstab").read_text().splitlines()]
    except OSError:
        rows = []
    rows = [row for row in rows if len(row) >= 4 and not row[0].startswith("#")]
    read_only = {row[1] for row in rows if "ro" in row[3].split(",")}
    return ({row[1] for row in rows} | {"/"}) - read_only


def _failed_units(place: Place) -> Sign:
    listed = subprocess.run(  # nosec B607 # the administrator's PATH decides
        ["systemctl", "list-units", "--failed", "--no-legend", "--plain", "--no-pager"],
        env={**helper_environment(place.environ), "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PROBE_SECONDS,
        check=False,
    )
    if listed.returncode:
        raise ValueError(f"systemctl: exit status {listed.returncode}")
    units = [line.split()[0] for line in listed.stdout.decode(errors="replace").splitlines() if line.split()]
    shown = ", ".join(units[:3]) + (", …" if len(units) > 3 else "")
    return _sign(
        "failed_units", "bad" if units else "ok", f"{len(units)}: {shown}" if units else "none", len(units)
    )


def _boot(place: Place) -> Sign:
    import psutil

    up = time.time() - psutil.boot_time()
    text = f"{up / 86400:.0f} d ago" if up >= 86400 else f"{duration(max(0, up) * 1000)} ago"
    return _sign("boot", "warn" if up < 600 else "ok", text, round(up))


def _clock(place: Place) -> Sign:
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))  # modes 0: only read
    if state < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    now = time.strftime("%H:%M:%S UTC", time.gmtime())
    if state == _NOT_SYNCHRONISED:
        return _sign("clock", "warn", f"{now}, not synchronised")
    return _sign("clock", "ok", f"{now}, synchronised")


def _data_root(place: Place) -> Sign:
    directory = place.data.absolute()
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    at = os.statvfs(directory)
    free = at.f_bavail * at.f_frsize
    status: Status = "bad" if free < 64 << 20 else "warn" if free < 1 << 30 else "ok"
    return _sign("data_root", status, f"{size(free)} free", free)


PROBES = (
    Probe("load", "Load", _load),
    Probe("pressure", "Pressure", _pressure),
    Probe("memory", "Memory", _memory),
    Probe("swap", "Swap", _swap),
    Probe("oom_kills", "OOM kills", _oom_kills),
    Probe("disk", "Fullest disk", _disk),
    Probe("inodes", "Inodes", _inodes),
    Probe("read_only", "Read-only remounts", _read_only),
    Probe("failed_units", "Failed units", _failed_units),
    Probe("boot", "Started", _boot),
    Probe("clock", "Clock", _clock),
    Probe("data_root", "Data root", _data_root),
)
"""The probes of the machine, in the order in which they are shown."""
LABELS = {probe.name: probe.label for probe in PROBES}
