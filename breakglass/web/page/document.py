"""A session as one HTML file that needs no network and runs no script, from the templates of the page."""

from base64 import b64encode
from collections.abc import Iterable, Iterator

from breakglass.events import Event
from breakglass.store import pictures, workspace
from breakglass.store.sessions import Session
from breakglass.uploads import PICTURES, is_upload, media_type
from breakglass.web.page import fragments, render


def document(
    events: Iterable[Event], *, session: str, title: str, host: str, files: Session | None = None
) -> Iterator[str]:
    """Yield the parts of the file. Nothing is folded, and nothing can be answered.

    `files` is the session whose pictures are in the file, None for none. A log can name the same picture many times,
    so the file has about as many bytes of pictures as a session may have.
    """
    before, after = render.document_frame(session=session, title=title, host=host)
    yield before
    room = pictures.MAX_TOTAL
    for event in events:
        addresses = dict(_pictures(files, event)) if files and room > 0 else {}
        room -= sum(map(len, addresses.values()))
        yield fragments.fragment(event, whole=True, settled=True, addresses=addresses) + "\n"
    yield after


def _pictures(session: Session, event: Event) -> Iterator[tuple[str, str]]:
    """Yield the path of each picture that an event names with its bytes as a `data:` address, if it is unchanged."""
    found = [(path, pictures.read(session.directory, path)) for path in pictures.named_in(event)]
    if (
        event.get("kind") == "file"
        and is_upload(path := event.get("path"))
        and str(event.get("type")) in PICTURES
    ):
        found.append((path, workspace.read_recorded(session.workspace, event)))
    for path, data in found:
        if (kind := media_type(data)) in PICTURES:  # so no address is a page
            yield path, f"data:{kind};base64,{b64encode(data).decode()}"
