"""Writes the results as tables into docs/performance.md, between two markers, and the plots into files beside it."""

from collections.abc import Iterator
from pathlib import Path

from tests.bench import plot
from tests.bench.bench import Sizes
from tests.bench.results import Cell, Results, ratios, spread
from tests.bench.workloads import ALL, Workload

BEGIN = "<!-- bench:begin -->"
END = "<!-- bench:end -->"


def write(results: Results, page: Path) -> None:
    """Write the tables between the markers of `page`, and the plots into the folder with its name.

    Raises ValueError if the page has no markers.
    """
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    _, marker, after = rest.partition(END)
    if not marker:
        raise ValueError(f"{page}: expected the markers {BEGIN} and {END}")
    plots = page.with_suffix("")
    plots.mkdir(exist_ok=True)
    parts = [part for name in ALL if name in results.workloads for part in _section(results, name, plots)]
    page.write_text(f"{before}{BEGIN}\n\n{chr(10).join(parts)}\n{END}{after}")


def _section(results: Results, name: str, plots: Path) -> Iterator[str]:
    workload, taken = ALL[name], results.workloads[name]
    sizes = Sizes(**taken["sizes"])
    values = results.values(name)
    yield f"## {workload.title}\n"
    yield workload.note.format(**taken["sizes"], many=max(sizes.readers)) + "\n"
    yield from _table(values, workload)
    yield ""
    for file_name, svg in plot.draw(name, workload.title, values):
        (plots / file_name).write_text(svg)
        yield f"![{workload.title}]({plots.name}/{file_name})\n"
    yield _circumstances(taken["taken"], taken["machine"], sizes.rounds)


def _circumstances(day: str, machine: dict[str, str], rounds: int) -> str:
    what = f"{machine['processor']}, {machine['cores']} cores, {machine['memory']}, Linux {machine['kernel']}"
    times = f"{rounds} rounds, interleaved" if rounds > 1 else "one round"
    when = f"{day}, {what}, Python {machine['python']}, load {machine['load']}"
    return f"*{when}; {times}; median (lowest to highest).*\n"


def _table(values: dict[Cell, dict[int, float]], workload: Workload) -> Iterator[str]:
    columns = list(dict.fromkeys((case, metric) for case, metric, _ in values))
    servers = list(dict.fromkeys(server for _, _, server in values))
    yield f"| | {' | '.join(f'{case}: {metric}' for case, metric in columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for server in servers:
        cells = [_cell(values, (case, metric, server), workload.reference) for case, metric in columns]
        yield f"| {server} | {' | '.join(cells)} |"


def _cell(values: dict[Cell, dict[int, float]], cell: Cell, reference: str | None) -> str:
    if not (found := values.get(cell)):
        return ""
    text = _show(list(found.values()))
    if reference and cell[2] != reference and (compared := ratios(values, cell, reference)):
        text += f"<br>{_show(compared)} x"
    return text


def _show(values: list[float]) -> str:
    found = spread(values)
    text = f"**{number(found.middle)}**"
    return text if found.taken == 1 else f"{text} ({number(found.low)} to {number(found.high)})"


def number(value: float) -> str:
    """Return a number with two or three significant digits and no exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"
