"""The results as a JSON file under .cache. A later run of some workloads replaces only their results."""

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
    """The median, the lowest and the highest of some values, and how many there were."""

    middle: float
    low: float
    high: float
    taken: int


class Results:
    """The results of each workload that was run: samples, sizes, day and machine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.workloads: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}

    def put(self, workload: str, samples: list[Sample], sizes: Sizes) -> None:
        """Replace the results of a workload, and write the file."""
        self.workloads[workload] = {
            "taken": time.strftime("%Y-%m-%d"),
            "machine": machine.describe(),
            "sizes": sizes._asdict(),
            "samples": [sample._asdict() for sample in samples],
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.workloads, indent=1, ensure_ascii=False) + "\n")

    def values(self, workload: str) -> dict[Cell, dict[int, float]]:
        """Return the values of a workload by cell and round. The cells are in the order of measurement."""
        found: dict[Cell, dict[int, float]] = defaultdict(dict)
        for each in self.workloads[workload]["samples"]:
            found[each["case"], each["metric"], each["server"]][each["round"]] = each["value"]
        return found


def spread(values: list[float]) -> Spread:
    """Return the spread of at least one value."""
    return Spread(statistics.median(values), min(values), max(values), len(values))


def ratios(values: dict[Cell, dict[int, float]], cell: Cell, reference: str) -> list[float]:
    """Return the ratios of a cell's values to those of the reference, round by round, for rounds that have both."""
    case, metric, _ = cell
    others = values.get((case, metric, reference), {})
    return [value / others[number] for number, value in values[cell].items() if others.get(number)]
