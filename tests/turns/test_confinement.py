"""What an agent can read of the server's secrets. As another user, by docs/deploy.md, no process survives its turn."""

import errno
import getpass
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from breakglass.config import Config
from breakglass.config.agents import AgentConfig
from breakglass.store.sessions import Session
from breakglass.turns.end import cancel_turn, end_if_lost, find_processes
from tests.help import turns as real_turns
from tests.help.servers import TOKEN, RealServer, Server, serving
from tests.help.session_logs import output_of
from tests.help.turns import begin_turn, kill_runner, wait_for_end, wait_for_output, wait_for_status
from tests.help.waiting import DEADLINE, wait_until

DEPLOY = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")
COMMANDS = next(
    tomllib.loads(text)["agents"]
    for text in re.findall(r"^```toml\n(.*?)^```$", DEPLOY, re.MULTILINE | re.DOTALL)
    if "setpriv" in text
)
SECRET = "sk-test-0123456789abcdef"


# --- secrets --------------------------------------------------------------------------------------


def test_known_secrets_do_not_get_into_the_log(root: Path) -> None:
    agent = AgentConfig("shell", "shell", ("bash",), env={"MY_API_KEY": SECRET})
    other = AgentConfig("other", "shell", ("bash",), env={"OTHER_TOKEN": "only-of-another-agent"})
    settings = real_turns.make_config(root, agent, other, token=TOKEN)
    split = f"printf '%s' {TOKEN[:20]}; sleep 0.3; echo {TOKEN[20:]}"
    often = f"for n in 1 2 3 4 5; do printf '%s' {TOKEN[:30]}; sleep 0.3; echo {TOKEN[30:]}; done"
    script = f"echo $MY_API_KEY; echo only-of-another-agent >&2; {split}; {often}; echo over"
    session, turn = begin_turn(settings, script)
    text = "".join(event.get("output", "") for event in wait_for_end(session, turn))
    assert text == "[masked]\nonly-of-another-agent\n" + "[masked]\n" * 6 + "over\n", (
        "a runner knows only its own agent's env"
    )


class WithoutCapabilities(RealServer):
    """A server without capabilities. To the kernel it and its agents are ordinary users, even if they are root."""

    prefix = ("setpriv", "--bounding-set", "-all", "--") if os.geteuid() == 0 else ()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_agent_cannot_read_the_servers_token_out_of_its_process(workers: str, tmp_path: Path) -> None:
    server = WithoutCapabilities(tmp_path / "var", "--workers", workers)
    try:
        text = run_in_shell(
            server,
            f"cat /proc/{server.process.pid}/environ; cat /proc/$PPID/environ; cat /proc/$$/environ; echo over",
        )
        assert text.count("Permission denied") == 2, "of the server and of the turn's runner"
        assert "over" in text
        assert "BREAKGLASS_TURN" in text
        assert "BREAKGLASS_TOKEN" not in text
    finally:
        server.stop()
        server.kill()


HIDDEN = """
import os
from breakglass.config.agents import AgentConfig
from breakglass.store import turnlock
from breakglass.turns.end import cancel_turn, find_processes, wait_for_stop
from pathlib import Path
from tests.help.turns import begin_turn, make_config, runner_pid, wait_for_output
session, turn = begin_turn(make_config(Path.cwd() / "var"), "echo up; sleep 1000")
wait_for_output(session, turn, "up")
runner = runner_pid(session)
try:
    open(f"/proc/{runner}/environ")
except PermissionError:
    print("hidden")
print(runner in find_processes(session), runner in {each.pid for each in turnlock.find_holders(session)})
cancel_turn(session, by="ann")
print(wait_for_stop(session).turn)
"""


def test_a_process_of_the_same_user_finds_a_runner_whose_environment_is_hidden(tmp_path: Path) -> None:
    done = subprocess.run(
        [*WithoutCapabilities.prefix, sys.executable, "-c", HIDDEN],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE,
    )
    assert done.stdout == "hidden\nTrue True\nNone\n"


