"""What is refused when the settings of actions are read: no value reaches a shell or becomes an option."""

import pytest

from breakglass.actions import built_in
from breakglass.actions.rules import RUNS_A_SHELL
from breakglass.errors import BadConfig
from tests.help.settings_files import WriteFile, empty_folder, load, write_file

__all__ = ["empty_folder", "write_file"]

TEXT = 'params.v = { kind = "text", pattern = ".*" }'
CHOICE = 'params.v = { kind = "choice", choices = ["a", "b"] }'


def of(command: str, *more: str, effect: str = "reads") -> str:
    return "\n".join(("[actions.x]", f"command = {command}", f'effect = "{effect}"', *more))


def with_param(row: str) -> str:
    return of('["show", "--", "{v}"]', f"params.v = {{ {row} }}")


REFUSED = {
    "a whole argument": (of('["kill", "{v}"]', TEXT), "actions.x.command: {v} is a whole argument"),
    "a whole argument that is a choice": (of('["kill", "{v}"]', CHOICE), "{v} is a whole argument"),
    "a whole argument before --": (of('["kill", "{v}", "--"]', TEXT), "{v} is a whole argument"),
    "the program": (of('["/bin/{v}"]', CHOICE), "a parameter cannot choose the program: '/bin/{v}'"),
    "an unknown placeholder": (of('["show", "a{w}"]'), "{w} is no parameter of this action"),
    "an unknown placeholder beside a known one": (of('["show", "{v}{w}x"]', CHOICE), "{w} is no parameter"),
    "a parameter that is not used": (of('["show"]', CHOICE), "actions.x.params.v: {v} is not in command"),
    "an unknown placeholder in confirm": (
        of('["show"]', 'confirm = "a {w}"'),
        "actions.x.confirm: {w} is no",
    ),
    "a shell in the middle": (of('["docker", "exec", "db", "sh", "-c", "a {v}"]', TEXT), "sh may hand its"),
    "a path of a shell in the middle": (of('["run", "/bin/su", "x={v}"]', TEXT), "/bin/su may hand its"),
    "a shell with a version": (of('["/opt/bin/python3.11", "--x={v}"]', TEXT), "python3.11 may hand its"),
    "two targets": (
        of('["show", "a{v}{w}"]', 'params.v.kind = "target"\nparams.w.kind = "target"'),
        "actions.x.params: expected at most one target",
    ),
    "no command": ('[actions.x]\neffect = "reads"', "actions.x.command: expected a list of texts"),
    "a command line": (of('"ls -l"'), "actions.x.command: expected a list of texts"),
    "a relative path": (of('["./repair"]'), "actions.x.command: expected a name or a whole path"),
    "no effect": ('[actions.x]\ncommand = ["ls"]', "actions.x.effect: expected"),
    "an unknown effect": (of('["ls"]', effect="kills"), 'expected "reads" or "changes" or "disrupts", got'),
    "a bad name": ('[actions."X y"]\ncommand = ["ls"]', "expected a name of small letters"),
    "an unknown key": (of('["ls"]', "colour = 1"), "actions.x.colour: no such setting"),
    "actions that are a list": ("actions = []", "actions: expected a table for each action: [actions.NAME]"),
    "a bad timeout": (of('["ls"]', "timeout_seconds = 0"), "actions.x.timeout_seconds: expected a number"),
    "a parameter's bad name": (
        of('["ls"]', 'params.A.kind = "int"'),
        "actions.x.params.A: expected a name of",
    ),
    "a parameter without a kind": (with_param("min = 1"), 'actions.x.params.v.kind: expected "choice" or'),
    "an unknown kind": (with_param('kind = "bool"'), "got 'bool'"),
    "a text without a pattern": (
        with_param('kind = "text"'),
        "actions.x.params.v.pattern: expected a regular",
    ),
    "a pattern that is none": (with_param('kind = "text", pattern = "("'), "expected a regular expression ("),
    "a choice without choices": (with_param('kind = "choice"'), "actions.x.params.v.choices: expected"),
    "a choice twice": (with_param('kind = "choice", choices = ["a", "a"]'), "a list of different texts"),
    "choices of an int": (with_param('kind = "int", choices = ["a"]'), "choices: has an effect only with"),
    "a pattern of an int": (with_param('kind = "int", pattern = "a"'), "pattern: has an effect only with"),
    "a limit of a text": (
        with_param('kind = "text", pattern = "a", min = 0'),
        "min: has an effect only with",
    ),
    "limits that exclude all": (
        with_param('kind = "int", min = 2, max = 1'),
        "expected 2 (min) or more, got 1",
    ),
    "a limit that is a fraction": (with_param('kind = "int", min = 1.5'), "min: expected a whole number"),
    "an unknown action before": (of('["ls"]', 'before = ["y"]'), "actions.x.before: expected other actions"),
    "itself before": (of('["ls"]', 'before = ["x"]'), "actions.x.before: expected other actions"),
    "an action before twice": (
        of('["ls"]', 'before = ["disks", "disks"]'),
        "actions.x.before: disks is there",
    ),
    "a disruptive action before": (
        of('["ls"]', 'before = ["y"]', "[actions.y]", 'command = ["ls"]', 'effect = "disrupts"'),
        "actions.x.before: y disrupts, so it cannot run without its own confirmation",
    ),
    "an action before that needs a value": (
        of('["ls"]', 'before = ["y"]')
        + '\n[actions.y]\ncommand = ["ls", "--", "{v}"]\neffect = "reads"\n'
        + CHOICE,
        "actions.x.before: y needs the parameter v, so x must have the same one",
    ),
    "a target without ssh": ("[targets.t]", "targets.t.ssh: expected user@host"),
    "a target that is an option": (
        '[targets.t]\nssh = "-oProxyCommand=id"',
        "targets.t.ssh: expected user@host",
    ),
    "a jump with a blank": ('[targets.t]\nssh = "a@b"\nproxy_jump = "c d"', "targets.t.proxy_jump: expected"),
    "a host key that is none": ('[targets.t]\nssh = "a@b"\nhost_key = "abc"', "targets.t.host_key: expected"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_action_stops_the_program(name: str, write_file: WriteFile) -> None:
    text, message = REFUSED[name]
    with pytest.raises(BadConfig) as caught:
        load({}, write_file(text))
    assert message in str(caught.value)


NAMED = "sh bash ssh su sudo env doas dash zsh xargs busybox".split()


def test_every_program_of_the_table_gets_no_text(write_file: WriteFile) -> None:
    assert {*NAMED} <= RUNS_A_SHELL
    for program in sorted(RUNS_A_SHELL):
        for path in (program, f"/usr/bin/{program}"):
            for argument in ('"--", "{v}"', '"-c", "echo {v}"', '"host", "--x={v}"'):
                with pytest.raises(BadConfig, match="may hand its arguments to a shell, so it gets no text"):
                    load({}, write_file(of(f'["{path}", {argument}]', TEXT)))


ACCEPTED = {
    "a text after --": of('["systemctl", "restart", "--", "{v}"]', TEXT),
    "a text within an argument": of('["qm", "status", "--vmid={v}"]', TEXT),
    "a choice for ssh": of('["ssh", "--", "pve1", "{v}"]', CHOICE),
    "a number for sh": of('["sh", "-c", "kill -9 {v}x"]', 'params.v.kind = "int"'),
    "a target for ssh": of('["ssh", "--", "{v}", "uptime"]', 'params.v.kind = "target"'),
    "a unit with the name of a program": of('["systemctl", "status", "ssh", "--lines={v}"]', TEXT),
    "JSON with braces": of('["curl", "-d", \'{"ResetType": "On"}\', "--", "https://bmc/{v}"]', TEXT),
    "braces of another program": of('["docker", "ps", "--format={{.Names}}", "x={v}"]', TEXT),
    "a built-in action that is replaced": '[actions.disks]\ncommand = ["df"]\neffect = "reads"',
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_action_that_cannot_reach_a_shell_is_accepted(name: str, write_file: WriteFile) -> None:
    load({}, write_file(ACCEPTED[name]))


def test_the_eight_built_in_actions_only_read() -> None:
    built = built_in.BUILT_IN
    assert len(built) == 8
    assert {action.effect for action in built.values()} == {"reads"}
    assert not any(action.params or action.confirm for action in built.values())
    found = load({}).actions
    assert found == {**built, "log-in-claude": found["log-in-claude"]}
