"""Files over HTTP: read from a form, and sent as pictures or as downloads, never as anything that a browser runs.

The type of a response is read from the file itself. Pictures that browsers only decode are shown; every other file is
a download of unknown bytes. Must not decide what a workspace contains: `store.workspace` does that.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from io import RawIOBase
from typing import Any
from urllib.parse import quote

from quart import Response, request
from quart.datastructures import FileStorage

from breakglass.errors import BadInput
from breakglass.events import Event
from breakglass.store import pictures, workspace
from breakglass.store.sessions import Session
from breakglass.turns.files import add_file
from breakglass.uploads import PICTURES, UNKNOWN, check_size, media_type
from breakglass.web.context import caller, caller_name, console

PIECE = 256 << 10
"""Bytes that are read and sent at once."""
_HEAD = 4096


async def only_file() -> FileStorage:
    """Return the one file of the form that was sent. Raises BadInput."""
    files = await request.files
    found = [each for name in files for each in files.getlist(name) if each.filename]
    if len(found) != 1:
        raise BadInput(f"file: expected one file in a field named file, got {len(found)}")
    return found[0]


async def form_files() -> list[FileStorage]:
    """Return the files that were chosen in a form of a page."""
    files = await request.files
    return [each for each in files.getlist("files") if each.filename]


async def add(session: Session, file: FileStorage, key: str | None) -> Event:
    """Store and record a file that was sent. Raises as `add_file`."""
    data = await asyncio.to_thread(file.stream.read)
    return await console().write(add_file, session, file.filename or "", data, by=caller_name(), key=key)


async def add_all(session: Session, chosen: list[FileStorage], key: str | None) -> list[str]:
    """Store and record the files of a form. Return their paths. The same form sent twice stores them once."""
    for each in chosen:  # nothing is stored if one of them is refused
        check_size(each.stream.seek(0, os.SEEK_END))
        each.stream.seek(0)
    added = [
        await add(session, each, f"{key}-{number}" if key else None) for number, each in enumerate(chosen)
    ]
    return [event["path"] for event in added]


def listed(session: Session) -> dict[str, Any]:
    """Return the files of a workspace as the API lists them."""
    found = workspace.list_files(session.workspace)
    return {"files": [each._asdict() for each in found.files], "complete": found.is_complete}


async def response_of(session: Session, path: str) -> Response:
    """Return a file of a workspace as a response. Raises NotFound."""
    return _response_of(await asyncio.to_thread(workspace.open_file, session.workspace, path), path)


async def picture(session: Session, name: str) -> Response:
    """Return a picture that is beside the log as a response. Raises NotFound."""
    return _response_of(await asyncio.to_thread(pictures.open_picture, session.directory, name), name)


def can_serve(session: Session) -> bool:
    """Return whether a page can show the files of a session. A copy may have only the log."""
    return not caller().host or os.path.isdir(session.workspace) or pictures.has_any(session.directory)


def _response_of(fd: int, path: str) -> Response:
    file = os.fdopen(fd, "rb", buffering=0)
    size = os.fstat(file.fileno()).st_size
    found = media_type(os.pread(file.fileno(), _HEAD, 0))
    is_picture = found in PICTURES
    body = b"" if request.method == "HEAD" else _pieces(file, size)
    response = Response(body, content_type=found if is_picture else UNKNOWN)
    response.timeout = None
    response.headers["Content-Length"] = str(size)
    how = "inline" if is_picture else "attachment"
    name = quote(path.rpartition("/")[2].encode(errors="surrogateescape"), safe="")
    response.headers["Content-Disposition"] = f"{how}; filename*=UTF-8''{name}"
    return response


async def _pieces(file: RawIOBase, size: int) -> AsyncIterator[bytes]:
    """Yield the first `size` bytes of a file. If it became shorter, the response ends too early."""
    with file:
        sent = 0
        while sent < size and (piece := await asyncio.to_thread(file.read, min(PIECE, size - sent))):
            sent += len(piece)
            yield piece