def test_no_process_can_open_the_job_of_a_runner(root: Path) -> None:
    session, turn = begin_turn(real_turns.make_config(root), "echo up; sleep 1000")
    wait_for_output(session, turn, "up")
    refused = 0
    try:
        os.open(f"/proc/{real_turns.runner_pid(session)}/fd/0", os.O_RDONLY)
    except OSError as error:
        refused = error.errno or 0
    assert refused in (errno.ENXIO, errno.EACCES), "root finds a socket, and its own user nothing"
    cancel_turn(session, by="ann")


def run_in_shell(server: Server, script: str) -> str:
    """Run a script in a new session and return its output."""
    session = server.new_session()
    server.prompt(session, script)
    server.wait_for_end(session)
    return output_of(Session(server.data, session))


def test_an_agent_that_calls_our_api_without_a_token_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        assert "401" in run_in_shell(server, f"curl -si {server.address}/api/sessions; true")


# --- another user ----------------------------------------------------------------------------------------


def as_other_user(name: str) -> AgentConfig:
    """Return an agent of docs/deploy.md with another user: an existing one, and with a shell as its program."""
    if name == "runuser":
        return AgentConfig("shell", "shell", ("runuser", "-u", "nobody", "--", "bash"))
    replacements = {"agent": "nobody", "/home/agent": "/", "claude": "bash"}
    replaced = [replacements.get(argument, argument) for argument in COMMANDS[name]["command"]]
    group = os.stat("/").st_gid if getpass.getuser() != "root" else 65534
    replaced[replaced.index("--regid") + 1] = str(group)
    return AgentConfig("shell", "shell", tuple(replaced))


def alive(session: Session) -> set[int]:
    return find_processes(session)


SLEEPS = "(setsid sleep 1000 &) ; echo up; sleep 1000"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user; CI is root")
@pytest.mark.parametrize("name", ["claude-as-agent", "runuser"])
def test_no_process_of_another_user_survives_the_stop_of_its_turn(name: str, root: Path) -> None:
    session, turn = begin_turn(real_turns.make_config(root, as_other_user(name)), SLEEPS)
    wait_for_output(session, turn, "up")
    wait_until(lambda: len(alive(session)) >= 4, "the mark on the runner, a shell and two sleeping processes")
    assert cancel_turn(session, by="ann")
    assert wait_for_status(session, turn) == "cancelled"
    wait_until(lambda: not alive(session), "the death of all processes")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user; CI is root")
@pytest.mark.parametrize("name", ["claude-as-agent", "runuser"])
def test_no_process_of_another_user_survives_the_end_of_its_lost_turn(name: str, root: Path) -> None:
    session, turn = begin_turn(real_turns.make_config(root, as_other_user(name)), SLEEPS)
    wait_for_output(session, turn, "up")
    shells = {pid for pid in alive(session) if "\0-c\0" in Path(f"/proc/{pid}/cmdline").read_text()}
    kill_runner(session)
    if name != "runuser":  # otherwise the agent dies with the runner, before the session is read
        wait_until(lambda: not any(is_shell(pid) for pid in shells), "the agent's death")
    end_if_lost(session)
    assert wait_for_status(session, turn) == "lost"
    assert alive(session) == set()


def is_shell(pid: int) -> bool:
    try:
        return "eval" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user; CI is root")
@pytest.mark.parametrize("name", ["claude-as-agent", "runuser"])
def test_another_user_reads_neither_token_nor_logs(name: str, root: Path) -> None:
    settings: Config = real_turns.make_config(root, as_other_user(name))
    root.mkdir(mode=0o700)
    (root / "token").write_text(f"{TOKEN[::-1]}\n")
    script = f"cat {root}/token {root}/sessions/*/events.jsonl {root}/logins.jsonl; id -u; echo over"
    session, turn = begin_turn(settings, script)
    text = "".join(event.get("output", "") for event in wait_for_end(session, turn))
    assert "over" in text
    assert len(re.findall("Permission denied|No such file", text)) == 3
    assert TOKEN[::-1] not in text
    assert '"kind"' not in text
