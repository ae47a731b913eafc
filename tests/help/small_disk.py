"""A small disk that a test can fill."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.help.superuser import require_superuser


@contextmanager
def mount_small_disk(path: Path, size: str, inodes: int = 0) -> Iterator[Path]:
    """Create the directory `path` with a file system of that size, such as `256k`. Skips the test unless it is root.

    `inodes` is how many files it can hold, 0 for any number.
    """
    require_superuser("to mount a small disk")
    path.mkdir()
    options = f"size={size},nr_inodes={inodes},mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)
