"""The README tells the truth: its commands run, and everything there is to know stands in it."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakglass import config, events
from breakglass.agents import PROTOCOLS
from breakglass.cli.commands import NAMES
from breakglass.load_config import load_config
from breakglass.web.openapi import OPERATIONS
from tests.help.servers import TOKEN, Server, environment, serving

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
ENDLESS = re.compile(r"^(tail -f|breakglass attach)", re.MULTILINE)
"""Commands that go on until they are stopped: here, after a moment."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Server]]:
    """A folder with a server's data in it, and a session that has something of everything."""
    folder = tmp_path_factory.mktemp("readme")
    with serving(folder / "var") as server:
        (folder / "var" / "token").write_text(TOKEN + "\n")
        (folder / "var" / "token").chmod(0o600)
        session = server.new_session(title="an example")
        server.prompt(session, "echo one; ls /nowhere")
        server.ended(session)
        yield folder, server


@pytest.mark.parametrize("script", blocks("sh"), ids=lambda script: str(script).split("\n")[0][:40])
def test_every_command_of_the_readme_runs(place: tuple[Path, Server], script: str) -> None:
    folder, server = place
    script = script.replace("127.0.0.1:8420", f"127.0.0.1:{server.port}")
    script = ENDLESS.sub(lambda found: f"timeout 2 {found[0]}", script)
    script = re.sub(
        r"^(timeout 2 .*)$", r"\1 || [ $? = 124 ]", script.replace("# replay", "#"), flags=re.MULTILINE
    )
    script = re.sub(r"^(timeout 2 [^#|]*)#[^|]*\|\|", r"\1 ||", script, flags=re.MULTILINE)
    env = {**environment(folder / "var"), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        check=False,
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout


def test_the_settings_shown_are_accepted(tmp_path: Path) -> None:
    for number, text in enumerate(blocks("toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(text)
        loaded = load_config({}, PROTOCOLS, str(path))
        assert set(tomllib.loads(text).get("agents", {})) <= set(loaded.agents)


def test_the_unit_leaves_turns_alone() -> None:
    (unit,) = blocks("ini")
    assert "KillMode=process" in unit.split("\n")


@pytest.mark.parametrize("name", NAMES)
def test_every_command_stands_in_the_readme(name: str) -> None:
    assert f"breakglass {name}" in README


@pytest.mark.parametrize("kind", [*events.KINDS])
def test_every_kind_stands_in_the_readme(kind: str) -> None:
    assert f"`{kind}`" in README


@pytest.mark.parametrize("setting", [*config.SETTINGS])
def test_every_setting_stands_in_the_readme(setting: str) -> None:
    assert f"`BREAKGLASS_{setting.upper()}`" in README


@pytest.mark.parametrize("route", [f"{each.method.upper()} {each.path}" for each in OPERATIONS])
def test_every_route_stands_in_the_readme(route: str) -> None:
    assert f"`{route}`" in README


def test_the_two_commands_stand_in_the_readme() -> None:
    assert re.search(r"^    make run\b.*\n    make test\b", README, re.MULTILINE)


SECURITY = (Path(__file__).parent.parent / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_attack_of_security_md_has_tests_that_are_there() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.rglob("test_*.py"))
    rows = re.findall(r"^\|.*`test_.*\|$", SECURITY, re.MULTILINE)
    named = re.findall(r"`(test_\w+)`", "".join(rows))
    assert len(rows) > 30
    assert [name for name in named if f"def {name}(" not in sources] == []
