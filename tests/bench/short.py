"""The short run: some minutes, and one line for each cost that a change may not raise without notice."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.bench.bench import Sizes
from tests.bench.report import number
from tests.bench.results import Results, ratios, spread

SHORT = Sizes(
    rounds=3,
    logs=(1_000,),
    followers=(100, 1_000),
    appends=60,
    idle=(1_000,),
    stalled=0,
    lists=(10,),
)
CHANGED: dict[str, dict[str, Any]] = {"growth": {"logs": (5_000_000,)}}
"""Other sizes of single workloads."""
WORKLOADS = ["replay", "reconnect", "live", "memory", "listing", "growth", "verify"]
SERVERS = ["ours", "bare", "nginx", "nchan"]
LEFT_OUT = {"replay": ["nchan"]}
"""Servers that a workload leaves out: one replay by nchan takes half a minute."""

BARE, NGINX, NCHAN = "bare asyncio", "nginx, static file", "nginx, nchan"


class Row(NamedTuple):
    """One line: a cost of ours, and those with which it is compared."""

    work: str
    workload: str
    case: str
    metric: str
    others: tuple[str, ...] = ()
    goal: str = ""


ROWS = (
    Row("append to 1,000 followers", "live", "1,000 followers", "cpu, µs", (BARE, NCHAN), "1.4 x bare"),
    Row("append to 1,000 followers", "live", "1,000 followers", "p50, ms", (BARE, NCHAN), "1.4 x bare"),
    Row("append to 100 followers", "live", "100 followers", "cpu, µs", (BARE, NCHAN), "2 x bare"),
    Row("append to 100 followers", "live", "100 followers", "p50, ms", (BARE, NCHAN), "1.8 x bare"),
    Row("replay, cold", "replay", "1 reader, cold", "time, ms", (BARE, NGINX), "1.5 x bare"),
    Row("replay, warm", "replay", "1 reader", "time, ms", (BARE, NGINX), "1.3 x nginx"),
    Row("replay, warm, 50 readers", "replay", "50 readers", "time, ms", (BARE, NGINX), "1.2 x nginx"),
    Row("reconnect near the end", "reconnect", "1,000 events", "cpu, ms", (), "1.5 ms"),
    Row("an idle client", "memory", "1,000 idle", "KiB each", (BARE, NCHAN), "20 KiB"),
    Row("list of 10,000 sessions, first", "listing", "list", "cpu first, ms", (), "700 ms"),
    Row("list of 10,000 sessions, again", "listing", "list", "cpu again, ms", (), "60 ms"),
    Row("page beside 10,000 sessions, again", "listing", "page", "cpu again, ms", (), "60 ms"),
    Row("first prompt, 5 million events", "growth", "5,000,000 events", "prompt, first, ms", (), "300 ms"),
    Row("verify, a million lines", "verify", "one log", "cpu, ms", ("jq",), "1.2 x jq"),
)


def servers_of(workload: str) -> list[str]:
    """Return the names of the servers that a workload compares."""
    return [name for name in SERVERS if name not in LEFT_OUT.get(workload, ())]


def lines(results: Results) -> Iterator[str]:
    """Yield a table of the medians of our costs, and of their ratios to others in the same round."""
    yield f"{'work':36}{'cost':19}{'ours':>8}  {'ratios':50}goal"
    for row in ROWS:
        values = results.values(row.workload) if row.workload in results.workloads else {}
        own = row.case, row.metric, "breakglass"
        if own not in values:
            continue
        compared = {other: ratios(values, own, other) for other in row.others}
        shown = [f"{number(spread(found).middle)} x {other}" for other, found in compared.items() if found]
        ours = number(spread([*values[own].values()]).middle)
        yield f"{row.work:36}{row.metric:19}{ours:>8}  {', '.join(shown):50}{row.goal}"
