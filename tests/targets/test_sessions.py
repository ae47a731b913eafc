"""A session that is about a target: every place that shows the session names it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import Data
from tests.help.servers import Server, serving

SETTINGS = """
[targets.db1]
ssh = "ops@10.0.10.10"

[actions.look]
command = ["echo", "--on={host}"]
effect = "reads"
params.host = { kind = "target" }
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("about")
    (folder / "settings.toml").write_text(SETTINGS)
    with serving(folder / "var", "--config", str(folder / "settings.toml")) as started:
        yield started


def created(server: Server, session: str) -> dict[str, object]:
    return dict(json.loads(server.log(session).read_bytes().splitlines()[0]))


def get(server: Server, path: str) -> str:
    return bytes(server.ask("GET", path)[1]).decode()


def test_the_command_line_creates_and_lists_a_session_about_a_target(tmp_path: Path) -> None:
    data = Data(tmp_path)
    (tmp_path / "breakglass.toml").write_text(SETTINGS)
    session = data.ok("new", "--target", "db1", "--title", "slow").strip()
    assert data.events(session)[0]["target"] == "db1"
    assert "[target db1] slow" in data.ok("ls")
    assert data.json("ls")[0]["target"] == "db1"
    assert "target db1" in data.ok("log", session)
    assert "target db1" in data.ok("export", session, "--md")
    refused = data.run("new", "--target", "db2")
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert b"there is no target 'db2'; did you mean db1?" in refused.stderr


def test_the_api_creates_a_session_about_a_target_and_refuses_an_unknown_one(server: Server) -> None:
    status, about, _ = server.ask("POST", "/api/sessions", {"target": "db1"})
    assert (status, about["target"]) == (201, "db1")
    assert created(server, about["id"])["target"] == "db1"
    status, here, _ = server.ask("POST", "/api/sessions", {})
    assert (status, here["target"]) == (201, None)
    assert "target" not in created(server, here["id"])
    status, answer, _ = server.ask("POST", "/api/sessions", {"target": "../db1"})
    assert status == 422
    assert "there is no target '../db1'; did you mean db1?" in answer["detail"]
    listed = server.ask("GET", "/api/sessions")[1]["sessions"]
    assert {row["id"]: row["target"] for row in listed}.items() >= {
        about["id"]: "db1",
        here["id"]: None,
    }.items()


def test_the_list_the_title_and_the_prompt_box_name_the_target(server: Server) -> None:
    session = server.ask("POST", "/api/sessions", {"target": "db1", "agent": "claude"})[1]["id"]
    page = get(server, f"/sessions/{session}")
    host = page.split('<p class="host">db1 from ')[1].split("<")[0]
    assert f"<title>New session · db1 from {host}</title>" in page
    assert f'placeholder="What is wrong on db1 from {host}?"' in page
    shell = server.ask("POST", "/api/sessions", {"target": "db1", "agent": "shell"})[1]["id"]
    assert f'placeholder="A command for {host} about db1"' in get(server, f"/sessions/{shell}")
    listed = get(server, "/")
    assert '<option value="">' in listed and "<option>db1</option>" in listed
    assert '<span class="last-line">db1</span>' in listed  # nothing was said yet


def test_an_action_runs_in_a_session_about_its_target(server: Server) -> None:
    started = server.ask("POST", "/api/actions/look", {"params": {"host": "db1"}})[1]
    assert created(server, started["session"])["target"] == "db1"
    about = server.ask("POST", "/api/sessions", {"target": "db1"})[1]["id"]
    assert '<option value="db1" selected>' in get(server, f"/actions/look?session={about}")
