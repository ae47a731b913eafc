"""Loads the settings from a TOML file, the environment and the command line. Only this module reads the environment.

A bad value stops the program. The error has the name, the value and what was expected. An unknown key or variable
stops it too, because it is most likely a typing mistake. docs/settings.md lists all settings.
"""

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from breakglass.actions import PARAM_NAME, Action, Param
from breakglass.actions.built_in import BUILT_IN
from breakglass.actions.rules import check_action, check_before, check_param
from breakglass.agents import PROTOCOLS
from breakglass.config import (
    ACTION_SETTINGS,
    AGENT_SETTINGS,
    DEFAULT_DATA,
    NOTIFY_SETTINGS,
    PARAM_SETTINGS,
    PRESET_SETTINGS,
    RELAY_SETTINGS,
    SETTINGS,
    TARGET_SETTINGS,
    Config,
    variable,
)
from breakglass.config.agents import AgentConfig, built_in, default_agent, unknown_agent
from breakglass.config.presets import PRESETS, Preset
from breakglass.errors import BadConfig
from breakglass.notify import Notify, check_notify
from breakglass.notify.push import check_single
from breakglass.relay_settings import RelaySettings
from breakglass.settings import Setting, expected
from breakglass.settings_file import FILE_NAME, find_file, read_file
from breakglass.suggestion import suggestion
from breakglass.targets import Target

LOG_IN_SECONDS = 600.0
"""Seconds that a login of an agent may take."""
_LOG_IN_WITH_CODE = "Shows an address to open. It asks for the code that the page there shows."
_LOG_IN_BY_PROTOCOL = "Shows the ways to log in that the agent offers, and asks which one to use."
NO_SETTINGS = frozenset({"BREAKGLASS_CONFIG", "BREAKGLASS_TURN"})
"""The variables of ours that are no settings: the settings file, and the mark of a turn's processes (`turns`)."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
TABLES = ("agents", "presets", "actions", "targets", "notify", "relay")
"""The settings that only the file can have, because each is a table."""


class Tables(NamedTuple):
    """What the tables of a settings file declare, with what is built in."""

    agents: dict[str, AgentConfig]
    presets: tuple[Preset, ...]
    actions: dict[str, Action]
    targets: dict[str, Target]
    notify: tuple[Notify, ...]
    relay: RelaySettings


def load_config(
    environ: Mapping[str, str],
    path: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    warn: Callable[[str], object] = str,
) -> Config:
    """Return the settings. `overrides` (the command line) override the environment, which overrides the file.

    If `path` is None, it is BREAKGLASS_CONFIG, or else the first default file that exists. Raises BadConfig, also for
    a file that is not trusted. In the current directory such a file is ignored, and `warn` gets the reason.
    """
    overrides = overrides or {}
    named = path or environ.get("BREAKGLASS_CONFIG") or None
    file = Path(named) if named else find_file(environ, overrides.get("data"), DEFAULT_DATA, warn)
    with _naming(str(file or FILE_NAME)):
        values, tables = _from_file(read_file(file) if file else {})
    sources = {name: f"{file or FILE_NAME}: {name}" for name in values}
    _refuse_unknown_variables(environ)
    in_environment = {name: environ[variable(name)] for name in SETTINGS if variable(name) in environ}
    options = {name: value for name, value in overrides.items() if value is not None}
    sources |= {name: variable(name) for name in in_environment}
    sources |= {name: f"--{name.replace('_', '-')}" for name in options}
    for name, value in (in_environment | options).items():
        values[name] = SETTINGS[name].parse(sources[name], value)
    is_agent_chosen = "agent" in values
    values.setdefault("agent", default_agent(tables.agents, environ))
    config = Config(
        **tables._asdict(),
        file=file.absolute() if file else None,
        is_agent_chosen=is_agent_chosen,
        environ=dict(environ),
        **values,
    )
    if config.agent not in config.agents:
        raise unknown_agent(sources["agent"], config.agent, config.agents)
    _check_access_log(config.access_log, config.data, sources)
    _check_combinations(config, sources)
    _check_sandbox_paths(config)
    return config


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    """Raise BadConfig for a variable that begins like a setting and is none."""
    prefix = variable("")
    known = {*map(variable, SETTINGS), *NO_SETTINGS}
    for name in environ:
        if name in known or not name.upper().startswith(prefix):
            continue
        key = name[len(prefix) :].lower()
        if key in TABLES:
            raise BadConfig(f"{name}: no such setting; {key} can be set only in the file")
        raise BadConfig(f"{name}: no such setting; {suggestion(key, [*SETTINGS, 'config'], shown=variable)}")


def _check_access_log(path: str | None, data: Path, sources: Mapping[str, str]) -> None:
    """Raise BadConfig if the access log cannot be made at all. Whether this user may write it matters to `serve`.

    The data root may be missing: `serve` creates it first.
    """
    if path is None or path == "-":
        return
    # A write to a named pipe or a device may wait, and the server with it. A link is not followed (accesslog.py).
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise expected(sources["access_log"], path, "a plain file or -")
    if Path(path).absolute().parent == data.absolute():
        return
    try:
        os.stat(os.path.join(os.path.dirname(path), "."))
    except (FileNotFoundError, NotADirectoryError):
        raise expected(sources["access_log"], path, "a file in a directory that exists, or -") from None
    except OSError:  # not a matter of the settings, for example a parent that this user may not search
        pass


def _check_combinations(config: Config, sources: Mapping[str, str]) -> None:
    """Raise BadConfig for a setting that has no effect without another one, or that excludes another one."""
    for name in ("host", "port"):  # as an option it is what the user wants now; a socket may override others
        if config.socket and sources.get(name, "").startswith("--"):
            raise BadConfig(
                f"{sources[name]}: cannot be combined with {sources['socket']}, which replaces host and port"
            )
    if (config.tls_cert is None) != (config.tls_key is None):
        raise BadConfig("tls_cert and tls_key: expected both or neither")
    if config.socket and config.tls_cert:
        raise BadConfig("socket: cannot be combined with tls_cert; the proxy in front serves the TLS")
    for name in ("proxy_user_header", "proxy_address_header"):
        if getattr(config, name) and not config.proxies:
            raise BadConfig(f"{name}: expected proxies as well; the header counts only from a listed proxy")


def _check_sandbox_paths(config: Config) -> None:
    """Raise BadConfig for a path in the data root: no agent in a sandbox sees that."""
    data = os.path.realpath(config.data)
    for agent in config.agents.values():
        for which in ("readable", "writable"):
            for path in getattr(agent, which):
                if Path(os.path.realpath(path)).is_relative_to(data):
                    raise expected(f"agents.{agent.name}.{which}", path, "paths outside of the data root")


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Put the file's path before the text of a BadConfig."""
    try:
        yield
    except BadConfig as error:
        raise BadConfig(f"{path}: {error}") from error


