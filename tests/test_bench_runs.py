"""The bench runs with small sizes: each workload writes its results and its page. Times are not checked."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.bench import __main__ as command_line
from tests.bench import client, plot, report, short, workloads
from tests.bench.bench import QUICK, Sample
from tests.bench.client import Request, ServerFailed
from tests.bench.environment import COMPARATORS
from tests.bench.results import Results, Spread, ratios, spread
from tests.help.servers import serving

PAGE = f"# Performance\n\n{report.BEGIN}\nsuperseded\n{report.END}\n\nBy hand.\n"
MEASURED = {
    "replay": {"1 reader, cold", *(f"{n} reader{'s' * (n > 1)}" for n in QUICK.readers)},
    "reconnect": {f"{count:,} events" for count in QUICK.logs},
    "live": {f"{n} follower{'s' * (n > 1)}" for n in QUICK.followers},
    "memory": {*(f"{n} idle" for n in QUICK.idle), f"{QUICK.stalled} stalled"},
    "append": {f"{n} writer{'s' * (n > 1)}" for n in QUICK.writers},
    "start": {"server", "turn"},
    "listing": {"list"},
    "verify": {"one log"},
    "growth": {f"{count:,} events" for count in QUICK.logs} | {f"{count} sessions" for count in QUICK.lists},
    "small": {"start", "1 reader", f"{max(QUICK.idle)} attached"},
    "relay": {"ship", "mirror", "engine", "append to copy", "idle", "list"},
    "idle": {"no client", "one client", f"{max(QUICK.readers)} followers"},
}
"""The cases of each workload that a quick run must measure for our server."""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page with the markers."""
    path = tmp_path / "performance.md"
    path.write_text(PAGE)
    return path


@pytest.mark.parametrize(
    "workload",
    ["append", *(pytest.param(each, marks=pytest.mark.bench) for each in workloads.ALL if each != "append")],
)
def test_each_workload_measures_our_server_and_another(workload: str, tmp_path: Path, page: Path) -> None:
    """The other server is `bare`, because it needs nothing but Python."""
    results = tmp_path / "results.json"
    arguments = ["--quick", "--only", workload, "--servers", "ours,bare", "--rounds", "1"]
    assert command_line.main([*arguments, "--results", str(results), "--page", str(page)]) == 0
    samples = json.loads(results.read_text())[workload]["samples"]
    ours = [sample for sample in samples if sample["server"] == "breakglass"]
    assert {sample["case"] for sample in ours} >= MEASURED[workload]
    assert all(sample["value"] >= 0 for sample in samples if not may_be_negative(sample))
    text = page.read_text()
    assert workloads.ALL[workload].title in text
    assert "| breakglass |" in text
    assert text.endswith("By hand.\n")
    assert "superseded" not in text


def may_be_negative(sample: dict[str, Any]) -> bool:
    """Memory may shrink, and on a busy machine the agent may print before the client reads the 202.

    The cost of a start is left out of that of shipping, and little is shipped here.
    """
    return bool(sample["workload"] == "memory" or sample["metric"] in ("202 to agent, ms", "cpu, ms a MB"))


@pytest.mark.parametrize("lock", ["requirements.lock", "package-lock.json"])
def test_the_lock_files_of_the_other_designs_have_hashes_and_name_no_host(lock: str) -> None:
    text = (COMPARATORS / lock).read_text()
    assert "sha512-" in text or "--hash=sha256:" in text
    assert "://" not in re.sub('"url": "[^"]*"', "", text)  # a package's address for donations


def test_a_page_without_markers_is_refused_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("nothing of the sort")
    with pytest.raises(ValueError, match="expected the markers"):
        report.write(Results(tmp_path / "none.json"), path)
    assert path.read_text() == "nothing of the sort"


def test_the_short_run_prints_each_cost_with_its_ratios_and_its_goal(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.json")
    for row in short.ROWS:
        costs = {"breakglass": 3.0, **dict.fromkeys(row.others, 2.0)}
        known = results.workloads.get(row.workload, {"samples": []})["samples"]
        samples = [Sample(row.workload, row.case, row.metric, name, 0, cost) for name, cost in costs.items()]
        results.put(row.workload, [*(Sample(**each) for each in known), *samples], short.SHORT)
    head, *lines = short.lines(results)
    assert head.split() == ["work", "cost", "ours", "ratios", "goal"]
    assert len(lines) == len(short.ROWS)
    assert re.fullmatch(r"verify, a million lines +cpu, ms +3.00  1.50 x jq +1.2 x jq", lines[-1])
    assert [*short.lines(Results(tmp_path / "none.json"))] == [head]


def test_a_later_run_replaces_only_the_workloads_that_it_ran(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    Results(path).put("replay", [], QUICK)
    Results(path).put("live", [], QUICK)
    assert set(Results(path).workloads) == {"replay", "live"}


def test_ratios_are_taken_round_by_round() -> None:
    values = {("c", "m", "a"): {0: 2.0, 1: 9.0, 2: 1.0}, ("c", "m", "b"): {0: 1.0, 1: 3.0}}
    assert ratios(values, ("c", "m", "a"), "b") == [2.0, 3.0]


def test_a_stream_of_too_few_events_is_a_failure(tmp_path: Path) -> None:
    """Otherwise a server that sends less would look faster."""
    with serving(tmp_path / "data") as server:
        request = Request(server.port, "/health", {})
        with pytest.raises(ServerFailed, match="expected 5 lines, got 0"):
            client.verify(request, 5)


def test_a_plot_shows_every_server_and_escapes_its_name() -> None:
    point = plot.Point(1, spread([1.0, 3.0, 2.0]))
    assert point.y == Spread(2.0, 1.0, 3.0, 3)
    svg = plot.render("Title", "readers", {"a<b": [point], "other": [plot.Point(10, spread([5.0]))]})
    assert "a&lt;b" in svg
    assert svg.count("<circle") == 2


@pytest.mark.parametrize(
    ("value", "shown"),
    [(12345.6, "12,346"), (99.95, "100.0"), (12.34, "12.3"), (1.234, "1.23"), (0.01234, "0.012")],
)
def test_numbers_are_shown_with_about_three_digits(value: float, shown: str) -> None:
    assert report.number(value) == shown
