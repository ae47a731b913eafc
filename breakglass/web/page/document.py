"""A session as one HTML file that needs no network and runs no script, from the templates of the page."""

from collections.abc import Iterable, Iterator

from breakglass.events import Event
from breakglass.web.page import fragments, render


def document(events: Iterable[Event], *, session: str, title: str, host: str) -> Iterator[str]:
    """Yield the parts of the file. Nothing is folded, and nothing can be answered."""
    before, after = render.document_frame(session=session, title=title, host=host)
    yield before
    for event in events:
        yield fragments.fragment(event, whole=True, settled=True) + "\n"
    yield after
