"""The file system under the data root: space for a file, names on disk, and whether its locks can be trusted."""

import errno
import os
import re
import resource
import time
from collections.abc import Callable
from functools import cache

_KEEP_SIZE = 1
"""FALLOC_FL_KEEP_SIZE: blocks are allocated and the size of the file stays (fallocate(2))."""

READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
"""Errors of a write that mean that these files can only be read. A full or failing disk gives others."""

UNTRUSTED = (
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "beegfs"),
    *("9p", "fuse", "virtiofs", "vboxsf", "prl_fs"),
)
"""File systems of a network, of a program, or shared with the host of a virtual machine. On these, one machine may not
see the locks and appends of another."""


@cache
def _fallocate() -> Callable[[int, int, int, int], int]:
    """Return a function that calls fallocate(2) and returns the error, 0 for none."""
    import ctypes  # it delays every command, and most only read

    call = ctypes.CDLL(None, use_errno=True).fallocate
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return lambda *arguments: call(*arguments) and ctypes.get_errno()


def preallocate(fd: int, offset: int, length: int) -> bool:
    """Allocate the blocks for these bytes of a file. The size of the file stays. Raises OSError.

    Returns False where the file system cannot do that.
    """
    error = _fallocate()(fd, _KEEP_SIZE, offset, length)
    if not error:
        return True
    if error in (errno.EOPNOTSUPP, errno.ENOSYS):
        return False
    raise OSError(error, os.strerror(error))


def ensure_space(fd: int, offset: int, length: int) -> None:
    """Make sure that these bytes of a file can be written. Their content stays. Raises OSError if they cannot."""
    if offset + length > file_size_limit():
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    preallocate(fd, offset, length)


def sync_directory(directory: str | os.PathLike[str]) -> None:
    """Put the names in a directory on disk. A sync of a file does not sync its name (fsync(2)). Raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def measure_write(directory: str | os.PathLike[str]) -> tuple[float, float]:
    """Return the seconds that a write of 4 KiB to a file without a name took, and its sync. Raises OSError."""
    fd = os.open(directory, os.O_TMPFILE | os.O_RDWR, 0o600)
    try:
        began = time.monotonic()
        os.write(fd, bytes(4096))
        written = time.monotonic()
        os.fdatasync(fd)
        return written - began, time.monotonic() - written
    finally:
        os.close(fd)


def file_size_limit() -> int:
    """Return the largest size in bytes that this process may give a file (RLIMIT_FSIZE)."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return limit if limit >= 0 else 1 << 62


def file_system_type(path: str | os.PathLike[str]) -> str:
    """Return the type of the file system that holds `path`, "" where it is unknown (proc_pid_mountinfo(5))."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            mounts = [line.split() for line in file]
    except OSError:
        return ""
    return next((fields[fields.index("-") + 1] for fields in mounts if fields[2] == wanted), "")


def mounts_in(path: str | os.PathLike[str]) -> list[str]:
    """Return the mounts at `path` and below it, also bind mounts of the same file system (proc_pid_mountinfo(5))."""
    real = os.path.realpath(path).rstrip("/")
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            points = [_unescape(line.split()[4]) for line in file]
    except OSError:
        return []
    return [point for point in points if point == real or point.startswith(f"{real}/")]


def _unescape(field: bytes) -> str:
    """Return a path of mountinfo, in which a blank is written as the four characters \\040."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field))


def is_untrusted(file_system: str) -> bool:
    """Return whether locks and appends on this type of file system cannot be trusted. "fuse.sshfs" counts as "fuse"."""
    return file_system.partition(".")[0] in UNTRUSTED
