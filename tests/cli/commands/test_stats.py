"""`breakglass stats` prints numbers as tables."""

from tests.cli.program import Data


def test_one_is_singular_and_more_are_plural(data: Data) -> None:
    session = data.new()
    assert data.ok("stats").startswith("1 session, turns: none")
    data.new()
    assert data.ok("stats").startswith("2 sessions, turns: none")
    data.ok("send", session, "true", "--wait")
    assert data.ok("stats", session).startswith("1 session, turns: 1 ok")
