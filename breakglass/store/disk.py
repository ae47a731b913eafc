"""What a file system does for a log, or does not: keeps room for the last words, and can be trusted with locks."""

import ctypes
import errno
import os
import resource

_KEEP_SIZE = 1
_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)

UNTRUSTED = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse", "afs", "ceph")
"""File systems on which a lock or an append by one machine may be unknown to another."""


def keep(fd: int, offset: int, length: int) -> bool:
    """Have blocks ready for these bytes of a file, whose size stays (fallocate(2)). Raises OSError.

    Returns False where the file system does not do that.
    """
    if not _fallocate(fd, _KEEP_SIZE, offset, length):
        return True
    error = ctypes.get_errno()
    if error in (errno.EOPNOTSUPP, errno.ENOSYS):
        return False
    raise OSError(error, os.strerror(error))


def have(fd: int, offset: int, length: int) -> None:
    """Have room to write these bytes of a file, or raise OSError; what is there stays as it is."""
    if offset + length > size_limit():
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    keep(fd, offset, length)


def sync_names(directory: str | os.PathLike[str]) -> None:
    """Have the names in a directory on disk. Raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def size_limit() -> int:
    """Return the bytes that a file of this process may have (RLIMIT_FSIZE)."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return limit if limit >= 0 else 1 << 62


def kind(path: str | os.PathLike[str]) -> str:
    """Return the type of the file system that holds `path`, "" where it cannot be told (proc_pid_mountinfo(5))."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            found = [line.split() for line in file]
    except OSError:
        return ""
    return next((words[words.index("-") + 1] for words in found if words[2] == wanted), "")


def is_untrusted(kind_of: str) -> bool:
    """Return whether locks and appends on that type of file system are not to be trusted."""
    return kind_of.partition(".")[0] in UNTRUSTED
