"""The workloads, one module each, with `NAME`, `TITLE`, `NOTE`, `REFERENCE` and `run`, which yields samples."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.bench.bench import Bench, Sample
from tests.bench.workloads import (
    append,
    growth,
    idle,
    listing,
    live,
    memory,
    reconnect,
    relaying,
    replay,
    small,
    start,
    verifying,
)


class Workload(NamedTuple):
    """One kind of workload."""

    title: str
    note: str
    """What was done. The report fills in the sizes of the run."""
    reference: str | None
    """The server with which the others are compared, round by round."""
    run: Callable[[Bench], Iterator[Sample]]


ALL: dict[str, Workload] = {
    module.NAME: Workload(module.TITLE, module.NOTE, module.REFERENCE, module.run)
    for module in (
        replay,
        reconnect,
        live,
        memory,
        append,
        start,
        listing,
        verifying,
        relaying,
        idle,
        growth,
        small,
    )
}
"""Workloads by their names on the command line, in the order of the report."""
