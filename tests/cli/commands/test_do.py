"""`breakglass actions` and `breakglass do`."""

import json
import socket
import sys
from pathlib import Path

import pytest

from tests.cli.program import Data

SETTINGS = """
[actions.say]
about = "Say a text"
command = ["printf", "%s|", "--", "{text}", "{n}"]
effect = "changes"
params.text = { kind = "text", pattern = "(?s).*" }
params.n = { kind = "int", min = 1 }

[actions.fail]
command = ["ls", "/no/such"]
effect = "reads"

[actions.halt]
command = ["echo", "halted"]
effect = "disrupts"
before = ["fail"]
"""


@pytest.fixture
def acting(data: Data) -> Data:
    data.root.mkdir(mode=0o700)
    (data.root / "breakglass.toml").write_text(SETTINGS)
    return data


def test_the_list_has_what_reads_first_and_what_disrupts_last(acting: Data) -> None:
    effects = [row["effect"] for row in acting.json("actions")]
    assert effects == sorted(effects, key=["reads", "changes", "disrupts"].index)
    lines = acting.ok("actions").splitlines()
    assert lines[-2:] == ["halt [disrupts]: halt", "  echo halted"]
    assert "say [changes]: Say a text" in lines
    assert "  printf '%s|' -- '{text}' '{n}'" in lines
    assert "  n: a whole number from 1" in lines


def test_an_action_is_followed_to_its_end(acting: Data) -> None:
    shown = acting.ok("do", "say", "text=a=b c", "n=7")
    assert "│ --|a=b c|7|\n" in shown
    assert " ✓ ok · " in shown.splitlines()[-1]
    assert acting.kinds(acting.only_session())[:3] == ["created", "user", "tool"]
    assert acting.run("do", "fail").returncode == 1


def test_show_prints_the_arguments_and_runs_nothing(acting: Data) -> None:
    assert acting.ok("do", "say", "text=it's", "n=1", "--show") == "printf '%s|' -- 'it'\"'\"'s' 1\n"
    assert acting.ok("do", "halt", "--show") == "ls /no/such\necho halted\n"
    assert not (acting.root / "sessions").exists()


def test_an_action_that_disrupts_needs_its_word(acting: Data) -> None:
    name = socket.gethostname()
    done = acting.run("do", "halt")
    assert (done.returncode, done.stderr) == (2, f"breakglass: confirm: type {name} to run halt\n".encode())
    assert acting.run("do", "halt", "--confirm", name).returncode == 0
    with acting.terminal("do", "halt") as terminal:
        terminal.until(f"Type {name} to run it: ".encode())
        terminal.type(f"{name}\n".encode())
        assert terminal.end() == 0
        assert b"halted" in terminal.screen


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("say", "text=a"), "n: this parameter of say is missing"),
        (("say", "text=a", "n=1", "x=1"), "x: no such parameter; expected text, n"),
        (("say", "text=a", "n=0"), "n: expected a whole number from 1, got 0"),
        (("say", "text=a", "text=b", "n=1"), "text: this parameter is given twice"),
        (("say", "text"), "'text': expected PARAM=VALUE"),
        ((), "expected NAME [PARAM=VALUE …]"),
    ],
)
def test_a_bad_call_says_what_is_wrong(acting: Data, words: tuple[str, ...], message: str) -> None:
    done = acting.run("do", *words)
    assert done.returncode == 2
    assert message in done.stderr.decode()
    assert not (acting.root / "sessions").exists()


def test_an_unknown_action_names_the_command_that_lists_them(acting: Data) -> None:
    done = acting.run("do", "nope")
    assert (done.returncode, done.stderr) == (
        1,
        b"breakglass: there is no action 'nope'; breakglass actions lists them\n",
    )


def test_in_a_session_with_a_running_turn_it_runs_beside_it(acting: Data) -> None:
    session = acting.new()
    acting.ok("send", session, "sleep 1000")
    assert "│ --|a|1|" in acting.ok("do", "say", "text=a", "n=1", "--session", session)
    (link,) = [event for event in acting.events(session) if event["kind"] == "beside"]
    assert json.dumps(link["action"]) == '"say"'
    assert acting.kinds(link["session"])[:3] == ["created", "beside", "user"]
    assert acting.run("cancel", session).returncode == 0


def test_a_login_asks_for_the_code_on_the_terminal_without_echo(data: Data) -> None:
    program = json.dumps([sys.executable, str(Path(__file__).parents[2] / "help" / "fake_login.py")])
    settings = f'[agents.claude]\ncommand = {program}\nenv = {{ FAKE_LOGIN = "{data.folder}" }}\n'
    (data.folder / "breakglass.toml").write_text(settings)
    with data.terminal("do", "log-in-claude") as shown:
        shown.until(b"https://login.example/authorize?z-fI0fH")
        shown.type(b"right-code-of-many-letters#state\n")
        assert shown.end() == 0
    assert b"got [masked]" in shown.screen
    assert b"right-code" not in shown.screen
    assert b"right-code" not in data.log(data.only_session()).read_bytes()
