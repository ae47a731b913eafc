"""After a lost turn, one that took too long or a restart, a prompt that says what happened lets the agent continue."""

import re
from pathlib import Path

import pytest

from breakglass.config import Config
from breakglass.config.agents import AgentConfig
from breakglass.state import AgentState, SessionState
from breakglass.store import log
from breakglass.turns.boot import boot_id
from breakglass.turns.end import end_if_lost
from breakglass.turns.go_on import prompt_to_go_on
from tests.help.session_logs import events_of
from tests.help.turns import begin_turn, kill_runner

OTHER = "00000000-1111-2222-3333-444444444444"
HERE = Config(
    agents={"claude": AgentConfig("claude", "claude", ("claude",)), "sh": AgentConfig("sh", "shell", ("sh",))}
)
ENDED = SessionState(agent="claude", last_turn=2, boot_id=boot_id())
RESTARTED = "The machine has restarted since it began."


@pytest.mark.parametrize(
    ("status", "beginning"),
    [
        ("lost", "Your last turn was lost: its process died"),
        ("timeout", "Your last turn was stopped because it took"),
    ],
)
def test_a_turn_that_was_cut_short_can_go_on(status: str, beginning: str) -> None:
    text = prompt_to_go_on(HERE, ENDED._replace(status=status))
    assert text.startswith(beginning)
    assert text.endswith("Then continue with the task.")
    assert "restarted" not in text
    assert RESTARTED in prompt_to_go_on(HERE, ENDED._replace(status=status, boot_id=OTHER))
    assert prompt_to_go_on(HERE, ENDED._replace(status=status, boot_id=None)) == text  # by an older version


def test_every_agent_can_go_on_after_a_restart_of_the_machine() -> None:
    for status, beginning in (
        ("ok", "Your last turn has ended."),
        ("error", "Your last turn ended with an error"),
        ("cancelled", "Your last turn was stopped by a user"),
    ):
        ended = ENDED._replace(status=status)
        assert prompt_to_go_on(HERE, ended) == ""
        text = prompt_to_go_on(HERE, ended._replace(boot_id=OTHER))
        assert text.startswith(beginning)
        assert RESTARTED in text
    reset = ENDED._replace(status="ok", is_action=True, boot_id=OTHER)
    assert prompt_to_go_on(HERE, reset) == ""  # no agent had a turn
    assert RESTARTED in prompt_to_go_on(HERE, reset._replace(agents=(AgentState("claude"),)))


def test_nothing_goes_on_in_a_shell_while_a_turn_runs_or_before_the_first() -> None:
    lost = ENDED._replace(status="lost", boot_id=OTHER)
    assert prompt_to_go_on(HERE, lost._replace(agent="sh")) == ""
    assert prompt_to_go_on(HERE, lost._replace(turn=7)) == ""
    assert prompt_to_go_on(HERE, lost._replace(is_action=True)) == ""
    for status in ("new", "running", "degraded"):
        assert prompt_to_go_on(HERE, ENDED._replace(status=status, boot_id=OTHER)) == ""


def test_a_prompt_has_the_boot_id_and_a_turn_lost_by_a_restart_says_so(settings: Config) -> None:
    session, _ = begin_turn(settings, "sleep 1000")
    kill_runner(session)
    (begun,) = [event for event in events_of(session) if event["kind"] == "user"]
    assert begun["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    path = Path(session.directory, log.NAME)
    path.write_text(re.sub(begun["boot_id"], OTHER, path.read_text()))
    assert end_if_lost(session).status == "lost"
    (error,) = [event["error"] for event in events_of(session) if event["kind"] == "error"]
    assert error == "The turn was lost: the machine restarted. What it did so far is kept above."
