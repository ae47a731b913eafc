"""README.md and docs/*.md are correct: commands run, settings load, and everything that users need is documented."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from breakglass import config, kinds
from breakglass.cli.commands import NAMES
from breakglass.load_config import load_config
from breakglass.web.operations import OPERATIONS
from tests.help.servers import TOKEN, Server, environment, serving
from tests.help.waiting import DEADLINE

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
EVERYTHING = "".join(page.read_text(encoding="utf-8") for page in PAGES)
ENDLESS = re.compile(r"(tail -q?f|breakglass attach)\b")
"""Commands that run until they are stopped. The tests stop them after two seconds."""
REFUSED = re.compile(r"breakglass (answer|do log-in-claude)\b")
"""Exits with 1 here: the example's agent has no open question, and Claude Code is not installed."""
DF = '#!/bin/sh\nPATH=/usr/bin:/bin df "$@"\nexit 0\n'
"""The real df, but without its exit status, which is 1 where this machine has a mount that it cannot read."""


class Block(NamedTuple):
    """One fenced block of a page."""

    page: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text.strip().splitlines()[0][:40]}"


def blocks(language: str) -> list[Block]:
    """Return the blocks of all pages in that language."""
    return [
        Block(page.name, text)
        for page in PAGES
        for text in re.findall(
            rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
    ]


def bounded(line: str) -> str:
    """Return a line of a script, stopped after two seconds if it would not end by itself."""
    if REFUSED.match(line):
        return f"{line.partition('#')[0].rstrip()} || [ $? = 1 ]"
    if not ENDLESS.match(line):
        return line
    return f"timeout 2 {line.partition('#')[0].rstrip()} || [ $? = 124 ]"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Server]]:
    """A folder with a server's data root in it. Its one session has a prompt, a tool call and an error."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "bin").mkdir()
    (folder / "bin" / "df").write_text(DF)
    (folder / "bin" / "df").chmod(0o755)
    with serving(folder / "var") as server:
        (folder / "var" / "token").write_text(TOKEN + "\n")
        (folder / "var" / "token").chmod(0o600)
        session = server.new_session(title="an example")
        server.prompt(session, "echo one; ls /nowhere")
        server.wait_for_end(session)
        yield folder, server


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_every_command_on_every_page_runs(example: tuple[Path, Server], block: Block) -> None:
    folder, server = example
    script = block.text.replace("127.0.0.1:8420", f"127.0.0.1:{server.port}")
    script = "\n".join(bounded(line) for line in script.split("\n"))
    env = {
        **environment(folder / "var"),
        "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    completed = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        check=False,
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert completed.returncode == 0, completed.stderr
    assert "Traceback" not in completed.stderr
    assert completed.stdout


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_every_toml_block_is_a_valid_configuration(tmp_path: Path, block: Block) -> None:
    path = tmp_path / "breakglass.toml"
    path.write_text(block.text)
    loaded = load_config({}, str(path))
    assert set(tomllib.loads(block.text).get("agents", {})) <= set(loaded.agents)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_is_documented(name: str) -> None:
    assert f"breakglass {name}" in EVERYTHING


@pytest.mark.parametrize("kind", [*kinds.KINDS])
def test_every_event_kind_is_documented(kind: str) -> None:
    assert f"`{kind}`" in EVERYTHING


@pytest.mark.parametrize("setting", [*config.SETTINGS])
def test_every_setting_is_documented(setting: str) -> None:
    assert f"`BREAKGLASS_{setting.upper()}`" in EVERYTHING


@pytest.mark.parametrize("route", [f"{each.method} {each.path}" for each in OPERATIONS.values()])
def test_every_route_is_documented(route: str) -> None:
    assert f"`{route}`" in EVERYTHING


def test_the_readme_shows_the_two_commands() -> None:
    assert re.search(r"^    make run\b.*\n    make test\b", README.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_readme_fits_on_three_screens() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_every_link_between_the_pages_has_a_target(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_test_file_that_a_page_names_exists() -> None:
    present = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")]
    named = set(re.findall(r"`((?:\w+/)*test_\w+\.py)[`:]", EVERYTHING))
    assert named
    assert [name for name in named if not any(f"/{path}".endswith(f"/{name}") for path in present)] == []


SECURITY = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_attack_in_security_md_names_tests_that_exist() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.rglob("test_*.py"))
    rows = re.findall(r"^\|.*`test_.*\|$", SECURITY, re.MULTILINE)
    named = re.findall(r"`(test_\w+)`", "".join(rows))
    assert len(rows) > 30
    assert [name for name in named if f"def {name}(" not in sources] == []
