"""Standard output and standard error as we were given them: a terminal, a pipe, a file, or nothing at all."""

import errno
import os
import select
import sys
from collections.abc import Mapping

from breakglass.cli.style import ALL


def prepare() -> None:
    """See that descriptors 0 to 2 are open, and that nothing there is to say cannot be said in their encoding.

    A log or lock that is opened next could become one of them: what we print would go into it, and a child
    would not inherit it.
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
    """Return whether a person reads our output as it comes."""
    return sys.stdout.isatty()


def has_colours(environ: Mapping[str, str]) -> bool:
    """Return whether to use colours: on a terminal that has them, unless NO_COLOR is set (no-color.org)."""
    return is_terminal() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def columns() -> int:
    """Return the terminal's width; where there is none, or it does not know, more than anything has."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or ALL
    except OSError:
        return ALL


def write(text: str) -> None:
    """Write output, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def write_bytes(data: bytes) -> None:
    """Write output as it is, at once."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def say(text: str) -> None:
    """Tell the person what is not output."""
    print(text, file=sys.stderr, flush=True)


def say_over(text: str) -> None:
    """Put `text` in place of the line at a terminal's cursor, and leave the cursor at its beginning."""
    print(f"\r\x1b[K{text}", end="\r", file=sys.stderr, flush=True)


def check_reader() -> None:
    """Raise BrokenPipeError where our output is a pipe that nobody reads: in silence no write would tell."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if any(happened & (select.POLLERR | select.POLLHUP) for _, happened in poll.poll(0)):
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def drop_output() -> None:
    """Forget what could not be written: the interpreter would try again at its end, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
