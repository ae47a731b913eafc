"""Standard output and standard error: each may be a terminal, a pipe, a file, or closed."""

import errno
import io
import os
import select
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from breakglass.cli.style import UNLIMITED
from breakglass.text import escape_json, visible

PROGRESS_SECONDS = 0.2
"""Seconds between two updates of a `ProgressLine`, and before the first."""


class WaitingFile(io.FileIO):
    """A descriptor to which each write is complete, also if the descriptor is non-blocking (fcntl(2), O_NONBLOCK).

    Python's own file returns after a part, and raises BlockingIOError if the pipe is full. The flag stays: it belongs
    to every process that shares the open file, perhaps the reader or the parent.
    """

    def write(self, data: Any, /) -> int:
        """Write all bytes, waiting for the reader. Raises OSError."""
        view = memoryview(data).cast("B")
        size = view.nbytes
        while view:
            try:
                view = view[os.write(self.fileno(), view) :]
            except BlockingIOError:
                poll = select.poll()
                poll.register(self.fileno(), select.POLLOUT)
                poll.poll()
        return size


def prepare() -> None:
    """Open descriptors 0 to 2 if they are closed, make every write complete, and replace characters without a code.

    A log or a lock that is opened next could otherwise get the number of a closed descriptor. Our output would go into
    that file, and a child process would not inherit it.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)
    sys.stdin = sys.stdin or os.fdopen(0, "r", encoding="utf-8", closefd=False)
    if sys.stdout is sys.__stdout__:  # a test may have replaced it
        sys.stdout = _waiting(1, sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _waiting(2, sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")


def _waiting(fd: int, stream: TextIO | None) -> io.TextIOWrapper:
    """Return a stream that writes to `fd` completely. `stream`, which has its encoding, is None for a closed one."""
    file = io.BufferedWriter(WaitingFile(fd, "w", closefd=False))
    encoding = stream.encoding if stream else "utf-8"
    return io.TextIOWrapper(file, encoding=encoding, newline="\n", line_buffering=fd == 2 or os.isatty(fd))


def is_terminal() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout.isatty()


def has_colours(environ: Mapping[str, str]) -> bool:
    """Return whether to use colours: on a terminal that supports them, unless NO_COLOR is set (no-color.org)."""
    return is_terminal() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def columns() -> int:
    """Return the terminal's width; `UNLIMITED` if there is no terminal or it does not know its width."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or UNLIMITED
    except OSError:
        return UNLIMITED


def write(text: str) -> None:
    """Write to standard output without delay."""
    sys.stdout.write(text)
    sys.stdout.flush()


def write_lines(lines: bytes) -> None:
    """Write lines of a log to standard output without delay. What would control a terminal becomes a JSON escape."""
    sys.stdout.buffer.write(escape_json(lines.decode()).encode())
    sys.stdout.buffer.flush()


def print_json(rows: Iterable[dict[str, Any]]) -> None:
    """Print one JSON object a line."""
    for row in rows:
        print(json_line(row))


def json_line(row: dict[str, Any]) -> str:
    """Return an object as one line of JSON. What would control a terminal is an escape."""
    import json  # imported only here: it delays commands that print no JSON

    return escape_json(json.dumps(row, ensure_ascii=False))


def say(text: str) -> None:
    """Print a message for the user on standard error, where it does not mix with the output.

    What would control the terminal is visible: a path or a name in it may be another user's.
    """
    print(visible(text), file=sys.stderr, flush=True)


def can_ask() -> bool:
    """Return whether a user can see a question and type an answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str) -> str:
    """Ask on standard error, and return the line that the user typed."""
    print(visible(question), end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().rstrip("\n")


class ProgressLine:
    """A line on the terminal that shows how far long work is. Nothing is shown if standard error is no terminal."""

    def __init__(self) -> None:
        self._has_terminal = sys.stderr.isatty()
        self._shown_at = time.monotonic()
        self._is_shown = False

    @property
    def is_due(self) -> bool:
        """Whether the line should be shown anew: for work of less than `PROGRESS_SECONDS` it never is."""
        return self._has_terminal and time.monotonic() - self._shown_at >= PROGRESS_SECONDS

    def show(self, text: str) -> None:
        """Replace the terminal line at the cursor with `text`. The cursor stays at its beginning."""
        self._shown_at, self._is_shown = time.monotonic(), True
        _replace_line(text)

    def erase(self) -> None:
        """Erase the line, so that the next output takes its place."""
        if self._is_shown:
            _replace_line("")
            self._is_shown = False


def _replace_line(text: str) -> None:
    print(f"\r\x1b[K{text}", end="\r", file=sys.stderr, flush=True)


def check_reader() -> None:
    """Raise BrokenPipeError if the reader of our output has closed the pipe. Without a write, no signal reports it."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if any(flags & (select.POLLERR | select.POLLHUP) for _, flags in poll.poll(0)):
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def drop_output() -> None:
    """Discard output that could not be written. Else the interpreter writes it again at exit and reports an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
