"""docs/operate.md as a user follows it: a backup while a turn runs, its restore, and an upgrade."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from breakglass.store.sessions import Session
from breakglass.store.turnlock import read_runner
from tests.help.servers import Server, environment
from tests.help.waiting import wait_until

ROOT = Path(__file__).parents[2]
COUNTING = "for i in $(seq 9); do echo line $i; done; while [ ! -e {gate} ]; do sleep 0.1; done; echo the end"


def blocks_of(heading: str) -> list[str]:
    """Return the command lines of a section of the page."""
    page = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^##+ {heading}\n(.*?)^##+ ", page, re.MULTILINE | re.DOTALL)
    return re.findall(r"^```text\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def run(script: str, folder: Path, python: str = sys.executable) -> str:
    """Run command lines as root's shell would, with this installation's program and without systemd."""
    bin_ = folder / "bin"
    bin_.mkdir(exist_ok=True)
    (bin_ / "breakglass").write_text(f'#!/bin/sh\nexec {python} -m breakglass "$@"\n')
    (bin_ / "systemctl").write_text("#!/bin/sh\nexit 0\n")
    for program in bin_.iterdir():
        program.chmod(0o755)
    env = environment(folder / "var", BREAKGLASS_TOKEN="")
    env = {**env, "PATH": f"{bin_}:{env['PATH']}"}
    del env["BREAKGLASS_TOKEN"]
    done = subprocess.run(
        ["bash", "-euc", script], env=env, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def outputs(server: Server, session: str) -> str:
    events = map(json.loads, server.log(session).read_bytes().splitlines())
    return "".join(str(each.get("output", "")) for each in events if each["kind"] == "tool_result")


def kinds(server: Server, session: str) -> list[Any]:
    return [json.loads(line)["kind"] for line in server.log(session).read_bytes().splitlines()]


def test_a_backup_that_was_made_while_a_turn_ran_is_restored_and_passes_verify_all(tmp_path: Path) -> None:
    server = Server(tmp_path / "var")
    try:
        done, running = server.new_session(agent="shell"), server.new_session(agent="shell")
        server.prompt(done, "echo before")
        server.wait_for_end(done)
        server.prompt(running, COUNTING.format(gate=tmp_path / "gate"))
        wait_until(lambda: "tool" in kinds(server, running), "the turn to run")

        def at(script: str) -> str:
            return script.replace("/var/lib/breakglass", str(tmp_path / "var")).replace("backup:", "backup/")

        backup, look = blocks_of("Backup")
        (tmp_path / "backup").mkdir()
        run(at(backup), tmp_path)
        assert "2 logs, 0 of them broken" in run(
            look.replace(" breakglass/", " backup/breakglass/").replace("--data ", "--data backup/"), tmp_path
        )
        (tmp_path / "gate").touch()
        server.wait_for_end(running)
    finally:
        server.kill()
    saved = (tmp_path / "backup/breakglass/sessions" / running / "events.jsonl").read_bytes()
    assert server.log(running).read_bytes().startswith(saved)
    shutil.rmtree(tmp_path / "var")
    (restore,) = blocks_of("Restore")
    assert "2 logs, 0 of them broken" in run(at(restore), tmp_path)
    server.start()
    try:
        assert server.state(done)["status"] == "ok"
        # The server itself ends the lost turn as it starts. Until then it holds the turn lock.
        wait_until(lambda: server.state(running)["status"] == "lost", "the end of the lost turn")
        run("breakglass verify --all", tmp_path)
    finally:
        server.kill()


# --- upgrade --------------------------------------------------------------------------------------


def git(*words: str) -> bytes:
    return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, check=True).stdout


@pytest.fixture
def install(tmp_path: Path) -> Callable[[str], str]:
    """A function that puts the package of a revision, "" for this one, into one environment. It returns its Python."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (packages,) = venv.glob("lib/python3*/site-packages")
    (packages / "0.pth").write_text(
        "".join(f"{each}\n" for each in sys.path if each.endswith("site-packages"))
    )

    def put(revision: str) -> str:
        shutil.rmtree(packages / "breakglass", ignore_errors=True)  # in place, as pip does
        if revision:
            archive = git("archive", revision, "breakglass")
            subprocess.run(["tar", "-x", "-C", packages], input=archive, check=True)
        else:
            shutil.copytree(ROOT / "breakglass", packages / "breakglass")
        return str(venv / "bin" / "python")

    return put


def last_version() -> str:
    """Return the last revision of the version before the present one. It needs the history of the repository."""
    release = git("log", "-1", "--format=%H", "-G^__version__", "--", "breakglass/__init__.py").decode()
    return f"{release.strip()}~1"


def install_old(install: Callable[[str], str], folder: Path, *, is_real: bool) -> tuple[str, str]:
    """Install an older version, or this code as one. Return its Python and its version."""
    python = install(last_version() if is_real else "")
    (module,) = (folder / "venv").glob("lib/python3*/site-packages/breakglass/__init__.py")
    if not is_real:
        module.write_text(re.sub(r'(?m)^__version__ = ".+"', '__version__ = "0.0.1"', module.read_text()))
    (version,) = re.findall(r'(?m)^__version__ = "(.+)"', module.read_text())
    return python, version


@pytest.mark.parametrize("is_real", [False, pytest.param(True, marks=pytest.mark.torture)])
def test_an_upgrade_during_a_running_turn_loses_nothing(
    is_real: bool, tmp_path: Path, install: Callable[[str], str]
) -> None:
    """The old runner goes on, also into a prompt that waits. A clone may have no history: then old is this code."""
    old, before = install_old(install, tmp_path, is_real=is_real)

    class Installed(Server):
        python = old

        def _process(self, output: int) -> subprocess.Popen[bytes]:
            words = [self.python, "-m", "breakglass", "serve"]
            env = {**self._env, "BREAKGLASS_PORT": str(self.port)}
            return subprocess.Popen(words, env=env, stdout=output, stderr=output, cwd=self.data.parent)

    server = Installed(tmp_path / "var")
    try:
        assert server.ask("GET", "/health")[1]["version"] == before
        session = server.new_session(agent="shell")
        server.prompt(session, COUNTING.format(gate=tmp_path / "gate"))
        status, queued, _ = server.ask(
            "POST", f"/api/sessions/{session}/turns", {"prompt": "echo second", "queue": True}
        )
        assert (status, [*queued]) == (202, ["queued"])
        wait_until(lambda: "tool" in kinds(server, session), "the turn to run")
        runner = read_runner(Session(server.data, session))
        install("")
        assert server.stop() == 0
        server.kill()  # closes its output
        server.start()
        assert server.ask("GET", "/health")[1]["version"] != before
        assert server.state(session)["turn_active"] is True, server.log(session).read_text()
        assert read_runner(Session(server.data, session)) == runner
        (tmp_path / "gate").touch()
        assert server.wait_for_end(session) == "ok"
        assert outputs(server, session) == "".join(f"line {n}\n" for n in range(1, 10)) + "the end\nsecond\n"
        assert kinds(server, session).count("turn_end") == 2
        run("breakglass verify --all", tmp_path, Installed.python)
    finally:
        server.kill()
