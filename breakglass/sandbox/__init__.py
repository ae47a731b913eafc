"""The sandbox of an agent: bubblewrap (bwrap(1)), and inside it `init`.

How this works: the agent sees the machine's files read-only. It can write its workspace, private empty directories, and
what the settings name. Directories that hold sockets and secrets are replaced by empty ones, the data root too. Other
sockets that the kernel lists are covered, unless the settings show their directory. No process, message queue or host
name is shared. A server that runs as root gives the agent another user.

- As root, bubblewrap needs no user namespace. `init` then changes the user, because root's number alone would
  give access to root's files, even without capabilities.
- As another user, bubblewrap makes a user namespace, in which the agent keeps the server's user.

For editors: a later mount hides an earlier one. So the data root comes after all that the settings name. The runner
imports this module at the start of every turn, so it imports nothing slow.
"""

import os
import stat
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from breakglass.errors import BadConfig

if TYPE_CHECKING:  # a runner gets the values in its plan
    from pwd import struct_passwd

    from breakglass.config import Config
    from breakglass.config.agents import AgentConfig

DEFAULT_USER = "nobody"
"""The user of a boxed agent if the server is root and the settings name none."""
_EMPTIED = ("/home", "/root", "/run")
"""Directories with private files and sockets: replaced by empty ones that cannot be written."""
_TEMPORARY = ("/tmp", "/var/tmp")  # nosec B108 # private to the sandbox
"""Directories that are replaced by private ones."""
_INIT = "/run/sandbox_init.py"
_NAMESPACES = ("--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try")


class Sandbox(NamedTuple):
    """What a sandbox hides, shows and allows. All paths are absolute and without links."""

    ids: tuple[int, ...]
    """The uid and gid of the agent; empty if the server is not root, because then the agent keeps its user."""
    home: str
    """Its home directory: empty, writable and private to the turn."""
    data: str
    """The data root."""
    socket: str
    """The server's Unix socket, "" for none."""
    readable: tuple[str, ...]
    writable: tuple[str, ...]
    network: bool


def find_sandbox(config: "Config", agent: "AgentConfig") -> Sandbox | None:
    """Return the sandbox that the settings demand for an agent, None for none. Raises BadConfig."""
    if agent.sandbox == "none":
        return None
    user = _find_user(agent)
    home = _home(config, agent, user)

    def resolve(paths: Iterable[str]) -> tuple[str, ...]:
        return tuple(
            os.path.realpath(home + path[1:] if path == "~" or path.startswith("~/") else path)
            for path in paths
        )

    return Sandbox(
        ids=(user.pw_uid, user.pw_gid) if user else (),
        home=os.path.realpath(home),
        data=os.path.realpath(config.data),
        socket=os.path.realpath(config.socket) if config.socket else "",
        readable=resolve((*agent.readable, *filter(None, [agent.runbooks]))),
        writable=resolve(agent.writable),
        network=agent.network,
    )


def change_environ(config: "Config", agent: "AgentConfig") -> dict[str, str]:
    """Return the server's environment, for an agent in a sandbox with the home and name of its user. Raises BadConfig.

    A `TMPDIR` would name a directory that the sandbox does not have.
    """
    if agent.sandbox == "none":
        return dict(config.environ)
    user = _find_user(agent)
    kept = {
        key: value
        for key, value in config.environ.items()
        if key != "TMPDIR" and not (user and key.startswith("XDG_"))
    }
    own = {"USER": user.pw_name, "LOGNAME": user.pw_name} if user else {}
    return {**kept, **own, "HOME": _home(config, agent, user)}


def _find_user(agent: "AgentConfig") -> "struct_passwd | None":
    """Return the user that the agent becomes, None if it keeps the server's. Raises BadConfig."""
    import pwd  # not needed by a runner

    if os.geteuid() != 0 and agent.user is None:
        return None
    name, key = agent.user or DEFAULT_USER, f"agents.{agent.name}.user"
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise BadConfig(f"{key}: this machine has no user {name!r}; make one (useradd -m {name})") from None
    if user.pw_uid == 0:
        raise BadConfig(f"{key}: expected a user other than root, got {name!r}")
    if os.geteuid() == 0:
        return user
    if user.pw_uid != os.geteuid():
        raise BadConfig(f"{key}: only root can start an agent as another user, and the server is not root")
    return None


def _home(config: "Config", agent: "AgentConfig", user: "struct_passwd | None") -> str:
    home = agent.env.get("HOME") or (user.pw_dir if user else config.environ.get("HOME", ""))
    return home if os.path.isdir(home) and home != "/" else _TEMPORARY[0]


def prepare(sandbox: Sandbox | None, workspace: str, command: list[str]) -> list[str]:
    """Return the command line that starts a command, in a sandbox if there is one. Raises OSError.

    Its workspace then belongs to the agent's user.
    """
    if sandbox is None:
        return command
    _give_workspace(sandbox, workspace)
    return command_line(sandbox, workspace, command)


