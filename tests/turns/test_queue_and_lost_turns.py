"""What happens to queued prompts while a lost turn is ended."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from breakglass.turns import processes
from breakglass.turns.begin import Accepted, withdraw_prompt
from breakglass.turns.end import has_runner
from tests.help.waiting import wait_until
from tests.turns.test_queue import ShellSession, shell

__all__ = ["shell"]  # a fixture


@pytest.fixture
def while_lost_turn_ends(
    shell: ShellSession, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[], object]], None]:
    """Kill the runner of a turn, and act while another process ends that lost turn."""

    def kill_and_act(act: Callable[[], object]) -> None:
        kill_all = processes.kill_all

        def kill_all_and_act(*arguments: Any) -> bool:
            monkeypatch.setattr(processes, "kill_all", kill_all)
            act()
            return kill_all(*arguments)

        os.kill(shell.runner_pid(), signal.SIGKILL)
        wait_until(lambda: not has_runner(shell.session), "the runner's death")
        monkeypatch.setattr(processes, "kill_all", kill_all_and_act)

    return kill_and_act


ActWhileLostTurnEnds = Callable[[Callable[[], object]], None]


def test_a_prompt_withdrawn_while_a_lost_turn_is_ended_begins_no_turn(
    shell: ShellSession, while_lost_turn_ends: ActWhileLostTurnEnds
) -> None:
    shell.start_and_keep_running()
    queued = shell.queue("echo withdrawn").id
    while_lost_turn_ends(lambda: withdraw_prompt(shell.session, queued, by="bob"))
    shell.start("echo next")
    assert [end["status"] for end in shell.wait_until_idle()] == ["lost", "ok"]
    assert [event["text"] for event in shell.of_kind("user")][1:] == ["echo next"]


def test_a_prompt_queued_while_a_lost_turn_is_ended_runs(
    shell: ShellSession, while_lost_turn_ends: ActWhileLostTurnEnds
) -> None:
    shell.start_and_keep_running()
    while_lost_turn_ends(lambda: shell.queue("echo late"))
    shell.start("echo next")
    assert [end["status"] for end in shell.wait_until_idle()] == ["lost", "ok", "ok"]
    assert [event["text"] for event in shell.of_kind("user")][1:] == ["echo next", "echo late"]


def test_a_key_used_while_a_lost_turn_is_ended_begins_one_turn(
    shell: ShellSession, while_lost_turn_ends: ActWhileLostTurnEnds
) -> None:
    shell.start_and_keep_running()
    first: list[Accepted] = []
    while_lost_turn_ends(lambda: first.append(shell.queue("echo once", key="k-1")))
    again = shell.queue("echo once", key="k-1")
    assert first == [again]
    shell.start("echo next")
    assert [end["status"] for end in shell.wait_until_idle()] == ["lost", "ok", "ok"]
    assert [event["text"] for event in shell.of_kind("user")][1:] == ["echo next", "echo once"]
