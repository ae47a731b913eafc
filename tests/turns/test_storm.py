"""Kills at random moments lose no event, repeat none and leave no gap."""

import time
from pathlib import Path

import pytest

from tests.torture import storm

NO_DAMAGE = "lost 0, doubled 0, gaps 0"


def test_twenty_kills_of_server_runners_and_agents_lose_no_event(tmp_path: Path) -> None:
    report = storm.run(tmp_path, 20, seed=20)
    print(report)
    assert report.endswith(NO_DAMAGE)


@pytest.mark.torture
def test_a_thousand_kills_of_server_runners_and_agents_lose_no_event(tmp_path: Path) -> None:
    began = time.monotonic()
    report = storm.run(tmp_path, 1000, seed=1000)
    print(f"storm: {report} ({time.monotonic() - began:.0f} s)")
    assert report.endswith(NO_DAMAGE)


@pytest.mark.torture
def test_two_hundred_kills_with_two_workers_on_one_port_lose_no_event(tmp_path: Path) -> None:
    report = storm.run(tmp_path, 200, seed=200, workers=2)
    print(f"storm over two workers: {report}")
    assert report.endswith(NO_DAMAGE)
