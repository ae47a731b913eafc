"""Open a file of the data root only if it is a plain file. Other programs may have put something else there."""

import errno
import os
import stat
from pathlib import Path


def open_plain_file(path: str | Path, flags: int, directory: int | None = None) -> int:
    """Return a descriptor of a plain file; a new one is for its owner alone. Raises OSError, also for any other file.

    A relative `path` starts at the open `directory`. A link is not followed. O_NONBLOCK: without it, an open of a
    named pipe waits for the other end.
    """
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600, dir_fd=directory)
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.ELOOP, errno.ENXIO):
            raise
        raise OSError(errno.EINVAL, "it is not a plain file") from error
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "it is not a plain file")
