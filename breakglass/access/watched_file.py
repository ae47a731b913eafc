"""A file whose parsed content is kept in memory, and read again when the file changes."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from breakglass.access.plain_file import open_plain_file

_T = TypeVar("_T")


class WatchedFile(Generic[_T]):
    """The parsed content of a file, `missing` if the file cannot be read. Links are not followed.

    Inode, size and modification time show a change. A check costs one `stat` call.
    """

    def __init__(self, path: Path, parse: Callable[[bytes], _T], missing: _T):
        self._path = path
        self._parse = parse
        self._missing = missing
        self._content = missing
        self._version: tuple[int, int, int] | None = None

    def read(self) -> _T:
        """Return the content of the file as it is now."""
        try:
            stat = os.stat(self._path, follow_symlinks=False)
            version = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if version != self._version:
                with open(open_plain_file(self._path, os.O_RDONLY), "rb") as file:
                    self._content = self._parse(file.read())
                self._version = version
        except OSError:
            self._content, self._version = self._missing, None
        return self._content
