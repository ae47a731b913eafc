"""The work, one module a kind: `TITLE`, `NOTE`, and `run`, which yields samples."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.bench.bench import Bench, Sample
from tests.bench.works import (
    append,
    growth,
    idle,
    listing,
    live,
    memory,
    reconnect,
    replay,
    small,
    start,
)


class Work(NamedTuple):
    """One kind of work."""

    title: str
    note: str
    """What was done, in which the run's sizes are filled in."""
    reference: str | None
    """The server that the others are compared with, round by round."""
    run: Callable[[Bench], Iterator[Sample]]


ALL: dict[str, Work] = {
    module.WORK: Work(module.TITLE, module.NOTE, module.REFERENCE, module.run)
    for module in (replay, reconnect, live, memory, append, start, listing, idle, growth, small)
}
"""By the word that the command line has for it, in the order of the report."""
