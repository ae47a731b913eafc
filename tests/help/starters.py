"""Programs that start others with unusual signals, as shells, nohup and service managers do."""

import sys
from collections.abc import Iterable

_STARTER = (
    "import os, signal, sys\n"
    "ignored, blocked = ({getattr(signal, name) for name in each.split()} for each in sys.argv[1:3])\n"
    "for number in ignored:\n"
    "    signal.signal(number, signal.SIG_IGN)\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, blocked)\n"
    "os.execvp(sys.argv[3], sys.argv[3:])\n"
)


def start_with(*, ignored: Iterable[str] = (), blocked: Iterable[str] = ()) -> tuple[str, ...]:
    """Return a command prefix that ignores and blocks the named signals, and then becomes the command."""
    return (sys.executable, "-c", _STARTER, " ".join(ignored), " ".join(blocked))
