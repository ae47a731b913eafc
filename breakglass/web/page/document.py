"""A session as one HTML file that needs no network and runs no script, from the templates of the page."""

from base64 import b64encode
from collections.abc import Iterable, Iterator

from breakglass.events import Event
from breakglass.store import workspace
from breakglass.uploads import PICTURES
from breakglass.web.page import fragments, render


def document(
    events: Iterable[Event], *, session: str, title: str, host: str, directory: str = ""
) -> Iterator[str]:
    """Yield the parts of the file. Nothing is folded, and nothing can be answered.

    `directory` is the workspace of the session, whose pictures are in the file; "" for none.
    """
    before, after = render.document_frame(session=session, title=title, host=host)
    yield before
    for event in events:
        yield fragments.fragment(event, whole=True, settled=True, address=_picture(directory, event)) + "\n"
    yield after


def _picture(directory: str, event: Event) -> str:
    """Return the picture that a `file` event recorded as a `data:` address, "" if it is none or is not there."""
    if not directory or event.get("kind") != "file" or event.get("type") not in PICTURES:
        return ""
    data = workspace.read_recorded(directory, event)
    return f"data:{event['type']};base64,{b64encode(data).decode()}" if data else ""
