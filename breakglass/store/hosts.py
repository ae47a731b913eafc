"""The copies of other hosts' sessions: `<root>/hosts/<host>/sessions/<id>/events.jsonl`. Only reads.

Another program writes them, such as rsync or `breakglass mirror`. Each directory `<root>/hosts/<host>` is a data root
that can only be read (root.py). The directory's name is the host's name. What a log says about its host is only the
claim of that host.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from breakglass.errors import BadInput, NotFound
from breakglass.suggestion import suggestion
from breakglass.text import one_line

DIRECTORY = "hosts"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""The name of a host. No name is a path, an option, or hidden."""


def check_name(name: str) -> str:
    """Return the name of a host. Raises BadInput if it is none."""
    if not NAME.fullmatch(name):
        raise BadInput(
            "host: expected up to 63 letters, digits, dots, hyphens and underscores, the first a letter or a digit,"
            f" got {one_line(name, 64)!r}"
        )
    return name


def root_of(data: Path, name: str) -> Path:
    """Return the data root with the copy of a host's sessions. Raises BadInput for a bad name, NotFound without one."""
    root = data / DIRECTORY / check_name(name)
    if not _is_copy(root):
        known = sorted(names(data))
        instead = suggestion(name, known, f"it has {', '.join(known[:10]) or 'no hosts'}")
        raise NotFound(f"there is no copy of host {name} in {data.absolute()}; {instead}")
    return root


def names(data: Path) -> Iterator[str]:
    """Yield the names of the hosts whose sessions are copied here, in no order. Skips every other entry."""
    try:
        with os.scandir(data / DIRECTORY) as entries:
            yield from (e.name for e in entries if NAME.fullmatch(e.name) and _is_copy(Path(e.path)))
    except (FileNotFoundError, NotADirectoryError):
        return


def _is_copy(root: Path) -> bool:
    """Return whether the directory may be read. A symbolic link could lead to the sessions of another user."""
    return all(path.is_dir() and not path.is_symlink() for path in (root, root / "sessions"))


def host_of(root: Path) -> str:
    """Return the host whose copy a data root is, "" if it is the root of this machine.

    It is a copy if it is in a directory `hosts`. A root that was made by a writer has workspaces. So it is a copy only
    if the directory above `hosts` is a data root.
    """
    place = Path(os.path.realpath(root))
    if place.parent.name != DIRECTORY or not NAME.fullmatch(place.name):
        return ""
    is_own = (place / "workspaces").is_dir() and not (place.parent.parent / "sessions").is_dir()
    return "" if is_own else place.name
