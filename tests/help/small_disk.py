"""A small disk that a test can fill."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.help.superuser import require_superuser


@contextmanager
def mount_small_disk(path: Path, size: str) -> Iterator[Path]:
    """Create the directory `path` with a file system of that size, such as `256k`. Skips the test unless it is root."""
    require_superuser("to mount a small disk")
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)
