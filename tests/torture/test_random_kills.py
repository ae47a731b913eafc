"""Kills at random moments lose no event, double none and leave no gap. The short test is part of `make test`.

`KILLS` in the environment sets how many kills the long test makes; without it, 1,000.
"""

import os
import time
from pathlib import Path

import pytest

from tests.torture.random_kills import run_kill_test

KILLS = int(os.environ.get("KILLS", "1000"))
NOTHING_WRONG = "lost 0, doubled 0, gaps 0, processes left 0, processes of others killed 0"


def test_eight_kills_of_server_runners_and_agents_lose_nothing(tmp_path: Path) -> None:
    done = run_kill_test(tmp_path, 8, seed=20)
    print(done)
    assert done.endswith(NOTHING_WRONG)


@pytest.mark.torture
def test_a_thousand_kills_while_copies_are_listed_and_logs_renamed_lose_nothing(tmp_path: Path) -> None:
    began = time.monotonic()
    done = run_kill_test(tmp_path, KILLS, seed=1000, disturbed=True)
    print(f"random kills: {done} ({time.monotonic() - began:.0f} s)")
    assert done.endswith(NOTHING_WRONG)


@pytest.mark.torture
def test_two_hundred_kills_where_two_workers_share_the_port_lose_nothing(tmp_path: Path) -> None:
    done = run_kill_test(tmp_path, 200, seed=200, workers=2)
    print(f"random kills with two workers: {done}")
    assert done.endswith(NOTHING_WRONG)
