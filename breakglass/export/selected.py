"""Which events a document shows, and what it leaves out of them. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any

from breakglass.events import Event
from breakglass.masking import Masker
from breakglass.text import size

_OWN = ("id", "ts", "kind")


def between(events: Iterable[Event], first: int, last: int | None) -> Iterator[Event]:
    """Yield the events on the lines `first` to `last`."""
    for event in events:
        if last is not None and event["id"] > last:
            return
        if event["id"] >= first:
            yield event


def redacted(events: Iterable[Event], masker: Masker) -> Iterator[Event]:
    """Yield the events without the output of tools and without streamed pieces, known secrets masked once more.

    A prompt is masked too. The finished text repeats what the pieces have, so they only make a document longer.
    """
    for event in events:
        kind = event["kind"]
        if kind == "delta":
            continue
        fields: dict[str, Any] = {key: value for key, value in event.items() if key not in _OWN}
        if kind == "tool_result":
            output = fields.get("output")
            length = len(output.encode(errors="replace")) if isinstance(output, str) else 0
            fields["output"] = f"[{size(length)} of output left out]"
            fields.pop("pictures", None)
        own = {key: event[key] for key in _OWN if key in event}
        for _, masked in [*masker.take([(kind, fields)]), *masker.flush()]:
            yield {**own, **masked}
