"""The real Claude Code when its backend, its login, its model or its own session fails."""

import shutil
from pathlib import Path

import pytest

from tests.help.fake_model import FakeModel
from tests.live.real import Real


@pytest.mark.torture
def test_an_overloaded_backend_gives_retries_and_then_an_error(real: Real) -> None:
    events = real.run("[[err 529 overloaded_error]]")
    assert events.status == "error"
    assert events.all("retry", "attempt")[:1] == [1]
    assert "529" in events.of("retry")[0]["error"]
    assert "529" in events.only("error", "error") or "verloaded" in events.only("error", "error")
    assert events.only("result", "is_error") is True


@pytest.mark.torture
def test_a_backend_that_recovers_is_no_error(real: Real) -> None:
    events = real.run("[[err 529 overloaded_error 1]]")
    assert (events.status, events.only("text", "text")) == ("ok", "recovered")
    assert len(events.of("retry")) == 1


@pytest.mark.torture
def test_a_connection_that_breaks_before_any_prose_gives_a_retry_and_then_an_error(real: Real) -> None:
    events = real.run("[[cut 5]]")
    assert (events.status, len(events.of("retry"))) == ("error", 1)
    assert "Connection dropped" in events.only("error", "error")
    again = real.run("[[cut 1]]")
    assert (again.status, again.only("text", "text")) == ("ok", "recovered")


def test_a_connection_that_breaks_after_some_prose_loses_none_of_it(real: Real, model: FakeModel) -> None:
    turn = real.start("[[text Half a]][[hold]][[cut 1]]")
    real.wait("delta")
    model.release()
    events = real.end(turn)
    assert (events.status, events.all("text", "text")[0]) == ("ok", "Half a")
    assert "cut off" in model.turns[-1].texts[-1], "the agent tells the model to continue from there"


@pytest.mark.torture
def test_a_refused_key_says_what_to_do(real: Real) -> None:
    events = real.run("[[err 401 authentication_error]]")
    assert events.status == "error"
    assert "ANTHROPIC_API_KEY" in events.only("error", "error")


def test_an_agent_that_is_not_logged_in_says_what_to_do(real: Real) -> None:
    real.set(environ={key: value for key, value in real.config.environ.items() if key != "ANTHROPIC_API_KEY"})
    events = real.run("[[text never]]")
    assert events.status == "error"
    assert "ANTHROPIC_API_KEY" in events.only("error", "error")


@pytest.mark.torture
def test_an_unknown_model_is_an_error_that_says_so(real: Real) -> None:
    events = real.run("[[text never]]", model="nobody-9")
    assert events.status == "error"
    assert "nobody-9" in events.only("error", "error")
    assert "Choose another model" in events.only("error", "error")


@pytest.mark.torture
def test_a_missing_agent_session_is_replaced_and_the_log_says_so(real: Real, home: Path) -> None:
    first = real.run("[[text Hello]]")
    shutil.rmtree(home / ".claude")
    second = real.run("and before?")
    assert second.status == "ok"
    assert "was not found. A new one begins" in second.only("error", "error")
    assert second.only("session", "session_id") != first.only("session", "session_id")
    asked = real.model.turns[-1].texts[-1]
    assert "> 2 prompt by ann: [[text Hello]]\n" in asked
    assert asked.endswith("[End of the record. The user's prompt follows.]\n\nand before?")
