"""Section 2 of the contract: the lines of a log, and the events of real turns of the shell agent."""

import json

import pytest

from tests.contract.driver import TOKEN, DataRoot, Gate
from tests.contract.lists import check_line

pytestmark = pytest.mark.contract


def check_turns(data: DataRoot, session: str) -> None:
    """Fail unless the events of each turn have its id, no two turns overlap, and each turn has one end."""
    turn = None
    for event in data.events(session):
        if event["kind"] == "user":
            assert turn is None
            turn = event["id"]
        assert event.get("turn", turn) == turn, event
        if event["kind"] == "turn_end":
            turn = None
    assert turn is None


def test_a_session_begins_with_one_line_that_describes_it(data: DataRoot) -> None:
    (created,) = data.events(data.new("--title", "Übersicht", "--model", "a-model"))
    described = [created[key] for key in ("kind", "schema", "agent", "model", "title")]
    assert described == ["created", 1, "shell", "a-model", "Übersicht"]
    assert created["by"] and created["host"]


@pytest.mark.parametrize(("script", "failed"), [("echo one; echo two", False), ("echo one; exit 3", True)])
def test_a_turn_has_its_prompt_its_tool_calls_its_result_and_one_end(
    data: DataRoot, script: str, failed: bool
) -> None:
    session = data.new()
    data.run("send", session, "--wait", script)
    kinds = [event["kind"] for event in data.events(session)]
    assert (kinds[:3], kinds[-3:]) == (["created", "user", "tool"], ["result", "turn_end", "sealed"])
    assert set(kinds[3:-3]) == {"tool_result"}
    assert data.last(session, "user")["text"] == script
    assert data.last(session, "tool_result")["tool_id"] == data.last(session, "tool")["tool_id"]
    assert data.last(session, "tool_result")["is_error"] is failed
    assert data.last(session, "result")["is_error"] is failed
    assert data.last(session, "turn_end")["status"] == ("error" if failed else "ok")
    check_turns(data, session)


def test_a_turn_that_takes_too_long_ends_with_timeout(data: DataRoot, gate: Gate) -> None:
    session = data.ok("send", gate.script, BREAKGLASS_TURN_TIMEOUT_SECONDS="0.3").split()[0]
    assert data.wait_for_end(session) == "timeout"
    check_turns(data, session)


def test_the_turn_of_a_queued_prompt_begins_right_after_the_turn_before_it(
    data: DataRoot, gate: Gate
) -> None:
    session = data.ok("send", gate.script).split()[0]
    waiting = [int(data.ok("send", session, "--queue", f"echo {word}").split()[1]) for word in ("a", "b")]
    assert [data.events(session)[number - 1]["text"] for number in waiting] == ["echo a", "echo b"]
    gate.open()
    assert data.wait_for_end(session) == "ok"
    events = data.events(session)
    begun = [event for event in events if event["kind"] == "user"][1:]
    assert [event["queued"] for event in begun] == waiting
    assert [[each["kind"] for each in events[event["id"] - 3 : event["id"] - 1]] for event in begun] == [
        ["turn_end", "sealed"]
    ] * 2
    check_turns(data, session)


def test_stopping_a_turn_withdraws_the_queued_prompts(data: DataRoot, gate: Gate) -> None:
    session = data.ok("send", gate.script).split()[0]
    queued = int(data.ok("send", session, "--queue", "echo never").split()[1])
    data.ok("cancel", session)
    assert data.last(session, "cancelled")["by"]
    assert data.last(session, "withdrawn")["queued"] == queued
    assert data.last(session, "turn_end")["status"] == "cancelled"
    check_turns(data, session)


def test_a_turn_whose_runner_died_is_lost_and_the_queued_prompts_stay_queued(
    data: DataRoot, gate: Gate
) -> None:
    session = data.ok("send", gate.script).split()[0]
    data.wait_for_output(session)
    queued = int(data.ok("send", session, "--queue", "echo later").split()[1])
    data.kill_runner(session)
    (state,) = data.listed()  # the first command that reads the session writes the end
    assert (state["status"], state["turn_active"], state["queued"]) == ("lost", False, 1)
    assert data.last(session, "turn_end")["status"] == "lost"
    data.ok("send", session, "echo now")
    data.wait_for_output(session, "later")
    assert data.wait_for_end(session) == "ok"
    assert data.last(session, "user")["queued"] == queued
    assert data.output(session) == "begun\nnow\nlater\n"
    check_turns(data, session)


