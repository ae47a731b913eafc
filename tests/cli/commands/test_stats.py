"""`breakglass stats` prints numbers as tables."""

from tests.cli.program import Data


def test_one_session_is_singular_and_more_are_plural(data: Data) -> None:
    first, second = data.new(), data.new()
    assert data.ok("stats").startswith("0 sessions, turns: none")
    data.ok("send", first, "true", "--wait")
    assert data.ok("stats").startswith("1 session, turns: 1 ok")
    data.ok("send", second, "true", "--wait")
    assert data.ok("stats").startswith("2 sessions, turns: 2 ok")
