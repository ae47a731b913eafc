"""`breakglass cancel`: it stops the turn, and each process that waits for the turn ends."""

from tests.cli.conftest import Gate
from tests.cli.program import USER, Data


def test_cancel_stops_the_turn_and_a_waiting_send_exits_with_130(data: Data, gate: Gate) -> None:
    session = data.new()
    with data.running("send", "--wait", gate.script) as waiter:
        waiter.until(Gate.BEGUN)
        assert data.ok("cancel", session[:6]) == f"stopped the turn in session {session[:8]}\n"
        assert data.last_status(session) == "cancelled"
        assert waiter.end() == 130
    assert [event["by"] for event in data.events(session) if event["kind"] == "cancelled"] == [USER]


def test_cancel_exits_with_1_if_no_turn_runs(data: Data) -> None:
    data.ok("send", "true", "--wait")
    done = data.run("cancel")
    assert done.returncode == 1
    assert done.stderr == f"breakglass: no turn is running in session {data.only_session()[:8]}\n".encode()
