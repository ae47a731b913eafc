"""Whether only root and this process's user can change or replace a file, as in StrictModes of sshd. Opens no file.

How this works. The path is walked from `/`, one component at a time, and every link is followed. Each directory, link
and file on the way must belong to root or to this user. No other user may write it, and no group but the user's own.
The order matters: an entry of a trusted directory cannot be exchanged after it was checked.
"""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from breakglass.errors import BadConfig

MAX_LINKS = 40
"""As in the kernel (path_resolution(7))."""


def check_trusted(path: Path, *, is_secret: bool = False, user: int | None = None) -> None:
    """Raise BadConfig if a user besides root and this one can change `path`, or exchange it for another file.

    `user` is the number of a user that takes the place of this one. A secret may not be read by every user either; its
    group may read it. The message has the reason and a remedy; the caller puts the path before it. Raises OSError if
    the path leads nowhere.
    """
    user = os.geteuid() if user is None else user
    mode = 0
    for step, status in _steps(path):
        mode = stat.S_IMODE(status.st_mode)
        if status.st_uid not in (0, user):
            trusted = " or ".join(dict.fromkeys((_user(0), _user(user))))
            why = f"{step} belongs to user {_user(status.st_uid)}, not to {trusted}"
            raise _untrusted(why, f"chown {_user(user)} {step}")
        if _is_open(step, status, user):
            why = f"others than its owner, {_user(status.st_uid)}, may write {step} ({mode:03o})"
            raise _untrusted(why, f"chmod go-w {step}")
    if is_secret and mode & 0o007:
        why = f"every user may read {path}, of {_user(status.st_uid)} ({mode:03o})"
        raise _untrusted(why, f"chmod o-rwx {path}")


def _steps(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield each directory and link on the way to `path`, then the file: where it is, and its status."""
    here, links = "/", 0
    yield here, os.lstat(here)
    base = "/" if path.is_absolute() else os.getcwd()
    pending = [*reversed(Path(base, path).parts[1:])]
    while pending:
        if (name := pending.pop()) == "..":
            here = os.path.dirname(here)
            continue
        step = os.path.join(here, name)
        status = os.lstat(step)
        yield step, status
        if not stat.S_ISLNK(status.st_mode):
            here = step
            continue
        target = os.readlink(step)
        if (
            here.startswith("/proc/") and ":[" in target
        ):  # a pipe, as of `--config <(command)`: it has no path
            yield step, os.stat(step)
            return
        if (links := links + 1) > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        here = "/" if target.startswith("/") else here
        pending += [part for part in reversed(target.split("/")) if part not in ("", ".")]


def _is_open(step: str, status: os.stat_result, user: int) -> bool:
    """Return whether others may change a file, or exchange the entries of a directory.

    With an access control list, the group's bits of the mode are the most that any of its users and groups may do
    (acl(5)). So a file of a private group can be open to others. A file without these bits is not.
    A link's mode means nothing. In a sticky directory, such as /tmp, only its owner and an entry's owner can rename or
    remove the entry (unlink(2)). The owners of both are checked.
    """
    kind = stat.S_IFMT(status.st_mode)
    is_sticky = kind == stat.S_IFDIR and status.st_mode & stat.S_ISVTX
    if kind == stat.S_IFLNK or is_sticky:
        return False
    if status.st_mode & 0o002:
        return True
    return bool(status.st_mode & 0o020) and (_has_list(step) or not _is_private(status.st_gid, user))


def _has_list(step: str) -> bool:
    """Return whether an access control list says more than the mode. A file without one has no such attribute."""
    try:
        os.getxattr(step, "system.posix_acl_access")
    except OSError as error:
        return error.errno not in (errno.ENODATA, errno.ENOTSUP)
    return True


def _is_private(group: int, uid: int) -> bool:
    """Return whether a group has only this user, as on systems with the umask 002. Debian's sshd accepts it too.

    The table of groups does not list users whose first group it is; the table of users does.
    """
    import grp  # imported only for a group that may write: it delays the start of each command
    import pwd

    try:
        user, found = pwd.getpwuid(uid), grp.getgrgid(group)
    except KeyError:
        return False
    if user.pw_gid != group or found.gr_name != user.pw_name or not set(found.gr_mem) <= {user.pw_name}:
        return False
    return all(each.pw_uid == uid for each in pwd.getpwall() if each.pw_gid == group)


def _untrusted(why: str, remedy: str) -> BadConfig:
    return BadConfig(f"not trusted: {why}; do: {remedy}, or use another place")


def _user(uid: int) -> str:
    """Return a user's name, or the number of a user without one."""
    import pwd  # imported only for an error: it delays the start of each command

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
