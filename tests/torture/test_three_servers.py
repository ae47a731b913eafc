"""An engine of three servers, each record kept three times: one server is lost at a time while the host works."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.help.fleet import Fleet
from tests.help.fleet_storm import run_storm
from tests.help.waiting import wait_until

pytestmark = pytest.mark.torture


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path, servers=3)
    made.enroll("db1")
    for engine in made.engines:
        engine.start()
    wait_until(lambda: made.hub.run("mirror", "--once").returncode == 0, "the three servers to work together")
    yield made
    for engine in made.engines:
        engine.kill()


def test_nothing_is_lost_or_doubled_while_one_server_after_the_other_is_killed_or_stopped(
    fleet: Fleet,
) -> None:
    run_storm(fleet, kills=6, stops=2, victims=("engine",))


def test_nothing_is_lost_or_doubled_while_relay_mirror_and_servers_are_killed_or_stopped(
    fleet: Fleet,
) -> None:
    run_storm(fleet, kills=30, stops=10)
