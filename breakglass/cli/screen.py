"""Standard output and standard error: each may be a terminal, a pipe, a file, or closed."""

import errno
import os
import select
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from breakglass.cli.style import UNLIMITED


def prepare() -> None:
    """Open descriptors 0 to 2 if they are closed, and replace characters that their encoding does not have.

    Otherwise a log or a lock that is opened next could get one of these numbers. Our output would go into that file,
    and a child process would not inherit it.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)
    sys.stdin = sys.stdin or os.fdopen(0, "r", encoding="utf-8", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")


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


def write_bytes(data: bytes) -> None:
    """Write bytes to standard output, unchanged and without delay."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def print_json(rows: Iterable[dict[str, Any]]) -> None:
    """Print one JSON object a line."""
    import json  # imported only here: it delays commands that print no JSON

    for row in rows:
        print(json.dumps(row, ensure_ascii=False))


def say(text: str) -> None:
    """Print a message for the user on standard error, where it does not mix with the output."""
    print(text, file=sys.stderr, flush=True)


def show_progress(text: str) -> None:
    """Replace the terminal line at the cursor with `text`; the cursor stays at its beginning. "" erases it."""
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