@pytest.mark.parametrize("is_taken", [False, True])
def test_a_torn_last_line_is_moved_to_a_file_and_the_log_records_it(data: DataRoot, is_taken: bool) -> None:
    session = data.new()
    torn, offset = b'{"id":2,"ts":"2026', data.log(session).stat().st_size
    name = f"events.jsonl.torn-{offset}"
    if is_taken:  # by an interrupted repair
        data.log(session).with_name(name).touch()
        name += "-1"
    data.append(session, torn)
    data.ok("rename", session, "after")
    repaired, renamed = data.events(session)[1:]
    assert renamed["kind"] == "renamed"
    described = [repaired[key] for key in ("kind", "offset", "bytes", "saved_as")]
    assert described == ["repaired", offset, len(torn), name]
    assert data.log(session).with_name(name).read_bytes() == torn


def test_a_foreign_line_keeps_its_number_and_is_shown_shortened(data: DataRoot) -> None:
    session = data.new()
    wrong_number = b'{"id":9,"ts":"2026-11-23T00:00:00.000Z","kind":"text"}'
    data.append(session, b"\n".join((b"hello", wrong_number, b"\xff\x00", b"x" * 100_000, b"")))
    data.ok("rename", session, "after")
    assert check_line(data.lines(session)[5], 6)["kind"] == "renamed"
    with data.running("attach", session, "--json") as program:
        program.wait_for(b'"renamed"')
        shown = [json.loads(line) for line in program.out.splitlines()][1:5]
    assert [list(event) for event in shown] == [["id", "kind", "text"]] * 4
    assert [(event["id"], event["kind"]) for event in shown] == [(n, "foreign") for n in (2, 3, 4, 5)]
    assert (shown[0]["text"], shown[3]["text"]) == ("hello", "x" * (64 << 10))


def test_a_line_like_ours_is_sent_unchanged_and_an_unknown_kind_changes_no_state(
    data: DataRoot,
) -> None:
    session = data.new()
    line = b'{"id":2,"ts":"2026-11-23T00:00:00.000Z","kind":"from_the_future", "x":nonsense}'
    data.append(session, line + b"\n")
    with data.running("attach", session, "--json") as program:
        program.wait_for(b"nonsense")
        assert program.out.splitlines()[1] == line
    (state,) = data.listed()
    assert (state["status"], state["turn_active"], state["last_event_id"]) == ("new", False, 2)


def test_no_line_contains_a_raw_control_character(data: DataRoot) -> None:
    session = data.new()
    data.ok("send", session, "--wait", r"printf '\033[31m\007\b\177\302\233\r\t%s' end")
    assert data.output(session) == "\x1b[31m\x07\b\x7f\x9b\r\tend"  # `output` has checked the raw lines


def test_an_output_is_cut_at_1_mib_with_the_number_of_bytes_left_out(data: DataRoot) -> None:
    session = data.new()
    data.ok("send", session, "--wait", "head -c 3000000 /dev/zero | tr '\\0' '~'")
    kept = data.output(session).count("~")
    assert kept <= 1 << 20
    assert kept + sum(event.get("truncated", 0) for event in data.events(session)) == 3_000_000


def test_a_prompt_is_never_cut(data: DataRoot) -> None:
    prompt = "#" * ((256 << 10) - 5) + "\ntrue"
    session = data.ok("send", "-", stdin=prompt).split()[0]
    assert data.wait_for_end(session) == "ok"
    assert data.last(session, "user")["text"] == prompt


def test_secrets_are_masked_in_the_output_of_an_agent_and_not_in_a_prompt(data: DataRoot) -> None:
    session, secret = data.new(), "correct-horse-battery"
    data.ok("send", session, "--wait", f"echo {TOKEN} {secret}", DB_PASSWORD=secret)
    assert data.output(session) == "[masked] [masked]\n"
    assert data.last(session, "user")["text"] == f"echo {TOKEN} {secret}"
