"""A file whose parsed content is kept in memory, and read again when the file changes."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from breakglass.plain_file import open_plain_file

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class WatchedFile(Generic[_T]):
    """The parsed content of a file, `missing` if the file cannot be read. Links are not followed.

    Inode, size, modification time, owner and mode show a change. A check costs one `stat` call. A file in which
    `find_problem` finds one counts as missing, and the log gets one line, as for a file that cannot be read.
    """

    def __init__(
        self,
        path: Path,
        parse: Callable[[bytes], _T],
        missing: _T,
        find_problem: Callable[[os.stat_result, bytes], str] = lambda status, data: "",
    ):
        self._path = path
        self._find_problem = find_problem
        self._problem = ""
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
                    data = file.read()
                    problem = self._find_problem(os.fstat(file.fileno()), data)
                    self._content = self._missing if problem else self._parse(data)
                self._version = version
                self._report(problem)
        except FileNotFoundError:
            self._report("it was deleted" if self._version else self._problem)
            self._content, self._version = self._missing, None
        except OSError as error:
            self._report(error.strerror or str(error))
            self._content, self._version = self._missing, None
        return self._content

    def _report(self, problem: str) -> None:
        if problem and problem != self._problem:
            _log.warning("breakglass: %s is not used: %s", self._path, problem)
        self._problem = problem
