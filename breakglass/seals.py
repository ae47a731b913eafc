"""A seal: what a `sealed` event says about the lines of its log. Pure."""

import re
from typing import Any, NamedTuple

_SHA256 = re.compile("[0-9a-f]{64}")


class Seal(NamedTuple):
    """What a `sealed` event states about the lines of its log."""

    first: int
    """The first line that it seals: the line after the last one of the seal before."""
    lines: int
    """The last line that it seals."""
    prev: str
    """The `sha256` of the seal before, "" for the first seal of a log."""
    sha256: str
    """The SHA-256, in hex, of `prev` and the bytes of the sealed lines."""

    def fields(self) -> dict[str, Any]:
        """Return the keys of its event."""
        return {"from": self.first, "lines": self.lines, "prev": self.prev, "sha256": self.sha256}


def seal_in(event: dict[str, Any], number: int) -> Seal | None:
    """Return the seal that `event`, which stands on line `number`, states. None for any other or malformed event."""
    if event.get("kind") != "sealed":
        return None
    first, lines, prev, digest = (event.get(key) for key in ("from", "lines", "prev", "sha256"))
    if not (type(first) is type(lines) is int and isinstance(prev, str) and isinstance(digest, str)):
        return None
    is_sound = (
        0 < first <= lines < number and _SHA256.fullmatch(digest) and (_SHA256.fullmatch(prev) or not prev)
    )
    return Seal(first, lines, prev, digest) if is_sound else None
