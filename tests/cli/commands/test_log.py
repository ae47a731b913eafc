"""`breakglass log`, and what the `--json` outputs and the recipes let through to a terminal."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.cli.program import Data

HOSTILE = "a\x1b]52;c;aGk=\x07b\u202ec\u2066d\u200be\x9b31mf\x7fg\u2028h\U000e0041i é 😀"
"""OSC 52, a right-to-left override, an isolate, a zero width space, C1 and DEL, a line separator, a tag character."""
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\U000e0000-\U000e0fff]")
RECIPES = Path(__file__).parents[3] / "docs" / "recipes.md"


@pytest.fixture
def session(data: Data) -> str:
    """A session in whose log an agent, and another program, wrote hostile text in every place that a filter shows."""
    session = data.new("--title", HOSTILE)
    text = json.dumps(HOSTILE)
    raw = json.dumps(HOSTILE, ensure_ascii=False)
    fields = [
        f'"kind":"user","turn":2,"text":{text},"by":{text}',
        f'"kind":"text","turn":2,"text":{text}',
        f'"kind":"text","turn":2,"text":{raw}',
        f'"kind":"tool","turn":2,"tool_id":"t","name":{text},"input":{{{text}:{text}}}',
        f'"kind":"tool_result","turn":2,"tool_id":"t","output":{text},"is_error":true',
        f'"kind":"error","turn":2,"error":{text}',
        f'"kind":"turn_end","turn":2,"status":{text},"duration_ms":1',
    ]
    with data.log(session).open("a") as log:
        for number, each in enumerate(fields, 2):
            log.write(f'{{"id":{number},"ts":"2026-11-23T03:12:00.000Z",{each}}}\n')
        log.write(f"{HOSTILE}\n")
    return session


def test_log_prints_the_session_once_and_ends(data: Data) -> None:
    session = data.new()
    data.ok("send", session, "seq 3", "--wait")
    assert data.ok("log", session, "--json").encode() == data.log(session).read_bytes()
    rest = data.log(session).read_bytes().splitlines(keepends=True)[4:]
    assert data.ok("log", session, "--json", "--after", "4").encode() == b"".join(rest)
    plain = data.ok("log", session, "--plain")
    assert re.search(r"│ 1\n *│ 2\n *│ 3\n", plain)
    assert data.ok("log", "--plain") == data.ok("log") == plain
    assert data.run("log", session, "--json", "--plain").returncode == 2
    assert data.run("log", "ffff").returncode == 1


def test_log_plain_has_no_colours_on_a_terminal(data: Data) -> None:
    session = data.new()
    data.ok("send", session, "seq 40", "--wait")
    with data.terminal("log", session, "--plain") as terminal:
        assert terminal.end() == 0
        assert b"\x1b" not in terminal.screen
        assert b" 40" in terminal.screen


FORMATS = ["export --otlp", "export --atif", "export --md", "export --html"]


@pytest.mark.parametrize(
    "words",
    ["log", "log --plain", "log --json", "ls", "ls --json", "grep 31mf", "grep 31mf --json", *FORMATS],
)
def test_no_character_of_an_agent_that_controls_a_terminal_is_printed_raw(
    data: Data, session: str, words: str
) -> None:
    printed = data.ok(*words.split())
    assert RAW.search(printed) is None, ascii(printed)
    assert "é 😀" in printed, "other characters are readable"
    if words == "ls --json":
        assert json.loads(printed)["title"] == HOSTILE
    if words == "log --json":
        assert [json.loads(line)["text"] for line in printed.splitlines()[1:4]] == [HOSTILE] * 3
    if words == "grep 31mf --json":
        assert {json.loads(line)["session"] for line in printed.splitlines()} == {session}


@pytest.mark.parametrize(
    "words", [("ls", "--data"), ("export", "--md", "--file"), ("verify", "--data"), ("do",)]
)
def test_what_a_user_named_is_shown_without_such_characters(data: Data, words: tuple[str, ...]) -> None:
    """A path or a name may come from another user: from a completion, or from a script's list."""
    done = data.run(*words, HOSTILE.replace("/", ""))
    said = (done.stdout + done.stderr).decode()
    assert RAW.search(said) is None, ascii(said)
    assert "31mf" in said, "it is named"


def test_attach_json_prints_no_such_character_either(data: Data, session: str) -> None:
    with data.running("attach", session, "--json") as follower:
        follower.until(b'"foreign"')
        assert RAW.search(follower.out.decode()) is None


def test_the_recipes_print_no_such_character(data: Data, session: str) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", RECIPES.read_text(), re.MULTILINE | re.DOTALL)
    filters = [block for block in blocks if "SAFE=" in block]
    assert len(filters) == 2
    lines = data.log(session).read_bytes().splitlines(keepends=True)
    data.log(session).write_bytes(b"".join(lines[:8]))  # jq stops at a line that is no JSON
    for block in filters:
        done = subprocess.run(
            ["bash", "-euc", block], cwd=data.folder, capture_output=True, env=os.environ, check=True
        )
        printed = done.stdout.decode()
        assert RAW.search(printed) is None, ascii(printed)
        assert printed.count("\ufffd") > 3
