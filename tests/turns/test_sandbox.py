"""No process in an agent's sandbox gets out of it, and the turn in it begins, ends and stops as any other."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from breakglass.config import Config
from breakglass.config.agents import AgentConfig
from breakglass.errors import BadConfig
from breakglass.sandbox import Sandbox, command_line
from breakglass.store import sessions
from breakglass.store.sessions import Session
from breakglass.turns.begin import submit_prompt
from breakglass.turns.end import cancel_turn, end_if_lost, find_processes
from tests.help import turns as real_turns
from tests.help import without_landlock
from tests.help.other_user import UID, as_other_user
from tests.help.servers import TOKEN, environment
from tests.help.session_logs import events_of, output_of
from tests.help.superuser import require_superuser
from tests.help.turns import (
    begin_turn,
    kill_runner,
    output_of_turn,
    wait_for_end,
    wait_for_output,
    wait_for_status,
)
from tests.help.waiting import DEADLINE, wait_until

ATTEMPTS = (Path(__file__).parent / "escape_attempts.py").read_text(encoding="utf-8")
BOXED = AgentConfig("shell", "shell", ("bash",), sandbox="bwrap")
WITHOUT_LANDLOCK = (sys.executable, "-I", str(Path(without_landlock.__file__)))


@dataclass
class Machine:
    """What an agent could attack: a data root with a session, our socket, other sockets, and a setuid program."""

    folder: Path
    is_root: bool
    """Whether the server runs as root."""
    has_landlock: bool
    port: int

    @property
    def data(self) -> Path:
        return self.folder / "var"

    def breakglass(self, *words: str) -> str:
        """Run a command as the server's user, and return its output."""
        user = as_other_user() if os.geteuid() == 0 and not self.is_root else ()
        kernel = () if self.has_landlock else WITHOUT_LANDLOCK
        done = subprocess.run(
            [*user, *kernel, sys.executable, "-m", "breakglass", *words],
            env=environment(self.data, BREAKGLASS_CONFIG=str(self.folder / "breakglass.toml"), HOME="/"),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE,
        )
        assert done.returncode == 0, (done.stderr + done.stdout)[-2000:]
        return done.stdout


MACHINES = ["root", "user", "root without Landlock", "user without Landlock"]


