"""The instructions and runbooks of an agent: where they come from, how it gets them, and what refuses a turn."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from breakglass.agents import TurnInput, new_dialogue
from breakglass.config import Config
from breakglass.config.agents import AgentConfig
from breakglass.errors import BadConfig
from breakglass.load_config import load_config
from breakglass.store import sessions
from breakglass.turns import instructions
from breakglass.turns.begin import submit_prompt
from tests.help.turns import make_config, wait_for_end

SHOW_ARGUMENTS = """
import json, sys
print(json.dumps({"type": "result", "is_error": False, "result": json.dumps(sys.argv[1:])}))
"""
"""An agent that answers with its arguments."""
CLAUDE = AgentConfig("claude", "claude", (sys.executable, "-c", SHOW_ARGUMENTS))
ACP = AgentConfig("other", "acp", ("agent",))


@pytest.fixture
def config(root: Path) -> Config:
    return make_config(root, CLAUDE, ACP)


def test_claude_gets_the_text_and_the_directory_as_arguments_of_every_turn(
    config: Config, tmp_path: Path
) -> None:
    (tmp_path / "own").write_text("Never reboot.\n")
    (tmp_path / "books").mkdir()
    agent = replace(CLAUDE, instructions=str(tmp_path / "own"), runbooks=str(tmp_path / "books"))
    config = replace(config, agents={"claude": agent}, agent="claude")
    session = sessions.create(config.data, "claude")
    turn = submit_prompt(config, session, "hi", by="ann").id
    (result,) = [event for event in wait_for_end(session, turn) if event["kind"] == "result"]
    text, books = json.loads(result["result"])[-2:]
    assert text.startswith("--append-system-prompt=Never reboot.\n\nThe runbooks of this site are in ")
    assert books == f"--add-dir={tmp_path / 'books'}"


def test_the_shipped_text_is_for_agents_with_a_system_prompt(config: Config) -> None:
    shipped = instructions.text_for(config, CLAUDE, None)
    order = ("Look first", "Keep evidence", "Repair in place", "Then the verbs", "Then confirm")
    assert [shipped.index(each) for each in order] == sorted(shipped.index(each) for each in order)
    assert instructions.text_for(config, ACP, None) == ""
    assert instructions.text_for(config, AgentConfig("sh", "shell", ("bash",)), "db1") == ""


def test_an_empty_file_gives_no_instructions(config: Config, tmp_path: Path) -> None:
    (tmp_path / "own").write_text("\n")
    assert instructions.text_for(config, replace(CLAUDE, instructions=str(tmp_path / "own")), None) == ""


def test_the_agent_is_told_about_which_machine_the_session_is(config: Config, root: Path) -> None:
    for agent in (CLAUDE, ACP):
        told = instructions.text_for(config, agent, "db1")
        assert "about the machine db1" in told
        assert "Reach it by ssh under its name." in told
    (root / "ssh").mkdir(parents=True)
    (root / "ssh" / "config").touch()
    assert f"ssh -F {root}/ssh/config" in instructions.text_for(config, CLAUDE, "db1")


def test_an_acp_agent_gets_them_before_the_first_prompt_of_its_session_only() -> None:
    for session, count in ((None, 2), ("earlier", 1)):
        dialogue = new_dialogue(
            "acp", TurnInput("hi", ("agent",), session=session, instructions="Look first.")
        )
        dialogue.open()
        lines = (
            {
                "id": 1,
                "result": {
                    "protocolVersion": 1,
                    "agentCapabilities": {"sessionCapabilities": {"resume": {}}},
                },
            },
            {"id": 2, "result": {"sessionId": "s"}},
        )
        for line in lines:
            dialogue.translate(json.dumps({"jsonrpc": "2.0", **line}).encode() + b"\n")
        blocks = json.loads(dialogue.reply().splitlines()[-1])["params"]["prompt"]
        assert [block["type"] for block in blocks] == ["text"] * count
        assert blocks[-1]["text"] == "hi"
        assert ("Look first." in blocks[0]["text"]) == (count == 2)


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "could not be read"), (b"\xff", "not UTF-8"), (b"a\0b", "NUL"), (b"x" * 32769, "32 KiB")],
)
def test_a_text_that_cannot_be_used_refuses_the_turn_before_it_begins(
    config: Config, tmp_path: Path, content: bytes | None, why: str
) -> None:
    path = tmp_path / "own"
    if content is not None:
        path.write_bytes(content)
    config = replace(config, agents={"claude": replace(CLAUDE, instructions=str(path))}, agent="claude")
    session = sessions.create(config.data, "claude")
    with pytest.raises(BadConfig, match=re.escape("agents.claude.instructions") + f".*{why}"):
        submit_prompt(config, session, "hi", by="ann")
    assert session.state().last_turn is None


def test_runbooks_must_be_a_directory(config: Config, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"agents\.claude\.runbooks: .* is no directory"):
        instructions.text_for(config, replace(CLAUDE, runbooks=str(tmp_path / "none")), None)


@pytest.mark.parametrize("which", ["instructions", "runbooks"])
def test_a_shell_takes_no_instructions_and_the_settings_say_so(tmp_path: Path, which: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(f'[agents.shell]\n{which} = "/etc/own"\n')
    with pytest.raises(BadConfig, match=f"agents.shell.{which}: has no effect, because a shell takes no"):
        load_config({}, str(path))
    path.write_text(f'[agents.claude]\n{which} = "own"\n')
    with pytest.raises(BadConfig, match=rf"agents.claude.{which}: expected paths that begin with / or ~/"):
        load_config({}, str(path))


def test_the_page_of_the_agents_has_the_shipped_text() -> None:
    page = (Path(__file__).parents[2] / "docs" / "agents.md").read_text()
    indented = "".join(
        f"    {line}".rstrip() + "\n" for line in instructions.SHIPPED.read_text().splitlines()
    )
    assert indented in page
