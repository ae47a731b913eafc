"""The signals that a runner receives: SIGUSR1 announces new lines in the log, SIGTERM asks it to end.

SIGHUP and SIGINT have no effect: they come from a terminal, and a turn outlives the terminal that it was started from.
"""

import os
import signal


class Signals:
    """The signals that this process received, and a descriptor that becomes readable when one arrives."""

    def __init__(self) -> None:
        self.received: set[int] = set()
        self.wakeup, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda number, _: self.received.add(number))