def _from_file(table: dict[str, Any]) -> tuple[dict[str, Any], Tables]:
    """Return the values, and what the tables declare together with what is built in."""
    agents = _agents(table.pop("agents", {}))
    presets = _presets(table.pop("presets", None))
    for index, preset in enumerate(presets):
        if preset.agent is not None and preset.agent not in agents:
            raise unknown_agent(f"presets[{index}].agent", preset.agent, agents)
    targets = {
        name: Target(name, **_complete(f"targets.{name}.", own, TARGET_SETTINGS))
        for name, own in _named_tables("targets", table.pop("targets", {}))
    }
    notify = tuple(
        _notify(index, each) for index, each in enumerate(_array("notify", table.pop("notify", [])))
    )
    check_single(notify)
    relay = _relay(table.pop("relay", {}))
    tables = Tables(agents, presets, _actions(table.pop("actions", {}), agents), targets, notify, relay)
    in_file = {name: row for name, row in SETTINGS.items() if row.in_file}
    for name in table:
        if name in SETTINGS and name not in in_file:
            raise BadConfig(f"{name}: can be set only in the environment, by {variable(name)}")
    return _values("", table, in_file, *TABLES), tables


def _relay(table: object) -> RelaySettings:
    if not isinstance(table, dict):
        raise expected("relay", table, "a table: [relay]")
    return RelaySettings(**_values("relay.", table, RELAY_SETTINGS))


def _values(prefix: str, table: dict[str, Any], known: Mapping[str, Setting], *tables: str) -> dict[str, Any]:
    """Return the checked values of a table. `tables` are the keys of tables in it that another function reads."""
    for key in table:
        if key not in known:
            raise BadConfig(f"{prefix}{key}: no such setting; {suggestion(key, [*known, *tables])}")
    return {key: known[key].parse(prefix + key, value) for key, value in table.items()}


