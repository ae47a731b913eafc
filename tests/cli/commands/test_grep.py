"""`breakglass grep` prints each event with the words, and its exit status says whether there is one."""

import json

from tests.cli.program import Data


def test_hits_are_printed_with_session_line_and_kind_and_as_json(data: Data) -> None:
    session = data.new("--title", "a title")
    data.ok("send", session, "echo 'No space \"left\" on Größe'", "--wait")
    number = next(event["id"] for event in data.events(session) if event["kind"] == "tool_result")
    (hit,) = (
        json.loads(line) for line in data.ok("grep", "größe", "--kind", "tool_result", "--json").splitlines()
    )
    assert hit == {
        "session": session,
        "line": number,
        "kind": "tool_result",
        "text": 'No space "left" on Größe',
    }
    printed = data.ok("grep", '"space" left größe', "--session", session[:6]).splitlines()
    assert any(
        line.startswith(f"{session[:8]}:{number}  ") and "tool_result: No space" in line for line in printed
    )
    lines = [int(line.split(":")[1].split()[0]) for line in printed]
    assert lines == sorted(lines, reverse=True)


def test_nothing_found_is_1_and_a_wrong_use_is_2(data: Data) -> None:
    data.new()
    done = data.run("grep", "nowhere")
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
    assert data.run("grep", "shell", "--since", "1h").returncode == 0
    for words in (
        ["grep"],
        ["grep", ""],
        ["grep", "a", "b"],
        ["grep", "a", "--kind", "weather"],
        ["grep", "a", "--since", "soon"],
        ["grep", "a", "--session", ""],
    ):
        assert data.run(*words).returncode == 2, words
    assert data.run("grep", "a", "--session", "ffff").returncode == 1


def test_hidden_characters_of_a_hit_do_not_reach_the_terminal(data: Data) -> None:
    session = data.new()
    data.ok("send", session, "printf '\\033[31mred\\033[0m needle'", "--wait")
    assert "\x1b" not in data.ok("grep", "needle")
