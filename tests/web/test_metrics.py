"""`GET /metrics`: the numbers come from the logs, the labels are bounded, and the page's alert and dashboard fit."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it has no types of its own
from prometheus_client.parser import text_string_to_metric_families

from breakglass.config import Config
from breakglass.config.agents import AgentConfig
from breakglass.state import SessionState, fold
from breakglass.vitals import Sign, Vitals
from breakglass.web.metrics import STATUSES, Observed, families, observe
from tests.help.commands import breakglass
from tests.help.logs import SAMPLES, TS
from tests.help.servers import Server, serving

OPERATE = (Path(__file__).parents[2] / "docs" / "operate.md").read_text(encoding="utf-8")
DASHBOARD = Path(__file__).parents[2] / "docs" / "grafana-dashboard.json"
NOW = "2026-11-23T12:00:00.000Z"


def state_after(*drafts: tuple[str, dict[str, Any]]) -> SessionState:
    state = SessionState()
    for number, (kind, fields) in enumerate([("created", {}), *drafts], 1):
        event = {
            "id": number,
            "ts": TS,
            "kind": kind,
            **SAMPLES[kind],
            "action": None,
            "agent": "shell",
            **fields,
        }
        state = fold(state, event)
    return state


def turn(number: int, status: str, milliseconds: int, **of_prompt: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the events of a turn that begins at line `number`, with a result in between."""
    usage = {"input_tokens": 100, "output_tokens": 10}
    return [
        ("user", of_prompt),
        ("result", {"turn": number, "cost_usd": 0.25, "usage": usage}),
        ("turn_end", {"turn": number, "status": status, "duration_ms": milliseconds}),
    ]


def samples(*states: SessionState, vitals: Vitals | None = None) -> dict[str, float]:
    """Return the samples of some sessions by name and labels: `breakglass_turns_total{agent=shell,status=ok}`."""
    found = Observed(
        states, NOW, ("shell",), 3, 5000, 70, is_read_only=False, write_seconds=(0.001, 0.25), vitals=vitals
    )
    return {
        f"{each.name}{{{','.join(f'{key}={value}' for key, value in sorted(each.labels.items()))}}}": each.value
        for family in families(found)
        for each in family.samples
    }


def test_turns_are_counted_by_agent_and_status_with_durations_cost_and_tokens() -> None:
    shell = state_after(*turn(2, "ok", 900), *turn(5, "error", 200_000))
    action = state_after(*turn(2, "ok", 10, action={"name": "disks", "params": {}, "argv": []}))
    found = samples(shell, action)
    assert found["breakglass_turns_total{agent=shell,status=ok}"] == 1
    assert found["breakglass_turns_total{agent=shell,status=error}"] == 1
    assert found["breakglass_turns_total{agent=shell,status=lost}"] == 0
    assert found["breakglass_turns_total{agent=action,status=ok}"] == 1
    assert found["breakglass_turn_duration_seconds_bucket{agent=shell,le=1.0}"] == 1
    assert found["breakglass_turn_duration_seconds_bucket{agent=shell,le=60.0}"] == 1
    assert found["breakglass_turn_duration_seconds_bucket{agent=shell,le=300.0}"] == 2
    assert found["breakglass_turn_duration_seconds_bucket{agent=shell,le=+Inf}"] == 2
    assert found["breakglass_turn_duration_seconds_sum{agent=shell}"] == 200.9
    assert found["breakglass_cost_dollars_total{agent=shell}"] == 0.75
    assert found["breakglass_tokens_total{agent=shell,direction=in}"] == 300
    assert found["breakglass_tokens_total{agent=shell,direction=out}"] == 30


def test_waiting_questions_and_prompts_are_counted_with_the_age_of_the_oldest() -> None:
    asking = state_after(("user", {}), ("permission", {"turn": 2}), ("queued", {}))
    found = samples(asking, state_after())
    assert found["breakglass_sessions{agent=shell,status=asking}"] == 1
    assert found["breakglass_sessions{agent=shell,status=new}"] == 1
    assert (found["breakglass_questions_waiting{}"], found["breakglass_prompts_queued{}"]) == (1, 1)
    assert found["breakglass_oldest_question_seconds{}"] > 0
    assert samples(state_after())["breakglass_oldest_question_seconds{}"] == 0


def test_the_disk_and_the_vital_signs_are_shown() -> None:
    signs = (Sign("load", "Load", "warn", "", 4.5), Sign("clock", "Clock", "unknown", ""))
    found = samples(vitals=Vitals(NOW, signs))
    assert found["breakglass_data_root_free_bytes{}"] == 5000
    assert (found["breakglass_append_seconds{}"], found["breakglass_sync_seconds{}"]) == (0.001, 0.25)
    assert found["breakglass_vital_sign_status{sign=load}"] == 2
    assert found["breakglass_vital_sign_status{sign=clock}"] == 1
    assert found["breakglass_vital_sign_value{sign=load}"] == 4.5
    assert "breakglass_vital_sign_value{sign=clock}" not in found


def test_no_log_adds_a_label() -> None:
    hostile = [
        state_after(
            ("created", {"agent": f"agent-{number}"}),
            *turn(3, f"status-{number}", number, agent=f"agent-{number}"),
        )
        for number in range(50)
    ]
    found = samples(*hostile)
    assert not [name for name in found if re.search(r"agent-\d|status-\d", name)]
    assert found["breakglass_turns_total{agent=other,status=other}"] == 50
    assert len(samples(*hostile * 10)) == len(found)


