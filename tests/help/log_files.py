"""Log files on disk for tests: their content, and changes to them and to the limits of the process that uses them."""

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from breakglass import events
from breakglass.errors import CannotRecord
from breakglass.store import log
from breakglass.store.log import Log


@contextmanager
def open_bytes(data: bytes) -> Iterator[int]:
    """Yield a descriptor of a file with these bytes."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.fileno()


def path_of(directory: str) -> Path:
    """Return the path of the log in a session's directory."""
    return Path(directory, log.NAME)


def read_all(directory: str) -> list[dict[str, Any]]:
    """Return all events of a log. Check that each line is an event with that number, and that jq reads them all."""
    raw = path_of(directory).read_bytes()
    assert raw.endswith(b"\n")
    lines = raw.split(b"\n")[:-1]
    assert all(events.is_ours(each, number) for number, each in enumerate(lines, 1))
    ids = subprocess.run(["jq", ".id"], input=raw, capture_output=True, check=True).stdout.split()
    assert ids == [b"%d" % number for number in range(1, len(lines) + 1)]
    return [json.loads(each) for each in lines]


def kinds(directory: str) -> list[str]:
    """Return the kinds of all events of a log, checked as in `read_all`."""
    return [event["kind"] for event in read_all(directory)]


def append_bytes(directory: str, data: bytes) -> None:
    """Append to a log as another program would."""
    with path_of(directory).open("ab") as file:
        file.write(data)


def reads_so_far() -> int:
    """Return how many read system calls this thread has made (proc_pid_io(5))."""
    with open("/proc/thread-self/io", encoding="ascii") as file:
        return int(dict(each.split(":") for each in file)["syscr"])


@contextmanager
def spare_descriptors(number: int) -> Iterator[None]:
    """Let this process open only this many more files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + number, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def open_logs() -> int:
    """Return how many descriptors of logs this process has."""
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # it was closed after it was listed
            found += os.readlink(f"/proc/self/fd/{fd}").endswith(log.NAME)
    return found


def open_files() -> set[str]:
    """Return the open descriptors of this process, each with what it leads to."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        name = f"/proc/self/fd/{fd}"
        if os.path.lexists(name) and not os.readlink(name).startswith("/proc/"):
            found.add(f"{fd} {os.readlink(name)}")
    return found


# --- full and failing disks ---------------------------------------------------------------------


def fill(writer: Log, text: str) -> int:
    """Append until the disk is full. Return how many events were written."""
    for written in range(100_000):
        try:
            writer.append("delta", turn=2, text=text)
        except CannotRecord:
            return written
    raise AssertionError("the disk never filled")


def use_up(disk: str) -> None:
    """Fill every free block of a small disk."""
    with open(os.path.join(disk, "ballast"), "wb", buffering=0) as ballast:
        ballast.write(b"x" * (1 << 20))
    assert os.statvfs(disk).f_bavail == 0


_WRITER = """
import sys
from breakglass.errors import Degraded
from breakglass.store import log
results = []
with log.open_log(sys.argv[1]) as writer:
    for kind, fields in [("delta", {"text": "a"}), ("error", {"error": "b"}), ("delta", {"text": "c"})]:
        try:
            results.append(writer.append(kind, turn=2, **fields))
        except Degraded as error:
            results.append("degraded")
    writer.append_end(("turn_end", {"turn": 2, "status": "error", "duration_ms": 1}))
    if "degraded" in results:
        try:
            writer.append("delta", turn=2, text="after the turn's end")
        except Degraded:
            pass
print(results)
"""


def append_with_fault(directory: str, fault: str) -> str:
    """Append three events and a turn's end while strace makes a system call on the log fail.

    Return the results of the three appends as printed: an id, or 'degraded'.
    """
    command = ["strace", "-f", "-o", "/dev/null", "-P", str(path_of(directory)), "-e", f"inject={fault}"]
    run = subprocess.run(
        [*command, sys.executable, "-c", _WRITER, directory], capture_output=True, text=True, check=False
    )
    assert run.stderr == "", run.stderr
    return run.stdout.strip()
