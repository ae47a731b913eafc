"""Writes docs/settings.md from the declarations of the settings in `breakglass.config`."""

from collections.abc import Iterable, Mapping

from breakglass.config import (
    ACTION_SETTINGS,
    AGENT_SETTINGS,
    NOTIFY_SETTINGS,
    PARAM_SETTINGS,
    PRESET_SETTINGS,
    RELAY_SETTINGS,
    SETTINGS,
    TARGET_SETTINGS,
    variable,
)
from breakglass.config.agents import built_in
from breakglass.settings import Setting

EXAMPLE = """\
agent = "claude"
turn_timeout_seconds = 3600
origins = ["https://ops.example.com"]

[agents.claude]
permissions = "ask"              # it asks before it uses a tool, except for the tools in allow
allow = ["Read", "Grep"]
env = { IS_SANDBOX = "1" }       # as root, Claude Code acts without asking only if this is set

[agents.other]
protocol = "acp"
command = ["my-agent", "--stdio"]
pass_env = ["MY_AGENT_KEY"]

[actions.restart]
label = "Restart a service"
command = ["systemctl", "restart", "--", "{unit}"]
effect = "changes"
params.unit = { kind = "choice", choices = ["nginx", "postgresql"] }

[[notify]]
url_env = "OPS_NTFY"             # such as ntfys://TOPIC; an address is a secret
quiet_hours = "22:00-07:00"      # then only questions are told

[[presets]]
label = "Backups"
text = "Did last night's backup run? Show the proof."
"""
"""A settings file that `load_config` accepts; a test loads it."""


def render() -> str:
    """Return the whole page."""
    return f"""\
# Settings

Generated from `breakglass/config` by `make docs`. Do not edit this page.

## Where settings come from

1. The command line: `--data` for every command, the other options for `breakglass serve`.
2. The environment: a variable beginning with `BREAKGLASS_`.
3. One TOML file. It is the one that `--config` names, or else `BREAKGLASS_CONFIG`. If neither is given, it is the
   first `breakglass.toml` that exists in these places:
   1. the data root (`--data`, `BREAKGLASS_DATA` or `./var`),
   2. `~/.config/breakglass/`,
   3. `/etc/breakglass/`,
   4. the current directory.
4. The default.

The first place that has a setting wins. A bad value stops the program with the name, the value and what was expected.
So do an unknown key in the file and an unknown variable that begins with `BREAKGLASS_`. In the environment, commas
separate the items of a list. `--host` and `--port` exclude `socket`.

## Which file is trusted

The file chooses the programs that run. So no user besides root and the one who runs `breakglass` may be able to change
it. The check is that of sshd's `StrictModes`, without an option to turn it off:

* The file, each directory above it and each link on the way belong to root or to the user.
* Group and others may not write to the file or to a directory. A sticky directory, such as `/tmp`, is allowed: others
  cannot exchange an entry there that is not theirs.

Another file is an error, which names the owner and what to do. In the current directory (`./breakglass.toml`, and
`./var/breakglass.toml` if no setting names the data root) it is ignored with a warning: another user may have put it
there. A file there is also ignored anywhere below the `workspaces` directory of a data root, where agents write.

The data root is checked in the same way, by `serve`, `token` and `logins`, and so is the file of `tls_key`, which must
not be readable for every user either.

## Settings of one value

{render_table()}

`BREAKGLASS_CONFIG` names the settings file. `BREAKGLASS_TURN` marks the processes of a turn. `NO_COLOR`, with any
value, turns the colours of the terminal off.

## `[agents.NAME]`: an agent

`NAME` consists of small letters, digits, `_` and `-`.
{_built_in()} A table of the same name changes a built-in agent.

{_keys(AGENT_SETTINGS)}

## `[actions.NAME]`: a command without a model

[actions.md](actions.md) explains actions. A table of the same name replaces a built-in action.

{_keys(ACTION_SETTINGS)}

## `[actions.NAME.params.PARAM]`: a parameter of an action

`PARAM` consists of small letters, digits and `_`. `{{PARAM}}` in the command stands for the value.

{_keys(PARAM_SETTINGS)}

## `[targets.NAME]`: another machine

`NAME` is the value of a parameter of the kind `target`, and the alias for ssh.

{_keys(TARGET_SETTINGS)}

## `[[presets]]`: a ready prompt

Without presets of your own there are four questions about the state of the machine. If the agent is a shell, there
are four commands.

{_keys(PRESET_SETTINGS)}

## `[[notify]]`: where notifications go

[operate.md](operate.md#notifications) explains them. Exactly one of `url`, `url_file` and `url_env` is needed.

{_keys(NOTIFY_SETTINGS)}

## `[relay]`: the relay, and commands for other hosts

[fleet.md](fleet.md) explains them. On a host they are for `breakglass relay`. `identity` is for the machine on which
`breakglass --on HOST` is typed.

{_keys(RELAY_SETTINGS)}

## Example

```toml
{EXAMPLE}```
"""


def render_table() -> str:
    """Return the table of the settings of one value, for the contract."""
    return _table(("environment", "TOML", "default", "meaning"), map(_row, SETTINGS, SETTINGS.values()))


def _row(name: str, row: Setting) -> tuple[str, ...]:
    option = f"; option `{row.option}`" if row.option else ""
    key = f"`{name}`" if row.in_file else "not in the file"
    return f"`{variable(name)}`", key, row.default, row.meaning + option


def _keys(rows: Mapping[str, Setting]) -> str:
    return _table(
        ("key", "default", "meaning"),
        ((f"`{key}`", row.default or "required", row.meaning) for key, row in rows.items()),
    )


def _built_in() -> str:
    described = (f"`{agent.name}` (`{' '.join(agent.command)}`)" for agent in built_in().values())
    return f"Built in are {' and '.join(described)}."


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows))
