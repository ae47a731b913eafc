"""The facts about each agent: every protocol has a dialogue, and the import of the facts is cheap."""

import subprocess
import sys

import pytest

from breakglass.agents import PROTOCOLS, Dialogue, TurnInput, about, new_dialogue
from breakglass.agents.environ import environment

MEMBERS = [name for name in vars(Dialogue) if not name.startswith("_")]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_has_a_dialogue_with_all_members(protocol: str) -> None:
    dialogue = new_dialogue(protocol, TurnInput("hi", ("program",)))
    members = [*MEMBERS, "argv", "environ", "merge_stderr", "failed", "start_over"]
    assert [name for name in members if not hasattr(dialogue, name)] == []
    assert dialogue.argv[0] == "program"


def test_an_unknown_protocol_is_a_missing_key() -> None:
    for look_up in (about, lambda name: new_dialogue(name, TurnInput("hi", ("program",)))):
        with pytest.raises(KeyError):
            look_up("none")


def test_the_built_in_agents_are_claude_and_the_shell() -> None:
    commands = {name: about(name).built_in for name in PROTOCOLS}
    assert commands == {"claude": ("claude",), "acp": (), "shell": ("bash",)}
    assert [name for name in PROTOCOLS if about(name).is_command_line] == ["shell"]


def test_reading_about_all_agents_imports_no_dialogue() -> None:
    loaded = loaded_by("[about(name) for name in PROTOCOLS]")
    assert [
        name for name in loaded if name.startswith("breakglass.agents.") and name.endswith(".dialogue")
    ] == []


def test_a_dialogue_imports_nothing_slow() -> None:
    loaded = loaded_by("[new_dialogue(name, TurnInput('x', ('x',))) for name in PROTOCOLS]")
    assert {"asyncio", "dataclasses", "inspect", "subprocess"} & loaded == set()


def loaded_by(expression: str) -> set[str]:
    """Return the modules that a new interpreter has loaded after `expression`."""
    program = (
        f"import sys; sys.path[:0] = {sys.path!r};"
        f"from breakglass.agents import PROTOCOLS, TurnInput, about, new_dialogue; {expression};"
        "print(*sys.modules)"
    )
    return set(subprocess.check_output([sys.executable, "-c", program], text=True).split())


@pytest.mark.parametrize(
    ("output", "is_logged_in"),
    [
        (b'{"loggedIn": true, "authMethod": "api_key"}', True),
        (b'{"loggedIn": false}', False),
        (b'{"loggedIn": "yes"}', None),
        (b"[]", None),
        (b"unknown command: auth", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
    ],
)
def test_the_login_probe_of_claude_reads_any_output(output: bytes, is_logged_in: bool | None) -> None:
    login = about("claude").login
    assert login
    assert login.read(output) is is_logged_in


def test_claude_refuses_root_without_the_operators_consent() -> None:
    refusal = about("claude").root_refusal
    assert "[agents.mine.env]" in refusal("mine", {})
    assert refusal("mine", {"IS_SANDBOX": "1"}) == ""
    assert about("shell").root_refusal("shell", {}) == ""


SERVER = {
    "PATH": "/bin",
    "LC_ALL": "C",
    "ANTHROPIC_API_KEY": "a",
    "OPENAI_API_KEY": "o",
    "SECRET": "s",
    "BREAKGLASS_TOKEN": "t",
}


@pytest.mark.parametrize(
    ("protocol", "passed"),
    [
        ("shell", {"PATH", "LC_ALL"}),
        ("claude", {"PATH", "LC_ALL", "ANTHROPIC_API_KEY"}),
        ("acp", {"PATH", "LC_ALL", "ANTHROPIC_API_KEY", "OPENAI_API_KEY"}),
    ],
)
def test_an_agent_gets_the_variables_that_it_needs_and_no_others(protocol: str, passed: set[str]) -> None:
    assert set(environment(SERVER, protocol, (), {})) == passed


def test_the_settings_add_variables_but_never_our_own() -> None:
    got = environment(SERVER, "shell", ("SECRET", "BREAKGLASS_*"), {"PATH": "/own", "BREAKGLASS_X": "x"})
    assert got == {"PATH": "/own", "LC_ALL": "C", "SECRET": "s"}
