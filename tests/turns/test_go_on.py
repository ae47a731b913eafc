"""After a lost turn or one that took too long, a prompt that says what happened lets the agent continue."""

import pytest

from breakglass.state import SessionState
from breakglass.turns.go_on import prompt_to_go_on

ENDED = SessionState(agent="claude", updated="2999-01-01T00:00:00.000Z")


@pytest.mark.parametrize(
    ("status", "beginning"),
    [
        ("lost", "Your last turn was lost: its process died"),
        ("timeout", "Your last turn was stopped because it took"),
    ],
)
def test_a_turn_that_was_cut_short_can_go_on(status: str, beginning: str) -> None:
    text = prompt_to_go_on(ENDED._replace(status=status), is_command_line=False)
    assert text.startswith(beginning)
    assert text.endswith("Then continue with the task.")
    assert "restarted" not in text
    early = ENDED._replace(status=status, updated="2001-01-01T00:00:00.000Z")
    assert "The machine was restarted after that." in prompt_to_go_on(early, is_command_line=False)


def test_nothing_goes_on_after_another_end_in_a_shell_or_after_an_action() -> None:
    for status in ("ok", "error", "cancelled", "new", "running"):
        assert prompt_to_go_on(ENDED._replace(status=status), is_command_line=False) == ""
    lost = ENDED._replace(status="lost")
    assert prompt_to_go_on(lost, is_command_line=True) == ""
    assert prompt_to_go_on(lost._replace(is_action=True), is_command_line=False) == ""
    assert prompt_to_go_on(lost._replace(turn=7), is_command_line=False) == ""