@pytest.mark.parametrize("field", [{"duration_ms": -1}, {"duration_ms": True}, {"duration_ms": 10**400}])
def test_a_duration_that_is_no_number_counts_as_none(field: dict[str, Any]) -> None:
    found = samples(state_after(("user", {}), ("turn_end", {"turn": 2, **field})))
    assert found["breakglass_turn_duration_seconds_sum{agent=shell}"] == 0
    assert found["breakglass_turn_duration_seconds_count{agent=shell}"] == 1


def test_tokens_that_are_no_numbers_are_ignored() -> None:
    usage = {"input_tokens": 10**400, "output_tokens": -5, "cache_read_input_tokens": True}
    assert state_after(("user", {}), ("result", {"turn": 2, "usage": usage})).tokens == (0, 0)


# --- over HTTP ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("metrics") / "var"
    with serving(data, BREAKGLASS_METRICS="true") as started:
        yield started


def read(server: Server, headers: dict[str, str] | None = None) -> dict[tuple[str, str], float]:
    status, body, answered = server.ask("GET", "/metrics", headers=headers)
    assert (status, answered["content-type"].partition(";")[0]) == (200, "text/plain"), body
    return {
        (sample.name, sample.labels.get("status", "")): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        if sample.labels.get("agent") in ("shell", None)
    }


def test_a_restart_loses_no_number_and_every_name_begins_with_the_programs(server: Server) -> None:
    session = server.new_session()
    for script in ("true", "false"):
        server.prompt(session, script)
        server.wait_for_end(session)
    before = read(server)
    assert before["breakglass_turns_total", "ok"] == before["breakglass_turns_total", "error"] == 1
    assert all(name.startswith("breakglass_") for name, _ in before)
    assert before["breakglass_sync_seconds", ""] > 0
    server.kill()
    server.start()
    after = read(server)
    assert {key: after[key] for key in after if "turn" in key[0]} == {
        key: before[key] for key in before if "turn" in key[0]
    }


def test_the_read_only_token_suffices_and_none_does_not(server: Server) -> None:
    watcher = breakglass(server.data, "token", "show", "--read-only").stdout.strip()
    assert read(server, {"Authorization": f"Bearer {watcher}"})
    status, problem, headers = server.ask("GET", "/metrics", headers={"Authorization": ""})
    assert (status, headers["www-authenticate"]) == (401, "Bearer"), problem
    assert server.ask("POST", "/metrics", {})[0] == 405


def test_openmetrics_is_given_to_a_client_that_asks_for_it(server: Server) -> None:
    accept = "application/openmetrics-text; version=1.0.0"
    status, body, headers = server.ask("GET", "/metrics", headers={"Accept": accept})
    assert (status, headers["content-type"].partition(";")[0]) == (200, "application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_prometheus_accepts_the_metrics(server: Server) -> None:
    assert promtool("check", "metrics", given=server.ask("GET", "/metrics")[1]) == 0


def test_without_the_setting_there_are_no_metrics(tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        status, problem, _ = server.ask("GET", "/metrics")
        assert (status, "metrics = true" in problem["detail"]) == (404, True)


# --- the documents --------------------------------------------------------------------------------


def alert_rules() -> str:
    """Return the file of alert rules that the documentation shows."""
    (rules,) = re.findall(r"^```yaml\n(groups:.*?)^```$", OPERATE, re.MULTILINE | re.DOTALL)
    return str(rules)


def promtool(*words: str, given: bytes = b"") -> int:
    """Return the exit status of Prometheus' own checker."""
    return subprocess.run(["promtool", *words], check=False, input=given, timeout=60).returncode


def test_prometheus_accepts_the_alert_rules_and_no_other_text(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(alert_rules())
    assert promtool("check", "rules", str(rules)) == 0
    rules.write_text(alert_rules().replace("expr: ", "expr: (", 1))
    assert promtool("check", "rules", str(rules)) == 1


def names_of(expression: str) -> set[str]:
    return set(re.findall(r"\bbreakglass_[a-z_]+", expression))


def test_the_alerts_and_the_dashboard_use_metrics_that_exist() -> None:
    known = {name.partition("{")[0] for name in samples(vitals=Vitals(NOW, (Sign("a", "A", "ok", "", 1),)))}
    known |= {name.partition("{")[0] for name in samples(state_after(*turn(2, "ok", 1)))}
    alerts = [rule for group in yaml.safe_load(alert_rules())["groups"] for rule in group["rules"]]
    assert alerts
    assert all({"alert", "expr", "annotations"} <= rule.keys() for rule in alerts)
    targets = [target for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]]
    used = names_of(" ".join([*(rule["expr"] for rule in alerts), *(each["expr"] for each in targets)]))
    assert used <= known
    assert names_of(OPERATE.partition("## Metrics")[2].partition("\n## ")[0]) >= known - {
        name for name in known if name.endswith(("_bucket", "_sum", "_count", "_created"))
    }


def test_the_statuses_of_sessions_are_those_of_the_contract() -> None:
    assert set(STATUSES) >= {
        "new",
        "asking",
        "running",
        "ok",
        "error",
        "cancelled",
        "timeout",
        "lost",
        "degraded",
    }


def test_ten_thousand_sessions_make_no_more_series_than_one(settings: Config) -> None:
    one = state_after(*turn(2, "ok", 900))
    assert samples(*[one] * 10_000).keys() == samples(one).keys()
    assert isinstance(settings.agents["shell"], AgentConfig)
    settings.data.mkdir()
    assert observe(settings, 0, None, None).states == ()
