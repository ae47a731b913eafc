"""Pages and static files as gzip, which every browser accepts. Pure but for reading the static files, once.

A phone on a weak link loads a transcript in seconds instead of minutes. Compression can leak a secret in the page,
here the CSRF token of the forms. An attacker makes the browser load pages that contain guesses and compares their sizes
(BREACH, 2013). That fails here, because the cookie is SameSite=Strict.
"""

import gzip
import mimetypes
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

LEVEL = 6
"""From 1 to 9. Level 1 gives much larger pages, and level 9 takes much more time."""
# A qvalue of 0 means "not acceptable".
_GZIP = re.compile(r"(?:^|,)\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[0-9.]+\s*)?(?:,|$)", re.IGNORECASE)
_COMPRESSED_FORMATS = frozenset({".png"})
# A phone does not read comments, and they are a sixth of a first visit. In JavaScript only those that have lines of
# their own: other slashes may belong to an address or to a regular expression.
_COMMENTS = {
    ".css": re.compile(rb"/\*.*?\*/", re.DOTALL),
    ".js": re.compile(rb"^[ \t]*//[^\n]*|^[ \t]*/\*\*(?:[^*]|\*(?!/))*\*/[ \t]*$", re.MULTILINE),
}


class File(NamedTuple):
    """A static file."""

    plain: bytes
    """As it is served: scripts and style sheets without their comments."""
    gzipped: bytes | None
    """None if the format is compressed already."""
    content_type: str


def accepts(accept_encoding: str) -> bool:
    """Return whether a client with this `Accept-Encoding` accepts gzip (RFC 9110, 12.5.3)."""
    return _GZIP.search(accept_encoding) is not None


def compress(data: bytes, level: int = LEVEL) -> bytes:
    """Return `data` as gzip, without a time stamp: the same data always gives the same bytes."""
    return gzip.compress(data, level, mtime=0)


@cache
def files(directory: Path) -> dict[str, File]:
    """Return the files in `directory`, by name."""
    return {path.name: _read(path) for path in directory.iterdir()}


def _newlines(comment: re.Match[bytes]) -> bytes:
    """Return what replaces a comment: line numbers in error messages stay right."""
    return b"\n" * comment[0].count(b"\n")


def _read(path: Path) -> File:
    data = path.read_bytes()
    if comments := _COMMENTS.get(path.suffix):
        data = comments.sub(_newlines, data)
    content_type = {".webmanifest": "application/manifest+json", ".js": "text/javascript"}.get(path.suffix)
    content_type = content_type or mimetypes.types_map.get(path.suffix, "application/octet-stream")
    gzipped = None if path.suffix in _COMPRESSED_FORMATS else compress(data, 9)
    charset = "; charset=utf-8" if content_type.startswith("text/") else ""
    return File(data, gzipped, content_type + charset)
