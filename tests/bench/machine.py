"""Reads from /proc: CPU time, memory and bytes read of processes, and a description of the machine."""

import os
import platform
import re
import resource
from pathlib import Path

FILES = 20_000
"""More descriptors than a bench with 5,000 clients needs."""


def tree(pid: int) -> list[int]:
    """Return the pids of a process and all its descendants."""
    found, index = [pid], 0
    while index < len(found):
        for children in Path(f"/proc/{found[index]}/task").glob("*/children"):
            found += map(int, _read(str(children)).split())
        index += 1
    return found


def cpu_seconds(pid: int) -> float:
    """Return the CPU time used by the live threads of a process tree. `schedstat` counts in nanoseconds."""
    tasks = [task for each in tree(pid) for task in Path(f"/proc/{each}/task").glob("*/schedstat")]
    return sum(int((_read(str(task)) or "0").split()[0]) for task in tasks) / 1e9


def memory_kib(pid: int) -> int:
    """Return the memory of a process tree in KiB. Shared pages count in proportion (Pss, proc(5))."""
    texts = [_read(f"/proc/{each}/smaps_rollup") for each in tree(pid)]
    return sum(int(found[1]) for text in texts if (found := re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)))


def most_memory_kib(pid: int) -> int:
    """Return the most memory that a process has had, in KiB (VmHWM, proc(5)); 0 if it has ended."""
    found = re.search(r"^VmHWM:\s+(\d+)", _read(f"/proc/{pid}/status"), re.MULTILINE)
    return int(found[1]) if found else 0


def bytes_read(pid: int) -> int:
    """Return the bytes that the read calls of a process tree returned, from files and from sockets."""
    texts = [_read(f"/proc/{each}/io") for each in tree(pid)]
    return sum(int(found[1]) for text in texts if (found := re.search(r"^rchar: (\d+)", text, re.MULTILINE)))


def raise_limits() -> int:
    """Raise the limit of descriptors for this process and its children. Return the new limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def describe() -> dict[str, str]:
    """Return a description of the machine without the names of host and user."""
    processor = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+)", _read("/proc/meminfo"), re.MULTILINE)
    return {
        "processor": processor[1] if processor else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(memory[1]) / (1 << 20):.0f} GiB" if memory else "unknown",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": f"{os.getloadavg()[0]:.2f} at the start",
    }


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:  # the process ended after it was listed
        return ""