def _named_tables(
    key: str, tables: object, pattern: re.Pattern[str] = _NAME
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the tables below `key`, with their names. Raises BadConfig for anything else, and for a bad name."""
    if not isinstance(tables, dict):
        raise expected(key, tables, f"a table for each {key.rpartition('.')[2][:-1]}: [{key}.NAME]")
    characters = "letters, digits, _ and -" if pattern is _NAME else "letters, digits and _"
    for name, table in tables.items():
        if not pattern.fullmatch(name):
            raise expected(f"{key}.{name}", name, f"a name of small {characters}, at most 32")
        if not isinstance(table, dict):
            raise expected(f"{key}.{name}", table, "a table")
        yield name, table


def _agents(tables: object) -> dict[str, AgentConfig]:
    known = built_in()
    return known | {
        name: _agent(name, table, known.get(name)) for name, table in _named_tables("agents", tables)
    }


def _agent(name: str, table: dict[str, Any], base: AgentConfig | None) -> AgentConfig:
    """Return the agent of a table; `base` is the built-in agent of the same name."""
    key = f"agents.{name}"
    if base:
        table = {"protocol": base.protocol, "command": list(base.command)} | table
    if table.get("protocol") not in [*PROTOCOLS]:
        raise expected(f"{key}.protocol", table.get("protocol"), f"one of {', '.join(sorted(PROTOCOLS))}")
    agent = AgentConfig(name, **_complete(f"{key}.", table, AGENT_SETTINGS))
    for which in ("allow", "deny"):
        if getattr(agent, which) and agent.permissions != "ask":
            raise BadConfig(
                f'{key}.{which}: has an effect only with permissions = "ask", got {agent.permissions!r}'
            )
    for which in ("readable", "writable", "network", "user"):
        if which in table and agent.sandbox == "none":
            raise BadConfig(f'{key}.{which}: has an effect only with sandbox = "bwrap", got "none"')
    for which in ("instructions", "runbooks"):
        if which in table and agent.about.instructions == "none":
            raise BadConfig(f"{key}.{which}: has no effect, because a shell takes no instructions")
    if both := sorted({*agent.allow} & {*agent.deny}):
        raise BadConfig(f"{key}.deny: {both[0]!r} is in allow as well")
    return agent


def _actions(tables: object, agents: Mapping[str, AgentConfig]) -> dict[str, Action]:
    own = {name: _action(name, table) for name, table in _named_tables("actions", tables)}
    known = BUILT_IN | _log_ins(agents) | own
    for name, action in known.items():
        check_before(f"actions.{name}", action, known)
    return known


def _log_ins(agents: Mapping[str, AgentConfig]) -> dict[str, Action]:
    """Return an action for each agent that can be logged in. A sandbox would hide the login's files."""
    found = {}
    for agent in agents.values():
        login = agent.about.login
        with_code = login.log_in if login else ()
        if (with_code or agent.about.logs_in_by_protocol) and agent.sandbox == "none":
            name = f"log-in-{agent.name}"
            found[name] = Action(
                *(name, (*agent.command, *with_code), "changes", f"Log in {agent.name}"),
                _LOG_IN_WITH_CODE if with_code else _LOG_IN_BY_PROTOCOL,
                "Agents",
                timeout_seconds=LOG_IN_SECONDS,
                logs_in=agent.name,
            )
    return found


def _action(name: str, table: dict[str, Any]) -> Action:
    """Return the action of a table. It replaces a built-in action of the same name."""
    key = f"actions.{name}"
    own = dict(table)
    params = {
        each: _param(f"{key}.params.{each}", each, row)
        for each, row in _named_tables(f"{key}.params", own.pop("params", {}), PARAM_NAME)
    }
    action = Action(name, params=params, **_complete(f"{key}.", own, ACTION_SETTINGS, "params"))
    check_action(key, action)
    return action


def _param(key: str, name: str, table: dict[str, Any]) -> Param:
    param = Param(name, **_complete(f"{key}.", table, PARAM_SETTINGS))
    check_param(key, param)
    return param


def _presets(tables: object) -> tuple[Preset, ...]:
    if tables is None:
        return PRESETS
    rows = enumerate(_array("presets", tables))
    return tuple(Preset(**_complete(f"presets[{index}].", table, PRESET_SETTINGS)) for index, table in rows)


def _notify(index: int, table: dict[str, Any]) -> Notify:
    key = f"notify[{index}]"
    notify = Notify(index, **_complete(f"{key}.", table, NOTIFY_SETTINGS))
    check_notify(key, notify)
    return notify


def _array(key: str, tables: object) -> list[dict[str, Any]]:
    """Return the tables of an array `[[KEY]]`."""
    if not isinstance(tables, list):
        raise expected(key, tables, f"tables: [[{key}]]")
    for index, table in enumerate(tables):
        if not isinstance(table, dict):
            raise expected(f"{key}[{index}]", table, "a table")
    return tables


def _complete(
    prefix: str, table: dict[str, Any], known: Mapping[str, Setting], *tables: str
) -> dict[str, Any]:
    """Return the checked values of a table. Raises BadConfig if a required key is missing."""
    values = _values(prefix, table, known, *tables)
    for key, row in known.items():
        if not row.default and key not in values:
            row.parse(prefix + key, None)  # a parser of a required value refuses None
    return values
