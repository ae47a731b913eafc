"""Over the budget of a day, HTTP refuses a prompt until it is confirmed. The page offers that too."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from breakglass.store.sessions import Session
from tests.help.servers import Server, serving

ENV = {"BREAKGLASS_MAX_COST_USD_PER_DAY": "0.5", "BREAKGLASS_AGENT": "claude", "BREAKGLASS_VITALS": "false"}


@pytest.fixture
def server(root: Path) -> Iterator[Server]:
    with serving(root, **ENV) as running:
        yield running


def spent(server: Server) -> str:
    """Return a session that has cost $0.60 today."""
    session = server.new_session(agent="claude")
    with Session(server.data, session).open_log() as opened:
        turn = opened.append("user", text="look", by="ann")
        opened.append("result", turn=turn, is_error=False, result="", duration_ms=1, cost_usd=0.6)
        opened.append("turn_end", turn=turn, status="ok", duration_ms=1)
    return session


def test_over_the_budget_a_prompt_is_402_until_it_is_confirmed(server: Server) -> None:
    session = spent(server)
    path = f"/api/sessions/{session}/turns"
    status, problem, _ = server.ask("POST", path, {"prompt": "look"})
    assert (status, problem["title"]) == (402, "Payment Required")
    assert "$0.60 of $0.50" in problem["detail"]
    assert server.ask("POST", path, {"prompt": "look", "over_budget": True})[0] == 202

    _, page, _ = server.ask("GET", f"/sessions/{session}")
    assert b'name="over_budget"' in page
    _, listed, _ = server.ask("GET", "/")
    assert b"Today $0.60 of $0.50" in listed
    assert b'name="over_budget"' in listed
    _, before, _ = server.ask("GET", "/api/sessions")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert server.ask("POST", "/sessions", b"prompt=look&agent=claude", form)[0] == 402
    assert len(server.ask("GET", "/api/sessions")[1]) == len(before)
