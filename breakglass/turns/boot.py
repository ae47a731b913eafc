"""The id of the machine's present start. A runner imports this module, so it imports nothing slow."""

import functools

_PATH = "/proc/sys/kernel/random/boot_id"


@functools.cache
def boot_id() -> str | None:
    """Return the kernel's id of this start of the machine (random(4)), None if it cannot be read."""
    try:
        with open(_PATH, encoding="ascii") as file:
            return file.read().strip() or None
    except (OSError, ValueError):
        return None


def has_restarted(since: str | None) -> bool:
    """Return whether the machine has restarted since the start with this id. False if one of the two ids is unknown."""
    return None not in (since, boot_id()) and since != boot_id()
