"""`answer` and `send --queue`: what an agent asks and what waits, from a terminal."""

import pytest

from tests.asking import answers, open_turn
from tests.cli.conftest import Gate
from tests.cli.program import Data
from tests.cli.test_send import ME, outputs
from tests.servers import wait_until

TWO = ({"request": "one"}, {"request": "two", "name": "Edit", "input": {"file": "\x1b[31mf"}})


def test_the_only_question_is_answered(data: Data) -> None:
    session = data.new()
    with open_turn(data.root, session, {}):
        assert data.ok("answer", "allow") == f"allowed Bash in session {session[:8]}\n"
        done = data.run("answer", "allow")
        assert done.returncode == 1
        assert b"nothing is asked" in done.stderr
    (answer,) = answers(data.root, session)
    assert {"request": "r", "allow": True, "by": ME}.items() <= answer.items()
    assert not {"for_session", "message"} & answer.keys()


def test_a_refusal_has_its_words(data: Data) -> None:
    session = data.new()
    with open_turn(data.root, session, {}):
        data.ok("answer", session[:6], "deny", "--message", "use the replica")
    (answer,) = answers(data.root, session)
    assert (answer["allow"], answer["message"]) == (False, "use the replica")


def test_leave_may_be_for_the_session_a_refusal_may_not(data: Data) -> None:
    session = data.new()
    with open_turn(data.root, session, {}):
        done = data.run("answer", "deny", "--for-session")
        assert (done.returncode, b"only leave" in done.stderr) == (2, True)
        data.ok("answer", "allow", "--for-session")
    assert answers(data.root, session)[0]["for_session"] is True


def test_without_an_answer_the_questions_are_shown_inert_and_whole(data: Data) -> None:
    with open_turn(data.root, data.new(), *TWO):
        text = data.ok("answer")
    assert text.splitlines()[0].split()[:2] == ["one", "Bash"]
    assert '"command": "rm x"' in text
    assert "\x1b" not in text


def test_of_several_questions_one_is_named(data: Data) -> None:
    session = data.new()
    with open_turn(data.root, session, *TWO):
        done = data.run("answer", "allow")
        assert (done.returncode, b"--request" in done.stderr) == (2, True)
        assert data.ok("answer", "allow", "--request", "two").startswith("allowed Edit")
        assert data.run("answer", "allow", "--request", "three").returncode == 1
    assert [answer["request"] for answer in answers(data.root, session)] == ["two"]


@pytest.mark.parametrize("words", [["a", "b", "allow"], ["maybe"]])
def test_what_is_no_answer_is_refused(data: Data, words: list[str]) -> None:
    data.new()
    assert data.run("answer", *words).returncode in (1, 2)


def test_a_list_of_sessions_says_who_is_asked(data: Data) -> None:
    with open_turn(data.root, data.new(), {}):
        assert '"asking": true' in data.ok("ls", "--json")


def test_with_queue_a_prompt_waits_for_the_turn_that_runs(data: Data, gate: Gate) -> None:
    session, _ = data.ok("send", gate.script).split()
    assert data.ok("send", "--queue", "echo later").split()[0] == session
    assert '"queued": 1' in data.ok("ls", "--json")
    gate.open()
    wait_until(lambda: outputs(data.events(session)).endswith("later\n"), "the queued prompt")
    assert data.ended(session) == "ok"


def test_waiting_for_a_queued_prompt_ends_with_its_own_turn(data: Data, gate: Gate) -> None:
    session, _ = data.ok("send", gate.script).split()
    with data.running("send", "--queue", "--wait", "echo later; exit 3") as waiting:
        wait_until(lambda: any(event["kind"] == "queued" for event in data.events(session)), "it to wait")
        gate.open()
        assert waiting.process.wait(30) == 1
    assert b"later" in waiting.out
    assert b"over" not in waiting.out


def test_stopping_withdraws_what_waits_and_whoever_waits_for_it_is_told(data: Data, gate: Gate) -> None:
    session, _ = data.ok("send", gate.script).split()
    with data.running("send", "--queue", "--wait", "echo later") as waiting:
        wait_until(lambda: any(event["kind"] == "queued" for event in data.events(session)), "it to wait")
        data.ok("cancel")
        assert waiting.process.wait(30) == 130
    assert [event["kind"] for event in data.events(session)].count("user") == 1
