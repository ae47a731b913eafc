"""Commands in a real terminal: colours, Ctrl-C and Ctrl-D."""

import re

import pytest

from tests.cli.conftest import Gate
from tests.cli.program import Data

OTHER_ESCAPE = re.compile(rb"\x1b(?!\[[0-9;]*m)")
"""An escape sequence that is not a colour."""


def test_a_terminal_gets_colours_and_no_other_escape_sequence(data: Data) -> None:
    data.ok("send", "echo hello", "--wait")
    with data.terminal("attach") as terminal:
        terminal.until(b"Ctrl-C detaches")
        assert b"\x1b[1;36m" in terminal.screen
        assert not OTHER_ESCAPE.search(terminal.screen)
    with data.terminal("ls") as terminal:
        assert terminal.end() == 0
        assert b"\x1b[32m" in terminal.screen


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
@pytest.mark.parametrize("words", [("ls",), ("agents",), ("send", "echo hello", "--wait")])
def test_no_color_and_a_dumb_terminal_turn_colours_off(
    data: Data, words: tuple[str, ...], env: dict[str, str]
) -> None:
    data.new()
    with data.terminal(*words, **env) as terminal:
        assert terminal.end() == 0
        assert b"\x1b" not in terminal.screen
        assert len(terminal.screen) > 20


def test_a_pipe_gets_no_colours(data: Data) -> None:
    assert "\x1b" not in data.ok("send", "echo hello", "--wait") + data.ok("ls") + data.ok("agents")


def test_ctrl_c_typed_in_a_terminal_detaches(data: Data, gate: Gate) -> None:
    session = data.ok("send", gate.script).split()[0]
    with data.terminal("attach", NO_COLOR="1") as terminal:
        terminal.until(Gate.BEGUN)
        terminal.type(b"\x03")
        assert terminal.end() == 0
        assert b"detached\r\n" in terminal.screen
    gate.open()
    assert data.wait_for_end(session) == "ok"


def test_a_prompt_can_be_typed_and_ended_with_ctrl_d(data: Data) -> None:
    session = data.new()
    with data.terminal("send", "-", "--wait") as terminal:
        terminal.until(b"then press Ctrl-D")
        terminal.type(b"echo typed $((6 * 7))\n\x04")
        assert terminal.end() == 0
    assert data.events(session)[1]["text"] == "echo typed $((6 * 7))\n"


def test_two_terminals_show_the_same_text(data: Data, gate: Gate) -> None:
    data.ok("send", gate.script)
    with data.terminal("attach", NO_COLOR="1") as one, data.terminal("attach", NO_COLOR="1") as two:
        one.until(Gate.BEGUN)
        two.until(Gate.BEGUN)
        gate.open()
        for terminal in (one, two):
            terminal.until(b"ok \xc2\xb7")
    assert one.screen == two.screen


def test_a_shells_output_is_shown_whole_and_unwrapped(data: Data) -> None:
    with data.terminal(
        "send", "--agent", "shell", "seq 400; printf %0300d 7", "--wait", NO_COLOR="1"
    ) as terminal:
        assert terminal.end() == 0
    lines = terminal.screen.decode().splitlines()
    assert [line[9:] for line in lines if re.search(r"│ \d+$", line)] == [str(n) for n in range(1, 401)] + [
        f"{7:0300}"
    ]
