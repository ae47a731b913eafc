"""The data root: created if only it is missing, and checked to be private. It may be read-only.

    <root>/            mode 0700
      sessions/        one directory for each session
      workspaces/      the agents' working directories
      hosts/           copies of other hosts' sessions (hosts.py)
      read-only        if it exists, nothing below the root is changed; its text is the reason

A root is read-only by this marker, by its place in `hosts`, by a mount, by permission, or because it belongs to
another user. The marker is for copies that only another program may change: no permission stops user 0. Every writer
calls `refuse_read_only` before it opens a file.
"""

import os
import stat
from pathlib import Path

from breakglass.errors import BadConfig, ReadOnly
from breakglass.plain_file import open_plain_file
from breakglass.store import disk, hosts
from breakglass.text import one_line
from breakglass.trusted_path import check_trusted

MARKER = "read-only"
REASON_BYTES = 1024
REASON_CHARACTERS = 200


def prepare(root: Path) -> str:
    """Create and check the data root. A read-only root is left as it is; return the sentence that says so, else "".

    Raises BadConfig if it cannot be created or used, is not a directory, or other users have access to it or to a
    directory above it.
    """
    if message := read_only_message(root):
        _check_readable(root)
        return message
    try:
        if not os.path.lexists(root):
            _check_trusted(root.parent)
        create(root)
        status = os.stat(root)
    except OSError as error:
        raise BadConfig(f"data: {root} cannot be used: {error.strerror}") from error
    if rights := stat.S_IMODE(status.st_mode) & 0o077:
        raise BadConfig(f"data: others have rights on {root} ({rights:03o}); do: chmod 700 {root}")
    _check_trusted(root)
    for directory in (root, root / "sessions", root / "workspaces"):
        if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
            raise BadConfig(f"data: {directory} cannot be written")
    return ""


def untrusted_message(root: Path) -> str:
    """Return the sentence that warns a user of the file system of a root, "" if it can be trusted or is read-only.

    A root that does not exist yet will be on the file system of its parent.
    """
    try:
        file_system = disk.file_system_type(root if root.exists() else root.absolute().parent)
    except OSError:
        return ""
    if not disk.is_untrusted(file_system) or read_only_message(root):
        return ""
    return f"data: {root} is on {file_system}: locks and appends cannot be trusted there"


def _check_trusted(directory: Path) -> None:
    """Raise BadConfig if another user could exchange the data root for one of theirs."""
    try:
        check_trusted(directory)
    except BadConfig as error:
        raise BadConfig(f"data: {directory}: {error}") from error


def create(root: Path) -> None:
    """Create the root and its two directories. The parent of the root must exist. Raises OSError."""
    for directory in (root, root / "sessions", root / "workspaces"):
        try:
            os.mkdir(directory, 0o700)
        except FileExistsError:
            continue
        disk.sync_directory(directory.parent)


def _check_readable(root: Path) -> None:
    for directory in (root, root / "sessions"):
        if directory.exists() and not os.access(directory, os.R_OK | os.X_OK, effective_ids=True):
            raise BadConfig(f"data: user {os.geteuid()} may not read {directory}")


def refuse_read_only(root: Path) -> None:
    """Raise ReadOnly, with the reason, if nothing below the root may be changed."""
    if message := read_only_message(root):
        raise ReadOnly(message)


def read_only_message(root: Path) -> str:
    """Return the sentence that tells a user that the root is read-only and why, "" if it is not."""
    marker = root / MARKER
    if not root.is_dir():
        return ""
    if os.path.lexists(marker):
        reason = _first_line(marker) or f"{marker} exists"
    elif host := hosts.host_of(root):
        reason = f"it is the copy of host {host}"
    else:
        reason = why_not_writable(root, root / "sessions") or _other_owner(root)
    return reason and f"this data root is read-only: {reason}"


def _other_owner(root: Path) -> str:
    """Return the reason not to write into the root of another user, "" if it is ours.

    Only user 0 gets this far. Its files would be closed to the owner, and its turns would act as user 0.
    """
    owner, user = root.stat().st_uid, os.geteuid()
    return "" if owner == user else f"{root} belongs to user {owner}, and this process is user {user}"


def why_not_writable(*paths: str | os.PathLike[str]) -> str:
    """Return why this process may not write the first of the paths that it may not write, else "".

    A path that does not exist counts as writable: another error says that.
    """
    for path in paths:
        if os.access(path, os.W_OK, effective_ids=True):
            continue
        try:
            is_mount = os.statvfs(path).f_flag & os.ST_RDONLY
        except OSError:
            continue
        return f"{path} is on a read-only mount" if is_mount else f"user {os.geteuid()} may not write {path}"
    return ""


def _first_line(marker: Path) -> str:
    """Return the first line of the marker that is not empty, "" if there is none or it is no plain file."""
    try:
        with open(open_plain_file(marker, os.O_RDONLY), "rb") as file:
            data = file.read(REASON_BYTES)
    except OSError:
        return ""
    lines = (one_line(line, REASON_CHARACTERS) for line in data.decode(errors="replace").split("\n"))
    return next(filter(None, lines), "")
