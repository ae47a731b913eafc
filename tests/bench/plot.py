"""Plots as SVG without a library: medians on logarithmic axes, with bars from the lowest to the highest value."""

import math
import re
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from tests.bench.results import Cell, Spread, spread

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT = 760, 360, 70, 40, 50, 190
COLOURS = ("#0b5fff", "#5aa0ff", "#8a8a8a", "#d1495b", "#edae49", "#2e933c", "#00798c", "#7b2cbf")
DRAWN = {
    "replay": ("time, ms",),
    "reconnect": ("fresh, ms", "again, ms"),
    "live": ("p50, ms", "cpu, µs"),
    "memory": ("KiB each",),
    "append": ("unsynced, µs", "synced, µs"),
    "growth": (
        "replay, first, ms",
        "replay, ms",
        "prompt, first, ms",
        "prompt, ms",
        "list, ms",
        "page, ms",
    ),
}
"""The metrics of each workload that are drawn, over the number in their cases."""
EXPECTED_POWERS = {
    "reconnect again, ms": 0,
    "reconnect fresh, ms": 0,
    "live p50, ms": 1,
    "memory KiB each": 0,
    "growth replay, first, ms": 1,
    "growth replay, ms": 1,
    "growth prompt, first, ms": 1,
    "growth prompt, ms": 0,
    "growth list, ms": 1,
    "growth page, ms": 1,
}
"""How a cost should grow: 0 is constant, 1 in proportion. A dashed line through our last point shows that."""
AXES = {"idle": "idle clients"}
"""The titles of axes that are not the plural of the word in the case."""


class Point(NamedTuple):
    """A measured value `y` for a number `x` of clients, events or sessions."""

    x: float
    y: Spread


Series = dict[str, list[Point]]


def draw(workload: str, title: str, values: dict[Cell, dict[int, float]]) -> Iterator[tuple[str, str]]:
    """Yield the file name and the SVG of each plot of a workload."""
    for metric in DRAWN.get(workload, ()):
        series = _series(values, metric)
        if any(series.values()):
            name = re.sub("[^a-z0-9]+", "-", f"{workload} {metric}".lower()).strip("-") + ".svg"
            yield (
                name,
                render(
                    f"{title}: {metric}",
                    _axis(values, metric),
                    series,
                    EXPECTED_POWERS.get(f"{workload} {metric}"),
                ),
            )


def _series(values: dict[Cell, dict[int, float]], metric: str) -> Series:
    series: Series = {}
    for (case, measured, server), found in values.items():
        if measured == metric and (x := _number(case)) is not None:
            series.setdefault(server, []).append(Point(x, spread(list(found.values()))))
    return {server: sorted(points) for server, points in series.items()}


def _number(case: str) -> float | None:
    """Return the number of a case such as `1,000 followers`; None for others, such as `1 reader, cold`."""
    found = re.fullmatch(r"([0-9,]+) (?:readers?|events|followers?|idle|writers?|sessions)", case)
    return float(found[1].replace(",", "")) if found else None


def _axis(values: dict[Cell, dict[int, float]], metric: str) -> str:
    case = next(case for case, measured, _ in values if measured == metric and _number(case) is not None)
    return AXES.get(case.split(" ")[1], case.split(" ")[1].rstrip("s") + "s")


