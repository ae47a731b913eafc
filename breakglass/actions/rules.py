"""The rules for actions, checked when the settings are read: no value reaches a shell or becomes an option. Pure."""

from collections.abc import Mapping

from breakglass.actions import END_OF_OPTIONS, PLACEHOLDER, Action, Param
from breakglass.errors import BadConfig
from breakglass.settings import expected

SHELLS = frozenset("sh bash rbash dash ash zsh ksh mksh pdksh csh tcsh fish busybox toybox".split())
"""Shells. Also in the middle of a command, as in `docker exec NAME sh -c …`."""
RUNS_A_SHELL = SHELLS | frozenset(
    "ssh sshpass autossh mosh slogin rsh rexec scp sftp rsync su runuser sudo doas pkexec env eval exec xargs watch"
    " script expect flock at batch parallel find timeout nohup nice ionice chrt taskset setsid stdbuf time unshare"
    " nsenter chroot systemd-run machinectl start-stop-daemon screen tmux make awk gawk mawk sed perl python ruby node"
    " php lua tclsh vi vim ed emacs gdb socat".split()
)
"""Programs that hand an argument to a shell, to another program or to an interpreter."""


def check_param(key: str, param: Param) -> None:
    """Raise BadConfig if a parameter has keys of another kind, or not those of its kind."""
    for name, kind in (("choices", "choice"), ("min", "int"), ("max", "int"), ("pattern", "text")):
        if getattr(param, name) not in ((), None) and param.kind != kind:
            raise BadConfig(f"{key}.{name}: has an effect only with kind = {kind!r}, got {param.kind!r}")
    if param.kind == "choice" and not param.choices:
        raise expected(f"{key}.choices", None, "a list of texts")
    if param.kind == "text" and param.pattern is None:
        raise expected(f"{key}.pattern", None, "a regular expression that the whole text must match")
    if param.min is not None and param.max is not None and param.min > param.max:
        raise BadConfig(f"{key}.max: expected {param.min} (min) or more, got {param.max}")


def check_action(key: str, action: Action) -> None:
    """Raise BadConfig if a command could hand a value to a shell or take it for an option, or does not fit."""
    program = action.command[0]
    if "/" in program and not program.startswith("/"):  # it would start in the session's workspace
        raise expected(f"{key}.command", program, "a name or a whole path")
    used: set[str] = set()
    for at, part in enumerate(action.command):
        names = PLACEHOLDER.findall(part)
        used.update(names)
        for name in names:
            _check_placeholder(f"{key}.command", action, at, name)
    for name in PLACEHOLDER.findall(action.confirm):
        if name not in action.params:
            raise BadConfig(f"{key}.confirm: {{{name}}} is no parameter of this action")
    if unused := sorted(action.params.keys() - used):
        raise BadConfig(f"{key}.params.{unused[0]}: {{{unused[0]}}} is not in command")
    if [param.kind for param in action.params.values()].count("target") > 1:
        raise BadConfig(f"{key}.params: expected at most one target")


def _check_placeholder(key: str, action: Action, at: int, name: str) -> None:
    part, earlier = action.command[at], action.command[:at]
    if name not in action.params:
        raise BadConfig(f"{key}: {{{name}}} is no parameter of this action")
    if at == 0:
        raise BadConfig(f"{key}: a parameter cannot choose the program: {part!r}")
    if part == f"{{{name}}}" and END_OF_OPTIONS not in earlier:
        raise BadConfig(
            f"{key}: {part} is a whole argument, and a value that begins with - would be an option. "
            f'Write "--" before it, or write it into an argument: "--name={part}"'
        )
    shell = _shell_before(earlier)
    if action.params[name].kind == "text" and shell:
        raise BadConfig(
            f"{key}: {shell} may hand its arguments to a shell, so it gets no text from a user. "
            f"Use choice or int for {name}, or a program that takes the text from its arguments"
        )


def _shell_before(earlier: tuple[str, ...]) -> str:
    """Return the program among `earlier` arguments that may hand later ones to a shell; "" if there is none."""
    if _program_name(earlier[0]) in RUNS_A_SHELL:
        return earlier[0]
    return next((part for part in earlier[1:] if _program_name(part) in SHELLS or _is_path_of_one(part)), "")


def _is_path_of_one(part: str) -> bool:
    """Return whether an argument is the path of such a program. A bare `ssh` may be a unit's name."""
    return part.startswith("/") and _program_name(part) in RUNS_A_SHELL


def _program_name(path: str) -> str:
    """Return the name of a program without its version: `python` for `/usr/bin/python3.11`."""
    return path.rpartition("/")[2].rstrip("0123456789.-")


def check_before(key: str, action: Action, actions: Mapping[str, Action]) -> None:
    """Raise BadConfig if an action of `before` does not exist, disrupts, or needs other values."""
    for at, name in enumerate(action.before):
        if name in action.before[:at]:
            raise BadConfig(f"{key}.before: {name} is there twice")
        first = actions.get(name)
        if first is None or name == action.name:
            others = ", ".join(sorted(actions.keys() - {action.name}))
            raise expected(f"{key}.before", name, f"other actions: {others}")
        if first.effect == "disrupts":
            raise BadConfig(f"{key}.before: {name} disrupts, so it cannot run without its own confirmation")
        for param in first.params.values():
            if action.params.get(param.name) != param:
                raise BadConfig(
                    f"{key}.before: {name} needs the parameter {param.name}, so {action.name} must have the same one"
                )
