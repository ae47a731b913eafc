"""A file whose parsed content is kept in memory, and read again when the file changes."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from breakglass.plain_file import open_plain_file

_T = TypeVar("_T")


class WatchedFile(Generic[_T]):
    """The parsed content of a file, `missing` if the file cannot be read. Links are not followed.

    Inode, size, modification time, owner and mode show a change. A check costs one `stat` call. A file that
    `is_accepted` refuses by its status counts as missing.
    """

    def __init__(
        self,
        path: Path,
        parse: Callable[[bytes], _T],
        missing: _T,
        is_accepted: Callable[[os.stat_result], bool] = lambda _: True,
    ):
        self._path = path
        self._is_accepted = is_accepted
        self._parse = parse
        self._missing = missing
        self._content = missing
        self._version: tuple[int, ...] | None = None

    def read(self) -> _T:
        """Return the content of the file as it is now."""
        try:
            stat = os.stat(self._path, follow_symlinks=False)
            version = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_uid, stat.st_mode)
            if version != self._version:
                with open(open_plain_file(self._path, os.O_RDONLY), "rb") as file:
                    is_accepted = self._is_accepted(os.fstat(file.fileno()))
                    self._content = self._parse(file.read()) if is_accepted else self._missing
                self._version = version
        except OSError:
            self._content, self._version = self._missing, None
        return self._content
