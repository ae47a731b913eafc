"""Charts as SVG: columns by day, and the timeline of a turn. Pure.

A chart has no text: a table beside it has the numbers. In a timeline each bar is a link with a name. Nothing in it is a
style or a script, which the page's policy refuses (docs/decisions/11-charts-of-our-own.md). The style sheet colours the
classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from breakglass.text import visible

HEIGHT = 120
"""Of a chart of columns, in its own units."""
_STEP, _WIDTH = 24, 18
_ROW = 14
_CLASSES = {"ok": "good", "cancelled": "neutral"}
"""The class of each part of a column by its name; every other status of a turn is a failure."""


def columns(rows: Sequence[Mapping[str, float]]) -> Markup:
    """Return a column for each row, its parts one above the other. A part's name says its class."""
    tallest = max((sum(parts.values()) for parts in rows), default=0)
    drawn = []
    for number, parts in enumerate(rows):
        below = 0.0
        for name in sorted(parts, key=lambda each: list(_CLASSES).index(each) if each in _CLASSES else 9):
            height = parts[name] / tallest * HEIGHT if tallest else 0
            below += height
            shown = _CLASSES.get(name, name if name == "amount" else "bad")
            drawn.append(
                f'<rect class="{shown}" x="{number * _STEP}" y="{HEIGHT - below:.1f}" width="{_WIDTH}"'
                f' height="{height:.1f}"/>'
            )
    return _svg("columns", max(1, len(rows)) * _STEP, HEIGHT, drawn)


def bar(part: float) -> Markup:
    """Return one bar that is filled to a part from 0 to 1."""
    return _svg(
        "part", 100, 8, [f'<rect class="amount" width="{max(0.0, min(1.0, part)) * 100:.1f}" height="8"/>']
    )


def turn(spans: Sequence[Mapping[str, Any]], seconds: float, url: str) -> Markup:
    """Return the spans of a turn as bars, each a link to its line. Spans that overlap are in rows of their own.

    `url` is the address of the session.
    """
    length = seconds or 1.0
    ends: list[float] = []
    drawn = []
    for span in spans:
        begin, end = float(span["begin"]), float(span["end"])
        row = next((number for number, until in enumerate(ends) if until <= begin), len(ends))
        ends[row : row + 1] = [max(end, begin + length / 200)]
        x, width = begin / length * 1000, max(3.0, (end - begin) / length * 1000)
        line = int(span["line"])
        link = Markup('<a href="{}?around={}#e{}"><title>{}</title>').format(
            url, line, line, visible(f"{span['label']}: {end - begin:.1f} s, line {line}")
        )
        drawn.append(
            f'{link}<rect class="{_KINDS[span["kind"]]}" x="{x:.1f}" y="{row * _ROW}" width="{width:.1f}"'
            f' height="{_ROW - 2}"/></a>'
        )
    return _svg(
        "turn", 1003, max(1, len(ends)) * _ROW, drawn, how='role="group" aria-label="Timeline of the turn"'
    )


_KINDS = {"tool": "amount", "wait": "neutral", "retry": "bad"}


def _svg(name: str, width: int, height: int, drawn: Sequence[str], how: str = 'aria-hidden="true"') -> Markup:
    head = f'<svg class="chart {name}" viewBox="0 0 {width} {height}" preserveAspectRatio="none" {how}>'
    return Markup(head + "".join(drawn) + "</svg>")  # nosec B704 # numbers, our own classes, and escaped labels