def render(title: str, x_title: str, series: Series, power: int | None = None) -> str:
    """Return an SVG of these series. With `power` it shows how the first of them should grow."""
    points = [point for each in series.values() for point in each]
    across = _Scale([point.x for point in points], LEFT, WIDTH - RIGHT)
    up = _Scale([y for point in points for y in (point.y.low, point.y.high)], HEIGHT - BOTTOM, TOP)
    parts = [_text(LEFT, 22, title, "font-weight='bold'")]
    parts += [_text(WIDTH - RIGHT, HEIGHT - 12, x_title, "text-anchor='end'")]
    for tick in sorted({point.x for point in points}):
        parts.append(_text(across(tick), HEIGHT - BOTTOM + 18, f"{tick:,.0f}", "text-anchor='middle'"))
    for tick in up.decades():
        parts.append(_line(LEFT, up(tick), WIDTH - RIGHT, up(tick), "#ddd"))
        parts.append(_text(LEFT - 8, up(tick) + 4, f"{tick:g}", "text-anchor='end'"))
    if power is not None:
        parts += _expected_growth(next(iter(series.values())), power, across, up)
        y = TOP + 20 * len(series)
        parts.append(_dashed(WIDTH - RIGHT + 16, y, WIDTH - RIGHT + 36, y))
        parts.append(_text(WIDTH - RIGHT + 42, y + 4, "in proportion" if power else "constant"))
    for index, (name, each) in enumerate(series.items()):
        parts += _curve(each, across, up, COLOURS[index % len(COLOURS)])
        y = TOP + 20 * index
        parts.append(_line(WIDTH - RIGHT + 16, y, WIDTH - RIGHT + 36, y, COLOURS[index % len(COLOURS)], 3))
        parts.append(_text(WIDTH - RIGHT + 42, y + 4, name))
    body = "\n".join(parts)
    head = f"viewBox='0 0 {WIDTH} {HEIGHT}' font-family='sans-serif' font-size='13'"
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' {head}>\n<rect width='100%' height='100%' fill='#fff'/>\n"
        f"{body}\n</svg>\n"
    )


class _Scale:
    """Maps values to coordinates, logarithmically."""

    def __init__(self, values: list[float], begin: float, end: float) -> None:
        self._low = math.log10(max(min(values), 1e-3)) - 0.05
        self._high = math.log10(max(*values, 2e-3)) + 0.05
        self._begin, self._end = begin, end

    def __call__(self, value: float) -> float:
        share = (math.log10(max(value, 1e-3)) - self._low) / (self._high - self._low)
        return round(self._begin + share * (self._end - self._begin), 1)

    @property
    def least(self) -> float:
        """The value at the start of the axis."""
        return float(10**self._low)

    def decades(self) -> list[float]:
        """Return the powers of ten in the range. If there are few, also two and five times each."""
        powers = range(math.floor(self._low), math.ceil(self._high) + 1)
        steps = (1, 2, 5) if self._high - self._low < 2.5 else (1,)
        ticks = [step * 10.0**power for power in powers for step in steps]
        return [tick for tick in ticks if self._low <= math.log10(tick) <= self._high]


def _curve(points: list[Point], across: _Scale, up: _Scale, colour: str) -> Iterator[str]:
    path = " ".join(f"{across(point.x)},{up(point.y.middle)}" for point in points)
    yield f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>"
    for point in points:
        x = across(point.x)
        yield _line(x, up(point.y.low), x, up(point.y.high), colour)
        yield f"<circle cx='{x}' cy='{up(point.y.middle)}' r='3.5' fill='{colour}'/>"


def _expected_growth(points: list[Point], power: int, across: _Scale, up: _Scale) -> Iterator[str]:
    x, y = points[-1].x, points[-1].y.middle
    first = points[0].x
    if power:  # begin at the point where the line enters the plot
        first = max(first, x * (up.least / y) ** (1 / power))
    begin = y * (first / x) ** power
    yield _dashed(across(first), up(begin), across(x), up(y))


def _dashed(x1: float, y1: float, x2: float, y2: float) -> str:
    return f"<line x1='{x1}' y1='{y1}' x2='{x2}' y2='{y2}' stroke='#999' stroke-dasharray='6 5'/>"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: int = 1) -> str:
    return f"<line x1='{x1}' y1='{y1}' x2='{x2}' y2='{y2}' stroke='{colour}' stroke-width='{width}'/>"


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f"<text x='{x}' y='{y}' {more}>{escape(text)}</text>"
