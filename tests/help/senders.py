"""The processes that send notifications, found in /proc."""

import os
from contextlib import suppress
from pathlib import Path

from breakglass.turns import processes


def find_senders(root: Path) -> set[int]:
    """Return the pids of the processes that send for this data root."""
    words = (b"breakglass.notifier", os.fsencode(root))
    found = set()
    for pid in processes.list_pids():
        with suppress(OSError):
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
            if all(word in arguments for word in words):
                found.add(pid)
    return found
