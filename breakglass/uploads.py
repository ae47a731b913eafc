"""Files that users send with a prompt: their limits, their names and their types. Pure.

Neither the name nor the type that a client gives is believed. A name becomes one that no shell, page or path gives a
meaning to. A type is read from the first bytes. docs/security.md names the attacks.
"""

import re
from typing import NamedTuple, TypeGuard

from breakglass.errors import BadInput, TooLarge

FOLDER = "uploads"
"""The directory in a workspace that the files of users are in."""
MAX_BYTES = 20 << 20
"""Bytes of one file."""
MAX_FILES = 200
"""Files in the folder of one session."""
MAX_TOTAL = 512 << 20
"""Bytes of all files in the folder of one session."""
LEFT_FREE = 64 << 20
"""Bytes that a file leaves free on the disk, for the logs."""
MAX_PER_PROMPT = 20
"""Files that one prompt may name."""
MAX_SHOWN = 15 << 18
"""Bytes of a picture that a model is shown: the API of Claude takes 5 MB of base64. It can read a larger one itself."""
PICTURES = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}
"""The types that browsers and models show, with suffixes of names. No browser runs anything in them."""
PICTURE_FOLDER = "pictures"
"""The directory beside the log that the pictures of tools are in."""

_PICTURE = re.compile(rf"{PICTURE_FOLDER}/[0-9a-f]{{64}}\.(?:{'|'.join(PICTURES.values())})")
_MAX_NAME = 100
_UNSAFE = re.compile(r"[^\w.-]+")
_SUFFIX = re.compile(r"\.\w{1,10}")
_HEAD = 64 << 10
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"\x1f\x8b", "application/gzip"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"\xfd7zXZ\x00", "application/x-xz"),
    (b"\x7fELF", "application/x-elf"),
)
_BRANDS = {b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heif", b"avif": "image/avif"}
"""The brands of pictures in ISO media files (ISO/IEC 14496-12, section 4.3)."""
UNKNOWN = "application/octet-stream"


class PromptFile(NamedTuple):
    """A file that a prompt names, as an agent gets it."""

    path: str
    """Its path in the workspace."""
    type: str
    """"" if the file is not there any more."""
    size: int
    """Bytes."""
    picture: bytes = b""
    """The bytes of a picture that a model can be shown, b"" of any other file."""


def check_size(size: int) -> None:
    """Raise BadInput for an empty file, and TooLarge for one that is too large."""
    if not size:
        raise BadInput("file: expected a file that is not empty")
    if size > MAX_BYTES:
        raise TooLarge(f"file: at most {MAX_BYTES >> 20} MiB are taken")


def clean_name(name: str) -> str:
    """Return a file name made of letters, digits, `.`, `-` and `_`, at most `_MAX_NAME` bytes of UTF-8 long.

    Directories are cut off. It does not begin with `.` or `-`, so it is neither hidden nor an option.
    """
    from unicodedata import normalize  # not needed by a runner

    last = re.split(r"[/\\]", normalize("NFC", name.encode(errors="replace").decode()))[-1]
    stem, dot, end = _UNSAFE.sub("_", last).rpartition(".")
    suffix = dot + end if _SUFFIX.fullmatch(dot + end) else ""
    kept = (stem if suffix else stem + dot + end).lstrip(".-_") or "file"
    return kept.encode()[: _MAX_NAME - len(suffix.encode())].decode(errors="ignore") + suffix


def numbered(name: str, number: int) -> str:
    """Return another name for a file whose name is taken: `panel.jpg` becomes `panel-2.jpg`."""
    stem, dot, end = name.rpartition(".")
    return f"{stem}-{number}{dot}{end}" if stem else f"{name}-{number}"


def media_type(head: bytes) -> str:
    """Return the media type of a file by its first bytes. SVG, HTML and scripts are text."""
    for signature, found in _SIGNATURES:
        if head.startswith(signature):
            return found
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp" and head[8:12] in _BRANDS:
        return _BRANDS[head[8:12]]
    begin = head[:_HEAD]
    if _NOT_TEXT.search(begin):
        return UNKNOWN
    try:
        begin[: begin.rfind(b"\n") + 1 or None].decode()  # a character may be cut at the end
    except UnicodeDecodeError:
        return UNKNOWN
    return "text/plain"


def is_relative(path: object) -> bool:
    """Return whether `path` may name a file within a workspace: relative, without `..`, `.` and empty parts."""
    if not isinstance(path, str) or not path or len(path) > 4096 or "\0" in path:
        return False
    return all(part not in ("", ".", "..") for part in path.split("/"))


def is_picture(path: object) -> TypeGuard[str]:
    """Return whether `path` is one that an event of ours can name, relative to the directory of the session."""
    return isinstance(path, str) and _PICTURE.fullmatch(path) is not None


def is_upload(path: object) -> TypeGuard[str]:
    """Return whether `path` is one that a file of a user gets. A log may name any other."""
    return (
        isinstance(path, str) and re.fullmatch(rf"{FOLDER}/\w[\w.-]{{0,{_MAX_NAME + 8}}}", path) is not None
    )


def listing(files: tuple[PromptFile, ...], workspace: str = "") -> str:
    """Return the sentences that tell an agent which files belong to its prompt, "" for none.

    `workspace` is their directory, "" if the agent works there.
    """
    if not files:
        return ""
    lines = "".join(f"\n* {each.path}{_described(each)}" for each in files)
    return f"\n\n[Files from the user, in {workspace or 'your working directory'}:{lines}]"


def _described(file: PromptFile) -> str:
    if not file.type:
        return " (it is not there any more)"
    return f" ({file.type}, {file.size} bytes)"