@pytest.fixture(scope="module", params=MACHINES)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine whose server runs as root or as another user. The agent of root has the network."""
    is_root, has_landlock = "root" in request.param, "without" not in request.param
    if is_root:
        require_superuser("because the agent becomes another user")
    with ExitStack() as stack:
        # Not below /tmp, which the sandbox hides anyway.
        parent = "/var/lib" if os.geteuid() == 0 else None
        folder = Path(tempfile.mkdtemp(dir=parent, prefix="breakglass-test-"))
        stack.callback(shutil.rmtree, folder)
        folder.chmod(0o755)
        port = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        for address in (f"{folder}/socket", f"{folder}/other", f"\0{folder.name}"):
            listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(address)
            listening.listen()
        for name in ("socket", "other"):
            (folder / name).chmod(0o666)
        shutil.copy("/bin/sleep", folder / "setuid")
        (folder / "setuid").chmod(0o4755)
        network = str(is_root).lower()
        (folder / "breakglass.toml").write_text(
            f'socket = "{folder}/socket"\n[agents.shell]\nsandbox = "bwrap"\nnetwork = {network}\n'
        )
        if os.geteuid() == 0 and not is_root:
            for path in (folder, folder / "breakglass.toml"):
                os.chown(path, UID, UID)
        yield Machine(folder, is_root, has_landlock, port.getsockname()[1])


REFUSED = {
    "remount the root": "EPERM",
    "unmount what hides the data root": "EPERM",
    "mount a file system": "EPERM",
    "mount in new namespaces": "EPERM",
    "make a disk's device": "EACCES",
    "find a disk's device": "[]",
    "open by handle": "EPERM",
    "change the root": "EPERM",
    "become root": "EPERM",
    "rename the machine": "EPERM",
    "run a setuid program": "no effect",
    "trace a process outside": "ESRCH",
    "trace the sandbox": "EPERM",
    "kill a process outside": "ESRCH",
    "read the environment of a process outside": "ENOENT",
    "set what runs at a crash": "EACCES",
    "read the token": "ENOENT",
    "read the token through the sandbox": "EACCES",
    "read a log": "ENOENT",
    "write into the data root": "EROFS",
    "read a neighbour's instructions": "ENOENT",
    "write a neighbour's instructions": "ENOENT",
    "write a neighbour's settings": "ENOENT",
    "exchange the own workspace": "EROFS",
    "write a system file": "EROFS",
    "read a file in a home directory": "ENOENT",
    "call docker": "ENOENT",
    "call systemd": "ENOENT",
    "call D-Bus": "ENOENT",
    "call our server": "ECONNREFUSED",
    "call an abstract socket": "EPERM",
    "call a socket in another directory": "ECONNREFUSED",
    "call the hypervisor": "EAFNOSUPPORT",
    "call the kernel's cryptography": "EAFNOSUPPORT",
    "send raw frames": "EAFNOSUPPORT",
    "read the keys of the server's session": "EPERM",
    "handle page faults": "EPERM",
    "load a program into the kernel": "EPERM",
    "call past the filter with io_uring": "EPERM",
    "call past the filter with clone3": "ENOSYS",
    "call past the filter with x32": "ENOSYS",
    "call a port of this machine": "done",
    "type into a terminal": "ENXIO",
    "write the workspace": "done",
    "write a temporary file": "done",
    "write the home directory": "done",
    "write to a device": "done",
    "start a program": "done",
    "descriptors": "0 1 2 3",
    "shared memory": "",
    "processes": "",
    "run": "sandbox_init.py",
    "capabilities": "0000000000000000 " * 5 + "1",
}
"""What each attempt gets, with the network and Landlock."""


WITHOUT_NETWORK = {
    "call an abstract socket": "ECONNREFUSED",
    "call a port of this machine": "ECONNREFUSED",
}
AS_USER = {"become root": "EINVAL"}
"""In a user namespace there is no root."""
ROOT_WITHOUT_LANDLOCK = {"make a disk's device": "EPERM", "call an abstract socket": "done"}
"""Without Landlock the network includes the abstract sockets of this machine."""
USER_WITHOUT_LANDLOCK = {
    "make a disk's device": "EPERM",
    "trace the sandbox": "done",
    "read the token through the sandbox": "ENOENT",
}
"""The first process of the sandbox has no more rights than the agent, and sees the same files."""


def test_no_attempt_to_escape_succeeds(machine: Machine) -> None:
    neighbour = machine.breakglass("new").strip()
    workspace = machine.data / "workspaces" / neighbour
    (workspace / ".claude").mkdir(parents=True)
    for name in ("CLAUDE.md", ".claude/settings.json"):
        (workspace / name).write_text("of a neighbour")
    (machine.data / "token").write_text(TOKEN)
    target = {
        "data": str(machine.data),
        "neighbour": str(workspace),
        "pid": os.getpid(),
        "setuid": f"{machine.folder}/setuid",
        "socket": f"{machine.folder}/socket",
        "other": f"{machine.folder}/other",
        "abstract": machine.folder.name,
        "port": machine.port,
    }
    search = "PATH=/usr/local/bin:/usr/bin:/bin"  # a Python of this user could be hidden
    script = f"cat >a.py <<'END'\n{ATTEMPTS}\nEND\n{search} python3 -I a.py '{json.dumps(target)}'"
    session = machine.breakglass("new").strip()
    machine.breakglass("send", session, "--wait", script)
    output = output_of(Session(machine.data, session))
    assert "FOUND" in output, output
    found = json.loads(output.partition("FOUND")[2])
    inside = found.pop("namespaces").split()
    outside = [os.readlink(f"/proc/self/ns/{each}") for each in ("ipc", "mnt", "pid", "uts", "net")]
    assert [a == b for a, b in zip(inside, outside, strict=True)] == [False] * 4 + [machine.is_root]
    assert int(found.pop("uid")) in ({65534} if machine.is_root else {UID, os.geteuid()} - {0})
    expected = REFUSED if machine.is_root else REFUSED | WITHOUT_NETWORK | AS_USER
    if not machine.has_landlock:
        expected |= ROOT_WITHOUT_LANDLOCK if machine.is_root else USER_WITHOUT_LANDLOCK
    assert found == expected


# --- a turn in the sandbox ----------------------------------------------------------------------------


def in_box(root: Path, **changes: Any) -> Config:
    return real_turns.make_config(root, replace(BOXED, **changes))


SLEEPS = "(setsid sleep 1000 &) ; echo up; sleep 1000"


def test_a_stop_kills_every_process_in_the_sandbox(root: Path) -> None:
    session, turn = begin_turn(in_box(root), SLEEPS)
    wait_for_output(session, turn, "up")
    wait_until(
        lambda: len(find_processes(session)) >= 5,
        "the runner, bubblewrap, a shell and two sleeping processes",
    )
    assert cancel_turn(session, by="ann")
    assert wait_for_status(session, turn) == "cancelled"
    wait_until(lambda: not find_processes(session), "the death of all processes")


def test_a_stop_reaches_the_command_as_a_signal(root: Path) -> None:
    session, turn = begin_turn(
        in_box(root), "trap 'echo stopped; exit 3' INT; echo up; while :; do sleep 0.1; done"
    )
    wait_for_output(session, turn, "up")
    assert cancel_turn(session, by="ann")
    assert wait_for_status(session, turn) == "cancelled"
    assert output_of(session) == "up\nstopped\n"


def test_the_death_of_the_runner_kills_every_process_in_the_sandbox(root: Path) -> None:
    session, turn = begin_turn(in_box(root), SLEEPS)
    wait_for_output(session, turn, "up")
    kill_runner(session)
    wait_until(lambda: not find_processes(session), "the death of all processes")
    end_if_lost(session)
    assert wait_for_status(session, turn) == "lost"


def test_the_exit_status_in_a_sandbox_is_that_of_the_command(root: Path) -> None:
    session, turn = begin_turn(in_box(root), "cat >/dev/null; exit 7")
    assert [event["result"] for event in wait_for_end(session, turn) if event["kind"] == "result"] == [
        "exit status 7"
    ]


def test_a_workspace_of_another_user_is_given_to_the_agents(root: Path) -> None:
    require_superuser("because the agent becomes another user")
    session = sessions.create(root, "shell")
    submit_prompt(
        real_turns.make_config(root), session, "mkdir a; echo 1 >a/b; ln -s /etc/passwd c", by="ann"
    )
    wait_until(lambda: session.state().turn is None, "the end of the first turn")
    turn = submit_prompt(in_box(root), session, "echo 2 >>a/b; cat a/b", by="ann").id
    assert wait_for_status(session, turn) == "ok"
    assert output_of_turn(session, turn) == "1\n2\n"
    assert {os.lstat(path).st_uid for path in Path(session.workspace).rglob("*")} == {65534}
    assert os.stat("/etc/passwd").st_uid == 0, "no link was followed"


def test_the_settings_name_what_else_the_agent_reads_and_writes(root: Path, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    (config / "settings").write_text("blue\n")
    shown = f"cat {config}/settings; echo red >{config}/settings; cat {config}/settings"
    for changes, output in (
        ({"readable": (str(config),)}, "blue\nblue\n"),
        ({"writable": (str(config),)}, "blue\nred\n"),
    ):
        config.chmod(0o777)
        (config / "settings").chmod(0o666)
        session, turn = begin_turn(in_box(root, **changes), shown)
        wait_for_end(session, turn)
        found = output_of(session)
        assert "".join(line for line in found.splitlines(keepends=True) if "Read-only" not in line) == output
    session, turn = begin_turn(in_box(root), f"ls {config}")
    wait_for_end(session, turn)
    assert "No such file" in output_of(session)


def test_a_missing_bubblewrap_is_an_error_that_names_it(root: Path) -> None:
    session, turn = begin_turn(in_box(root, env={"PATH": "/nowhere"}), "true")
    (error,) = [event["error"] for event in wait_for_end(session, turn) if event["kind"] == "error"]
    assert "bwrap: No such file" in error


def test_only_root_gives_the_agent_another_user(root: Path) -> None:
    if os.geteuid() == 0:
        session, turn = begin_turn(in_box(root, user="daemon"), "id -un; echo $USER")
        wait_for_end(session, turn)
        assert output_of(session) == "daemon\ndaemon\n"
    else:
        with pytest.raises(BadConfig, match="only root can start an agent as another user"):
            begin_turn(in_box(root, user="daemon"), "id -un")
    session = sessions.create(root, "shell")
    with pytest.raises(BadConfig, match=r"agents\.shell\.user: this machine has no user 'no-such'; make one"):
        submit_prompt(in_box(root, user="no-such"), session, "id -un", by="ann")
    assert [event["kind"] for event in events_of(session)] == ["created"]


# --- the command line, without a process --------------------------------------------------------------


BOX = Sandbox((), "/home/ann", "/home/ann/var", "", (), (), network=False)


def test_the_data_root_hides_what_the_settings_show_of_it(tmp_path: Path) -> None:
    home, data = str(tmp_path.resolve()), f"{tmp_path.resolve()}/var"
    os.mkdir(data)
    box = BOX._replace(home=home, data=data, readable=(home,), writable=("/srv",))
    words = " ".join(command_line(box, f"{data}/workspaces/1", ["claude"]))
    order = (
        "--ro-bind / /",
        f"--tmpfs {home} ",
        f"--ro-bind {home} {home}",
        "--bind /srv /srv",
        f"--tmpfs {data} ",
        f"--bind {data}/workspaces/1",
        f"--remount-ro {data}",
        f"sandbox_init.py - - {data}/workspaces/1 ",
    )
    positions = [words.index(each) for each in order]
    assert positions == sorted(positions)


def test_a_sandbox_without_root_makes_a_user_namespace() -> None:
    words = command_line(BOX, "/w", ["claude"])
    assert {"--unshare-user", "--disable-userns", "--unshare-net", "--new-session", "--die-with-parent"} <= {
        *words
    }
    as_root = command_line(BOX._replace(ids=(1, 1), network=True), "/w", ["claude"])
    assert not {"--unshare-user", "--unshare-net"} & {*as_root}
