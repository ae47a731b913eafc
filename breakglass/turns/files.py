"""Files with a prompt: recorded when a user sends one, and read for the agent when the turn begins.

The runner imports this module, so it imports nothing slow.
"""

import hashlib
import os
from collections.abc import Sequence
from typing import Any

from breakglass.errors import BadInput, NotFound
from breakglass.events import Event
from breakglass.store import sessions, workspace
from breakglass.store.log import read_one
from breakglass.store.sessions import Session
from breakglass.uploads import (
    MAX_PER_PROMPT,
    MAX_SHOWN,
    PICTURES,
    PromptFile,
    check_size,
    clean_name,
    media_type,
)

_HEAD = 64 << 10


def add_file(session: Session, name: str, data: bytes, *, by: str, key: str | None = None) -> Event:
    """Store a user's file in the workspace and record it. Return its event without the time.

    A `key` that was used before returns the first file and stores nothing. Raises NotFound, BadInput (an empty file, a
    bad key), TooLarge, Conflict, ReadOnly and CannotRecord. Then nothing is stored.
    """
    check_size(len(data))
    sessions.check_key(key)
    with session.open_log() as opened:
        with opened.exclusive():
            if earlier := _earlier_file(session, opened.fd, key):
                opened.confirm()
                return earlier
        cleaned = clean_name(name)
        path = workspace.store(session.workspace, cleaned, data)
        fields: dict[str, Any] = {
            "name": cleaned,
            "path": path,
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "type": media_type(data),
            "by": by,
        }
        try:
            with opened.exclusive():
                # A simultaneous request may have used the same key.
                if earlier := _earlier_file(session, opened.fd, key):
                    opened.confirm()
                    workspace.discard(session.workspace, path)
                    return earlier
                number = opened.append("file", **fields, **({"key": key} if key else {}))
        except BaseException:
            workspace.discard(session.workspace, path)
            raise
    return {"id": number, **fields}


def _earlier_file(session: Session, fd: int, key: str | None) -> Event | None:
    number = session.log_state(fd).keys.get(key) if key else None
    if number is None:
        return None
    event = read_one(fd, number)
    if event["kind"] != "file":
        raise BadInput("Idempotency-Key: it belongs to a prompt of this session")
    return {name: event.get(name) for name in ("id", "name", "path", "bytes", "sha256", "type", "by")}


def checked_paths(session: Session, fd: int, files: Sequence[str | int]) -> list[str]:
    """Return the paths of the files that a prompt names, by their path or by the id of their event.

    Raises BadInput if one of them is not there, or if there are too many.
    """
    paths = [*dict.fromkeys(each if isinstance(each, str) else _path_of(fd, each) for each in files)]
    if len(paths) > MAX_PER_PROMPT:
        raise BadInput(f"files: at most {MAX_PER_PROMPT} with one prompt, got {len(paths)}")
    workspace.check_files(session.workspace, paths)
    return paths


def _path_of(fd: int, number: int) -> str:
    try:
        event = read_one(fd, number)
    except NotFound:
        event = {"kind": ""}
    if event["kind"] != "file" or not isinstance(event.get("path"), str):
        raise BadInput(f"files: line {number} is not a file")
    return str(event["path"])


def read_files(directory: str, user: Event) -> tuple[PromptFile, ...]:
    """Return the files of a workspace that a `user` event names, pictures with their bytes."""
    paths = user.get("files")
    if not isinstance(paths, list):
        return ()
    return tuple(_read_file(directory, str(path)) for path in paths[:MAX_PER_PROMPT])


def _read_file(directory: str, path: str) -> PromptFile:
    try:
        with os.fdopen(workspace.open_file(directory, path), "rb") as file:
            head = file.read(_HEAD)
            found, size = media_type(head), os.fstat(file.fileno()).st_size
            is_shown = found in PICTURES and size <= MAX_SHOWN
            picture = head + file.read(MAX_SHOWN - len(head)) if is_shown else b""
    except (NotFound, OSError):
        return PromptFile(path, "", 0)
    return PromptFile(path, found, size, picture)
