"""CONTRIBUTING.md names what exists, its layers are those of the test, and its lists are enough for an addition.

Each probe makes one addition in a copy of the package, only in the files that its list names, and uses it there.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.test_layers import LEVEL, ROWS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PATHS = sorted(set(re.findall(r"`((?:breakglass|tests|docs)/[\w./]+|CHANGELOG\.md)`", TEXT)))


class Probe(NamedTuple):
    """One addition, and a program that uses it."""

    edits: dict[str, tuple[str, str]]
    """Path in the copy, to a text and what is put before it. An empty text stands for a new file."""
    program: str


COMMAND_FILE = '''"""Print a probe."""

from breakglass.cli.command import Command

def run(config, args):
    print("probed")
    return 0

COMMAND = Command(run, examples="  breakglass probe")
'''
DIALOGUE_FILE = """
from breakglass.agents.line_dialogue import LineDialogue

class Dialogue(LineDialogue):
    def __init__(self, turn_input):
        super().__init__(turn_input, list(turn_input.command))
"""

PROBES = {
    "event kind": Probe(
        {
            "breakglass/kinds.py": (
                '    "renamed": Kind(',
                '    "probed": Kind(("turn",), "A probe ran."),\n',
            ),
            "breakglass/web/page/templates/events/probed.html": ("", "<li>shown: {{ e.turn }}</li>"),
        },
        """
from breakglass import events
from breakglass.cli.transcript import Transcript
from breakglass.web.page.fragments import fragment
from tests.docs import events_reference
line = events.encode(7, "2026-11-23T03:12:00.000Z", "probed", {"turn": 2})
event = events.decode(line, 7)
assert event["kind"] == "probed"
assert fragment(event) == "<li>shown: 2</li>"
assert "probed" in Transcript().render(event)
assert "| `probed` | `turn` | A probe ran. |" in events_reference.render()
""",
    ),
    "setting": Probe(
        {
            "breakglass/config/__init__.py": (
                "    host: str = setting(",
                '    probe: int = setting(5, parse_port, "a probe", option="--probe N")\n',
            )
        },
        """
from breakglass.cli.settings_help import settings_help
from breakglass.load_config import load_config
from tests.docs import settings_reference
assert load_config({}).probe == 5
assert load_config({"BREAKGLASS_PROBE": "7"}).probe == 7
assert "BREAKGLASS_PROBE" in settings_reference.render() and "probe" in settings_help()
""",
    ),
    "command": Probe(
        {
            "breakglass/cli/commands/probe.py": (
                "",
                COMMAND_FILE,
            ),
            "breakglass/cli/commands/__init__.py": ("serve new send continue adopt", "probe "),
        },
        """
from breakglass.cli import arguments, main
from tests.docs import commands_reference
assert main(["probe"]) == 0
assert "Print a probe" in arguments.overview()
assert "| `breakglass probe` | Print a probe |" in commands_reference.render()
""",
    ),
    "route of the API": Probe(
        {
            "breakglass/web/operations.py": (
                '    "list_sessions": Operation(',
                '    "probe": Operation(method="GET", path="/api/probe", summary="Probe", response=object_of()),\n',
            ),
            "breakglass/web/api.py": (
                "@operation\nasync def list_sessions()",
                '@operation\nasync def probe() -> Result:\n    return {"probe": 1}\n\n\n',
            ),
        },
        """
import asyncio
from pathlib import Path
from breakglass.access.credentials import Access
from breakglass.load_config import load_config
from breakglass.web.app import create_app
from breakglass.web.openapi import document
from tests.docs import api_reference
from tests.help.credentials import make_token

async def ask():
    app = create_app(load_config({}), Access(Path("var"), token=make_token("t")))
    return await (await app.test_client().get("/api/probe")).get_json()

assert asyncio.run(ask()) == {"probe": 1}
assert "/api/probe" in document()["paths"]
assert "/api/probe" in api_reference.render()
""",
    ),
    "agent": Probe(
        {
            "breakglass/agents/probe/__init__.py": (
                "",
                "from breakglass.agents import About\n\nABOUT = About(built_in=('probe-agent',))\n",
            ),
            "breakglass/agents/probe/dialogue.py": (
                "",
                DIALOGUE_FILE,
            ),
            "breakglass/agents/__init__.py": (
                '    "acp": "breakglass.agents.acp",\n',
                '    "probe": "breakglass.agents.probe",\n',
            ),
        },
        """
from breakglass.agents import TurnInput, new_dialogue
from breakglass.load_config import load_config
config = load_config({"BREAKGLASS_AGENT": "probe"})
assert config.agent_named("probe").command == ("probe-agent",)
assert load_config({}).agent != "probe"
assert new_dialogue("probe", TurnInput("hi", ("probe-agent",))).argv == ["probe-agent"]
""",
    ),
}


def named_places(thing: str) -> list[str]:
    """Return the paths in the list for a new `thing`, as patterns: a word of capitals stands for any name."""
    section = re.search(rf"\*\*A new {thing}\*\*.*?\n\n(.*?)\n\n", TEXT, re.DOTALL)
    assert section
    items = re.findall(r"^[0-9]\. `([^`]+)`", section[1], re.MULTILINE)
    return [re.sub(r"\b[A-Z]{2,}\b", "*", item) for item in items]


@pytest.mark.parametrize("path", PATHS)
def test_every_path_that_it_names_exists(path: str) -> None:
    assert [*ROOT.glob(re.sub(r"\b[A-Z]{2,}\b", "*", path))], path


def test_its_levels_are_those_of_the_layer_test() -> None:
    named = {
        (len(ROWS) - int(level), name)
        for level, places in re.findall(r"^\| ([0-9]+) \| [\w ]+ \| (.*?) \|", TEXT, re.MULTILINE)
        for name in re.findall(r"`breakglass/(\w+)", places)
    }
    assert named == {(-height, name) for name, height in LEVEL.items()}


@pytest.mark.parametrize("thing", PROBES)
def test_a_list_has_as_many_places_as_its_heading_says(thing: str) -> None:
    found = re.search(rf"\*\*A new {thing}\*\* \((.*?)\)\n\n(.*?)\n\n", TEXT, re.DOTALL)
    assert found
    assert sum(map(int, re.findall(r"[0-9]+", found[1]))) == len(
        re.findall(r"^[0-9]\. ", found[2], re.MULTILINE)
    )


@pytest.mark.parametrize("thing", PROBES)
def test_an_addition_in_the_named_places_works(thing: str, tmp_path: Path) -> None:
    probe = PROBES[thing]
    shutil.copytree(
        ROOT / "breakglass", tmp_path / "breakglass", ignore=shutil.ignore_patterns("__pycache__")
    )
    for path, (before, added) in probe.edits.items():
        assert any(Path(path).match(place) or Path(path).parent.match(place) for place in named_places(thing))
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True)
        text = file.read_text(encoding="utf-8") if before else ""
        assert not before or text.count(before) == 1
        file.write_text(text.replace(before, added + before) if before else added, encoding="utf-8")
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(  # the assertion below shows what the program printed
        [sys.executable, "-c", probe.program],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
