"""`breakglass hosts`, the API and the page: badges that are true, those that ask first, and many hosts at once."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakglass.store import fleet, sessions
from breakglass.store import root as data_root
from tests.cli.program import Data
from tests.help.servers import Server, serving

NOW = 1_800_000_000.0
GOOD = {"connected": True, "heard": NOW - 3, "behind": 0, "pending": 0, "problems": {}}


@pytest.mark.parametrize(
    ("changed", "written", "state", "told"),
    [
        ({}, NOW - 1, "live", "Live"),
        ({"heard": NOW - 24}, NOW - 1, "live", "Live"),
        ({"heard": NOW - 26}, NOW - 1, "lost", "Not heard since 07:59:34 UTC"),
        ({"heard": 0}, NOW - 1, "lost", "Not heard yet"),
        ({"connected": False}, NOW - 1, "lost", "No link to the engine; not heard since 07:59:57 UTC"),
        ({"behind": 2048}, NOW - 1, "behind", "Behind · 2 KB"),
        ({"behind": 2048, "behind_lines": 312}, NOW - 1, "behind", "Behind · 312 lines"),
        ({"behind": 20, "behind_lines": 1}, NOW - 1, "behind", "Behind · 1 line"),
        ({"pending": 7}, NOW - 1, "behind", "Behind"),
        (
            {"fenced": "db1-clone", "fenced_at": NOW - 60},
            NOW - 1,
            "fenced",
            "Fenced · db1-clone claims this name too",
        ),
        ({"fenced": "db1-clone", "fenced_at": NOW - 3700}, NOW - 1, "live", "Live"),
        ({"unread": 1}, NOW - 1, "behind", "Behind · 1 log cannot be read there"),
        ({"unread": 2, "behind": 2048}, NOW - 1, "behind", "Behind · 2 logs cannot be read there"),
        ({"problems": {"x": "other bytes"}}, NOW - 1, "diverged", "Diverged"),
        ({}, NOW - 60, "stopped", "The mirror stopped at 07:59:00 UTC"),
    ],
)
def test_a_badge_says_live_only_if_all_is_well(
    changed: dict[str, object], written: float, state: str, told: str
) -> None:
    found = fleet.link({"written": written, "hosts": {"db1": GOOD | changed}}, "db1", NOW)
    assert (found.state, found.told) == (state, told)


def test_what_runs_and_asks_is_what_the_host_says_while_it_is_heard() -> None:
    told = GOOD | {"running": 3, "asking": 2, "generation": 2, "version": "0.2.0", "free": 5 << 30}
    row = fleet.Host("db1", fleet.link({"written": NOW, "hosts": {"db1": told}}, "db1", NOW), []).described()
    assert (row["running"], row["asking"], row["generation"], row["behind_lines"]) == (3, 2, 2, 0)
    assert (row["version"], row["free_bytes"]) == ("0.2.0", 5 << 30)
    silent = fleet.link({"written": NOW, "hosts": {"db1": told | {"heard": NOW - 60}}}, "db1", NOW)
    assert fleet.Host("db1", silent, []).running == 0, "as of the copy"


def test_a_copy_that_no_mirror_writes_is_called_a_copy() -> None:
    assert fleet.link({}, "db1", NOW).told == "Copy, as far as it was received"


def add(root: Path, host: str, *, running: bool, asking: bool) -> None:
    session = sessions.create(root / "x" / host, "shell", title=f"on {host}")
    with session.open_log() as log:
        if running:
            log.append("user", text="go", by="ann")
        if asking:
            until = "2126-01-01T00:00:00.000Z"
            log.append("permission", turn=2, request="r", name="Bash", input={}, expires=until)
    (root / "hosts").mkdir(exist_ok=True)
    (root / "x" / host).rename(root / "hosts" / host)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Data:
    data = Data(tmp_path_factory.mktemp("hub"))
    data_root.prepare(data.root)
    (data.root / "x").mkdir()
    add(data.root, "a-idle", running=False, asking=False)
    add(data.root, "b-runs", running=True, asking=False)
    add(data.root, "c-asks", running=True, asking=True)
    now = time.time()
    known = {"connected": True, "heard": now, "behind": 0, "pending": 0, "problems": {}}
    status = {
        "written": now + 1e6,
        "hosts": {"a-idle": {**known, "heard": 0}, "b-runs": {**known, "heard": now + 1e6}},
    }
    (data.root / "hosts" / "status.json").write_text(json.dumps(status))
    return data


@pytest.fixture(scope="module")
def server(hub: Data) -> Iterator[Server]:
    with serving(hub.root) as started:
        yield started


def test_hosts_that_ask_come_first_and_then_those_in_which_turns_run(hub: Data, server: Server) -> None:
    rows = hub.json("hosts")
    assert [(row["host"], row["link"], row["running"], row["asking"]) for row in rows] == [
        ("c-asks", "copy", 1, 1),
        ("b-runs", "live", 1, 0),
        ("a-idle", "lost", 0, 0),
    ]
    assert server.ask("GET", "/api/hosts")[1]["hosts"] == rows
    lines = hub.ok("hosts").splitlines()
    assert [line.split()[1] for line in lines] == ["c-asks", "b-runs", "a-idle"]
    assert lines[1].startswith("✓ b-runs  Live ")


def test_the_page_has_the_sessions_of_all_hosts_in_one_list(server: Server) -> None:
    page = server.ask("GET", "/hosts")[1].decode()
    places = [page.index(f"/hosts/{name}/sessions/") for name in ("c-asks", "b-runs", "a-idle")]
    assert places == sorted(places)
    assert "a-idle · Not heard yet" in page
    assert server.ask("GET", "/hosts", headers={"Authorization": "", "Accept": "text/html"})[0] == 303


def test_without_hosts_the_list_is_empty_and_says_how_to_begin(tmp_path: Path) -> None:
    data = Data(tmp_path)
    data_root.prepare(data.root)
    done = data.run("hosts")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"docs/fleet.md says how to begin" in done.stderr
    assert data.json("hosts") == []


@pytest.mark.bench
def test_300_hosts_and_10000_sessions_are_listed_in_a_second(tmp_path: Path) -> None:
    session = sessions.create(tmp_path / "x", "shell")
    line = Path(session.directory, "events.jsonl").read_bytes()
    for host in range(300):
        for number in range(34):
            folder = (
                tmp_path
                / "hosts"
                / f"h{host}"
                / "sessions"
                / f"00000000-0000-4000-8000-{host:06d}{number:06d}"
            )
            folder.mkdir(parents=True)
            (folder / "events.jsonl").write_bytes(line)
    began = time.process_time()
    fleet.list_hosts(tmp_path, time.time())
    first = time.process_time() - began
    began = time.process_time()
    found = fleet.list_hosts(tmp_path, time.time())
    seconds = time.process_time() - began
    print(f"{len(found)} hosts, 10,200 sessions: {first:.2f} s of CPU time at first, then {seconds:.2f} s")
    assert sum(len(host.sessions) for host in found) == 10_200
    assert seconds < 1
