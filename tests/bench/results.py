"""What was measured: kept as JSON under .cache, a later run of some of the work replacing just that."""

import json
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench import machine
from tests.bench.bench import Sample, Sizes

Cell = tuple[str, str, str]
"""A case, a metric and a server."""


class Spread(NamedTuple):
    """A median and the extremes."""

    middle: float
    low: float
    high: float
    taken: int


class Results:
    """All works that were run, each with its samples, its sizes, the day and the machine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.works: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}

    def put(self, work: str, samples: list[Sample], sizes: Sizes) -> None:
        """Replace what is known of a work, and write everything down."""
        self.works[work] = {
            "taken": time.strftime("%Y-%m-%d"),
            "machine": machine.describe(),
            "sizes": sizes._asdict(),
            "samples": [sample._asdict() for sample in samples],
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.works, indent=1, ensure_ascii=False) + "\n")

    def values(self, work: str) -> dict[Cell, dict[int, float]]:
        """Return the values of a work by cell and round, cells in the order in which they were measured."""
        found: dict[Cell, dict[int, float]] = defaultdict(dict)
        for each in self.works[work]["samples"]:
            found[each["case"], each["metric"], each["server"]][each["round"]] = each["value"]
        return found


def spread(values: list[float]) -> Spread:
    """Return the median and the extremes of some values, at least one."""
    return Spread(statistics.median(values), min(values), max(values), len(values))


def ratios(values: dict[Cell, dict[int, float]], cell: Cell, reference: str) -> list[float]:
    """Return a cell's values over the reference's of the same round, where there are such."""
    case, metric, _ = cell
    others = values.get((case, metric, reference), {})
    return [value / others[number] for number, value in values[cell].items() if others.get(number)]
