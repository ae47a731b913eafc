"""Record the system calls that decide what a crash or another process sees: locks, writes, syncs, names on disk.

The calls are recorded in their order, as short texts such as `sync events.jsonl`. A test compares them with a list.
"""

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from breakglass.store import state_cache


class IoRecorder:
    """The recorded calls on files below `root`. An id of a session reads `ID`, and its directory is left out.

    `before` gets the text of a call before the call is made. It may wait, or end the process.
    """

    def __init__(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, before: Callable[[str], object] = str
    ) -> None:
        self.calls: list[str] = []
        self._before = before
        self._root = str(root)
        self._patch = monkeypatch
        self._locked: set[int] = set()

    def start(self) -> None:
        """Record from now on."""
        self._wrap(os, "write", lambda fd, data: f"write {_content(data)} to {self._name(fd)}")
        self._wrap(os, "pwrite", lambda fd, data, _: f"overwrite {self._name(fd)} with {_content(data)}")
        self._wrap(os, "ftruncate", lambda fd, _: f"cut {self._name(fd)}")
        self._wrap(os, "fsync", lambda fd: f"sync {self._name(fd)}{_size(fd)}")
        self._wrap(os, "fdatasync", lambda fd: f"sync {self._name(fd)}")
        self._wrap(os, "mkdir", lambda path, *_: f"create {self._short(path)}")
        self._wrap(os, "unlink", lambda path, **_: f"delete {self._short(path)}")
        self._wrap(os, "close", self._unlocked_by_close)
        self._wrap(fcntl, "flock", self._locking)
        self._wrap(state_cache, "read_cached", lambda *_: "read the state")

    def record(self, owner: Any, name: str, text: str) -> None:
        """Record calls of this function as `text`, instead of making them. They return True."""

        def instead(*_: Any, **__: Any) -> bool:
            self.calls.append(text)
            return True

        self._patch.setattr(owner, name, instead)

    def acknowledge(self) -> None:
        """Record that the operation has returned to its caller."""
        self.calls.append("acknowledged")

    def _wrap(self, owner: Any, name: str, describe: Callable[..., str]) -> None:
        original = getattr(owner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            text = describe(*arguments, **named)
            is_recorded = bool(text) and " /" not in text  # a name that is still absolute is outside the root
            if is_recorded:
                self._before(text)
            result = original(*arguments, **named)
            if text.startswith("lock "):  # a lock that was refused has raised
                self._locked.add(arguments[0])
            if is_recorded:
                self.calls.append(text)
            return result

        self._patch.setattr(owner, name, call)

    def _locking(self, fd: int, operation: int) -> str:
        if operation == fcntl.LOCK_UN:
            self._locked.discard(fd)
            return f"unlock {self._name(fd)}"
        return f"lock {self._name(fd)}"

    def _unlocked_by_close(self, fd: int) -> str:
        if fd not in self._locked:
            return ""
        self._locked.discard(fd)
        name = self._name(fd)
        return f"unlock {name}" if name != "events.jsonl" else ""

    def _name(self, fd: int) -> str:
        return self._short(os.readlink(f"/proc/self/fd/{fd}"))

    def _short(self, path: str | os.PathLike[str]) -> str:
        name = os.fspath(path)
        if name != self._root and not name.startswith(f"{self._root}/"):
            return name
        parts = name[len(self._root) + 1 :].split("/")
        if len(parts) == 3:
            return parts[2]
        return "/".join([*parts[:1], *("ID" for _ in parts[1:])]) or "the root"


def _size(fd: int) -> str:
    """Return the size of a plain file: a sync before the content was written would be worthless."""
    path = os.readlink(f"/proc/self/fd/{fd}")
    return "" if os.path.isdir(path) else f" ({os.fstat(fd).st_size} bytes)"


def _content(data: bytes) -> str:
    """Return the kinds of event lines, or what else the bytes are."""
    if data == b"\n":
        return "a newline"
    try:
        lines = [json.loads(line) for line in data.strip().split(b"\n")]
    except ValueError:
        return "bytes"
    return " and ".join(line.get("kind", "a lock entry") for line in lines)