def command_line(sandbox: Sandbox, workspace: str, command: Iterable[str]) -> list[str]:
    """Return the command line that starts a command in the sandbox. `workspace` is absolute and without links."""
    uid, gid = map(str, sandbox.ids or ("-", "-"))
    writable = [workspace, sandbox.home, *_existing(_TEMPORARY), *sandbox.writable, "/dev"]
    init = [*_python(), _INIT, uid, gid, *dict.fromkeys(writable), "--", *command]
    return ["bwrap", *_isolation(sandbox), *_mounts(sandbox, workspace), "--", *init]


def _isolation(sandbox: Sandbox) -> list[str]:
    words = [*_NAMESPACES, "--new-session", "--die-with-parent", "--cap-drop", "ALL"]
    if not sandbox.network:
        words.append("--unshare-net")
    if not sandbox.ids:
        return [*words, "--unshare-user", "--disable-userns"]
    for name in ("SETUID", "SETGID", "SETPCAP"):  # for `init.become`, which gives them up
        words += "--cap-add", f"CAP_{name}"
    return words


def _mounts(sandbox: Sandbox, workspace: str) -> list[str]:
    """Return the mounts in their order: a later one hides an earlier one."""
    emptied = _existing(_EMPTIED)
    data = _existing([sandbox.data])  # `breakglass agents` may try the sandbox before it is made
    hidden = [*emptied, *_existing(_TEMPORARY), sandbox.home, *data]
    words = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    for path in _sockets(hidden):
        words += "--ro-bind", "/dev/null", path
    for path in emptied:
        words += "--tmpfs", path
    for path in dict.fromkeys([*_existing(_TEMPORARY), sandbox.home]):
        words += *_parents(path, hidden), "--perms", "1777", "--tmpfs", path
    python = [sys.base_prefix] if any(sys.base_prefix.startswith(f"{each}/") for each in hidden) else []
    for option, paths in (("--ro-bind", (*python, *sandbox.readable)), ("--bind", sandbox.writable)):
        for path in paths:
            words += *_parents(path, hidden), option, path, path
    if os.path.exists(sandbox.socket):
        words += "--ro-bind", "/dev/null", sandbox.socket
    for path in data:
        words += *_parents(path, hidden), "--tmpfs", path
    words += *_parents(workspace, hidden), "--bind", workspace, workspace
    words += "--ro-bind", os.path.join(os.path.dirname(__file__), "init.py"), _INIT
    for path in (*emptied, *data):
        words += "--remount-ro", path
    return words


def _sockets(hidden: Iterable[str]) -> list[str]:
    """Return the paths of Unix sockets outside of the hidden directories.

    A read-only mount does not prevent a connection. The kernel lists the sockets of this network namespace, each with
    the path to which it was bound. So one that was bound to a relative path is not found, nor one of a container with a
    network of its own.
    """
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape", newline="\n") as table:
            rows = [line.rstrip("\n").split(None, 7) for line in table]
    except OSError:
        return []
    paths = {os.path.realpath(row[7]) for row in rows if row[7:] and row[7].startswith("/")}
    covered = tuple(f"{each}/" for each in (*hidden, "/dev", "/proc"))
    return [path for path in sorted(paths) if not path.startswith(covered) and _is_socket(path)]


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:  # it is gone, or this user cannot reach it
        return False


def _parents(path: str, hidden: Iterable[str]) -> list[str]:
    """Return the options that make a path's parents in an emptied directory: bubblewrap's own only root could enter."""
    words: list[str] = []
    for root in hidden:
        if path.startswith(f"{root}/"):
            names = path[len(root) + 1 :].split("/")[:-1]
            for count in range(len(names)):
                words += "--dir", "/".join([root, *names[: count + 1]])
    return words


def _existing(paths: Iterable[str]) -> list[str]:
    """Return the directories that this machine has, without links, each once."""
    return [*dict.fromkeys(os.path.realpath(path) for path in paths if os.path.isdir(path))]


def _python() -> list[str]:
    """Return how to start the interpreter. That of a virtual environment could be hidden, its base is bound."""
    name = f"bin/python{sys.version_info.major}.{sys.version_info.minor}"
    program = os.path.join(sys.base_prefix, name)
    return [program if os.path.exists(program) else os.path.realpath(sys.executable), "-I", "-S"]


def _give_workspace(sandbox: Sandbox, workspace: str) -> None:
    """Give the workspace to the agent's user, with all that an agent of another user left in it. Raises OSError.

    Follows no link. No process of the session runs meanwhile, so nothing in it is exchanged.
    """
    if not sandbox.ids or os.stat(workspace).st_uid == sandbox.ids[0]:
        return
    for _, directories, files, fd in os.fwalk(workspace, topdown=False):
        for name in (*directories, *files):
            os.chown(name, *sandbox.ids, dir_fd=fd, follow_symlinks=False)
    os.chown(workspace, *sandbox.ids)
