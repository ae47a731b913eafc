"""The vital signs: each probe has a limit, what cannot be measured is unknown, and each prompt records them."""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from breakglass.agents import about
from breakglass.config import Config
from breakglass.config.agents import AgentConfig
from breakglass.store import sessions
from breakglass.turns.begin import submit_prompt
from breakglass.vitals import Sign, Vitals, by_limit, unknown, worst
from breakglass.vitals.agents import agent_probes
from breakglass.vitals.measure import measure
from breakglass.vitals.probes import PROBES, Place, Probe
from tests.help.session_logs import events_of
from tests.help.turns import make_config, wait_for_end
from tests.help.waiting import wait_until

NAMES = "load pressure memory swap oom_kills disk inodes read_only failed_units boot clock data_root".split()


@pytest.fixture(autouse=True)
def no_probe_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("breakglass.vitals.measure._begun", {})


def program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def place(folder: Path) -> Place:
    """Return a place where only the programs in `folder` are found before the others."""
    return Place(folder, {"PATH": f"{folder}:{os.environ['PATH']}"})


def signs(found: Vitals) -> dict[str, Sign]:
    return {each.name: each for each in found.signs}


def test_every_sign_of_the_issue_is_measured(tmp_path: Path) -> None:
    program(tmp_path / "systemctl", "echo nginx.service loaded failed failed A web server; echo b.service x")
    found = signs(measure(place(tmp_path)))
    assert [*found] == NAMES
    assert found["failed_units"] == Sign(
        "failed_units", "Failed units", "bad", "2: nginx.service, b.service", 2
    )
    measured = {name for name, each in found.items() if each.status != "unknown"}
    assert {"load", "memory", "swap", "disk", "inodes", "boot", "data_root", "failed_units"} <= measured


def test_a_probe_that_hangs_costs_two_seconds_and_is_unknown(tmp_path: Path) -> None:
    program(tmp_path / "systemctl", "exec sleep 1000")
    began = time.monotonic()
    found = signs(measure(place(tmp_path)))
    assert time.monotonic() - began < 3.5
    assert found["failed_units"].status == "unknown"
    assert found["failed_units"].text == "unknown: no answer within 2 s"
    assert found["load"].status != "unknown"


def test_a_probe_that_fails_is_unknown(tmp_path: Path) -> None:
    program(tmp_path / "systemctl", "exit 1")
    assert signs(measure(place(tmp_path)))["failed_units"].text == "unknown: systemctl: exit status 1"


def test_a_probe_that_still_hangs_is_not_started_again(tmp_path: Path) -> None:
    gate, count = threading.Event(), []

    def hang(_: Place) -> Sign:
        count.append(1)
        gate.wait()
        return Sign("stuck", "Stuck", "ok", "fine")

    stuck = Probe("stuck", "Stuck", hang)
    for _ in range(3):
        assert signs(measure(place(tmp_path), [stuck], seconds=0.01))["stuck"].status == "unknown"
    assert len(count) == 1
    gate.set()
    wait_until(lambda: signs(measure(place(tmp_path), [stuck]))["stuck"].status == "ok", "the probe")


@pytest.mark.parametrize(
    ("value", "status"), [(0, "ok"), (84.9, "ok"), (85, "warn"), (95, "bad"), (200, "bad")]
)
def test_a_value_is_judged_by_its_limits(value: float, status: str) -> None:
    assert by_limit(value, 85, 95) == status


def test_unknown_is_never_good() -> None:
    found = Vitals("t", (Sign("a", "A", "ok", "1", 1), unknown("b", "B", "it hangs")))
    assert found.worst == "unknown"
    assert found.described()["signs"]["b"] == {
        "label": "B",
        "status": "unknown",
        "text": "unknown: it hangs",
        "value": None,
    }
    assert (worst([]), worst(["bad", "unknown"]), worst(["unknown", "warn"])) == ("ok", "bad", "warn")


# --- agents -----------------------------------------------------------------------------------------


def claude_that_says(folder: Path, answer: dict[str, Any]) -> Config:
    path = program(
        folder / "claude",
        f"case $1 in --version) echo 2.1.330;; auth) echo '{json.dumps(answer)}';; esac",
    )
    agent = AgentConfig("claude", "claude", (path,), "ask")
    return Config(agents={"claude": agent}, agent="claude", environ=dict(os.environ))


LOGINS: dict[str, tuple[dict[str, Any], str, str]] = {
    "ready": ({"loggedIn": True}, "ok", "ready"),
    "not logged in": ({"loggedIn": False}, "bad", "not logged in"),
    "far": ({"loggedIn": True, "loginExpiresAt": (time.time() + 30 * 86400) * 1000}, "ok", "ready"),
    "in days": (
        {"loggedIn": True, "loginExpiresAt": (time.time() + 3.5 * 86400) * 1000},
        "warn",
        "login ends in 3 d",
    ),
    "in hours": (
        {"loggedIn": True, "loginExpiresAt": (time.time() + 5.5 * 3600) * 1000},
        "warn",
        "login ends in 5 h",
    ),
    "past": ({"loggedIn": True, "loginExpiresAt": "2020-01-01T00:00:00Z"}, "bad", "its login has ended"),
    "odd": ({"loggedIn": "yes"}, "unknown", "unknown: it does not say whether it is logged in"),
}


@pytest.mark.parametrize("name", LOGINS)
def test_an_agent_is_ready_or_says_what_is_wrong_with_its_login(name: str, tmp_path: Path) -> None:
    answer, status, text = LOGINS[name]
    (probe,) = agent_probes(claude_that_says(tmp_path, answer))
    found = probe.run(place(tmp_path))
    assert (found.name, found.label, found.status, found.text) == ("agent_claude", "claude", status, text)


def test_an_agent_that_is_missing_is_bad_and_an_unused_built_in_one_is_left_out(tmp_path: Path) -> None:
    gone = AgentConfig("gone", "shell", ("/no/such",))
    config = Config(environ={"PATH": "/no/such"}, agents={**Config().agents, "gone": gone}, agent="shell")
    found = {probe.name: probe.run(place(tmp_path)) for probe in agent_probes(config)}
    assert [*found] == ["agent_shell", "agent_gone"]
    assert found["agent_gone"].status == "bad"
    assert "/no/such does not exist" in found["agent_gone"].text


@pytest.mark.parametrize("ends", [None, "soon", [], {}, "2020-13-01", True and "x" * 400])
def test_an_end_of_a_login_that_cannot_be_read_is_unknown(ends: object) -> None:
    login = about("claude").login
    assert login
    assert login.read_end(json.dumps({"loginExpiresAt": ends}).encode()) is None
    assert login.read_end(b"\xff") is None


# --- with each prompt -------------------------------------------------------------------------------


def test_each_prompt_records_the_signs_unless_the_settings_say_no(root: Path) -> None:
    session = sessions.create(root, "shell")
    submit_prompt(make_config(root, vitals=True), session, "sleep 1000", by="ann")
    submit_prompt(make_config(root, vitals=True), session, "true", by="ann", queue=True)
    wait_until(lambda: len(recorded(session)) == 2, "two records")
    assert [*recorded(session)[0]["signs"]] == [probe.name for probe in PROBES]
    assert "turn" not in recorded(session)[0]
    other = sessions.create(root, "shell")
    turn = submit_prompt(make_config(root, vitals=False), other, "true", by="ann").id
    wait_for_end(other, turn)
    assert recorded(other) == []


def recorded(session: Any) -> list[dict[str, Any]]:
    return [event for event in events_of(session) if event["kind"] == "vitals"]
