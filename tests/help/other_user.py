"""Another user of this machine, who can run Breakglass although the checkout or Python may be private to root."""

import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UID = 12345
"""A user without a name, without groups and without capabilities."""
_CHECKOUT = Path(__file__).parents[2]


def as_other_user() -> tuple[str, ...]:
    """Return the words before a command that root starts as the other user.

    The command has mounts of its own. In them, a directory that only root can enter holds nothing but what Python and
    the checkout need.
    """
    trees = [Path(sys.base_prefix), Path(sys.prefix), _CHECKOUT]
    hidden = {tree: closed for tree in trees if (closed := _closed_parent(tree))}
    lines = ["mount -t tmpfs none /mnt"]
    for number, tree in enumerate(hidden):
        lines.append(f"mkdir /mnt/{number}; mount --bind {_quoted(tree)} /mnt/{number}")
    lines += [f"mount -t tmpfs -o mode=755 none {_quoted(closed)}" for closed in {*hidden.values()}]
    for number, tree in enumerate(hidden):
        lines.append(f"mkdir -p {_quoted(tree)}; mount --bind /mnt/{number} {_quoted(tree)}")
    lines += ["umount --lazy /mnt", f'exec setpriv --reuid {UID} --regid {UID} --clear-groups -- "$@"']
    return ("unshare", "--mount", "sh", "-euc", "\n".join(lines), "sh")


@contextmanager
def reachable_directory() -> Iterator[Path]:
    """Yield a directory that each user can enter. They cannot enter `tmp_path`: pytest makes its parent private."""
    with tempfile.TemporaryDirectory(prefix="breakglass-test-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


def _closed_parent(tree: Path) -> Path | None:
    """Return the first directory on the way to `tree` that other users cannot enter, None without one."""
    return next((each for each in reversed(tree.parents) if not each.stat().st_mode & 1), None)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
