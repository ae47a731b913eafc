"""The settings: one frozen `Config`, built once and handed down. The only reader of the environment.

docs/contract.md, section 6, is the table of settings. A bad value stops the program with the key, the value
and what was expected; so does a key that nobody knows, for it is most likely a slip.
"""

import ipaddress
import os
import re
import shutil
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from breakglass.errors import BadConfig

Protocol = str
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@\[\]-]{0,127}")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_PREFIX = re.compile(r"(/[A-Za-z0-9_-]+)+")


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """How one agent is started."""

    name: str
    protocol: Protocol
    command: tuple[str, ...]
    permissions: Literal["bypass", "ask"] = "bypass"
    allow: tuple[str, ...] = ()
    """Tools that may be used without a person's leave, where leave is asked."""
    deny: tuple[str, ...] = ()
    """Tools that are refused without asking a person, where leave is asked."""
    thinking: bool = False
    """Whether the agent's thinking is kept in the log."""
    env: Mapping[str, str] = field(default_factory=dict)
    pass_env: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preset:
    """A prompt that is one tap away."""

    label: str
    text: str
    agent: str | None = None
    """The agent of a session begun by it; None, the default."""


PRESETS = (
    Preset(
        "Triage",
        "Something is wrong here. Find out what: load, memory, disks, failed units, recent errors.",
    ),
    Preset("Memory", "What uses the memory of this machine, and is anything being killed for want of it?"),
    Preset("Disk", "Which file systems are full or filling, and what fills them?"),
    Preset("Failed units", "Which systemd units have failed, and why?"),
)
"""What stands at the box where the settings name no presets."""

BUILT_IN = (
    AgentConfig("claude", "claude", ("claude",)),
    AgentConfig("shell", "shell", ("bash",)),
)


class Limits(NamedTuple):
    """What a turn may do besides taking its time. No settings: nobody has asked for other numbers."""

    output: int = 256 << 20
    """Bytes that an agent may print in one turn."""
    silent: float = 60.0
    """Seconds that an agent may live on after it closed its output."""
    linger: float = 2.0
    """Seconds that what an agent left behind may hold its output open."""
    interrupt: float = 5.0
    """Seconds that an agent gets to end by itself once it was interrupted,"""
    terminate: float = 2.0
    """and once it was told to (SIGTERM),"""
    kill: float = 5.0
    """and once it was killed: nobody lives on but in a system call that does not end."""


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting, checked."""

    data: Path = Path("var")
    host: str = "127.0.0.1"
    port: int = 8420
    agent: str = "shell"
    model: str | None = None
    turn_timeout_seconds: float = 1800.0
    permission_timeout_seconds: float = 600.0
    sse_keepalive_seconds: float = 20.0
    limits: Limits = Limits()  # noqa: RUF009 — a constant
    token: str | None = None
    origins: tuple[str, ...] = ()
    """The addresses under which people reach the server, as `https://ops.example.com`."""
    prefix: str = ""
    """The path below which a proxy shows it, as `/breakglass`."""
    proxies: frozenset[str] = frozenset()
    """Addresses of the proxies in front; `unix` for whatever comes through the Unix socket."""
    proxy_user_header: str | None = None
    proxy_address_header: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    socket: Path | None = None
    """A Unix socket to listen on, in place of host and port."""
    allow_plain: bool = False
    """Whether to serve other machines without TLS and without a proxy."""
    access_log: str | None = None
    """A file, `-` for standard error."""
    agents: Mapping[str, AgentConfig] = field(
        default_factory=lambda: {agent.name: agent for agent in BUILT_IN}
    )
    presets: tuple[Preset, ...] = PRESETS
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The environment the program was started with: what an agent's is made from."""

    def agent_named(self, name: str) -> AgentConfig:
        """Return a configured agent. Raises BadConfig for a name that is none."""
        if name not in self.agents:
            known = ", ".join(sorted(self.agents))
            raise BadConfig(f"agent: expected one of {known}, got {name!r}")
        return self.agents[name]


def load(
    environ: Mapping[str, str],
    protocols: Collection[str],
    path: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Config:
    """Return the settings: the file's, over them the environment's, over them `overrides` (the command line's).

    `path` None is BREAKGLASS_CONFIG, else ./breakglass.toml where it exists. Raises BadConfig.
    """
    found = _read_file(path or environ.get("BREAKGLASS_CONFIG") or None)
    tables = found.pop("agents", {})
    presets = _presets(found.pop("presets", None))
    settings: dict[str, Any] = {}
    for key, value in found.items():
        if key not in SETTINGS or key in ENVIRONMENT_ONLY:
            known = {*SETTINGS, "agents", "presets"} - ENVIRONMENT_ONLY
            raise BadConfig(f"{key}: no such setting; expected one of {', '.join(sorted(known))}")
        settings[key] = SETTINGS[key](key, value)
    for key, check in SETTINGS.items():
        name = f"BREAKGLASS_{key.upper()}"
        if name in environ:
            settings[key] = check(name, environ[name])
    for key, value in (overrides or {}).items():
        if value is not None:
            settings[key] = SETTINGS[key](f"--{key.replace('_', '-')}", value)
    agents = {agent.name: agent for agent in BUILT_IN} | _agents(tables, protocols)
    settings.setdefault("agent", _default_agent(agents["claude"], environ))
    config = Config(agents=agents, presets=presets, environ=dict(environ), **settings)
    config.agent_named(config.agent)
    _agree(config)
    return config


def _agree(config: Config) -> None:
    """Raise BadConfig for settings that mean nothing without another one."""
    if (config.tls_cert is None) != (config.tls_key is None):
        raise BadConfig("tls_cert and tls_key: expected both or neither")
    if config.socket and config.tls_cert:
        raise BadConfig("socket: a Unix socket is served without tls_cert; the proxy in front has the TLS")
    for key in ("proxy_user_header", "proxy_address_header"):
        if getattr(config, key) and not config.proxies:
            raise BadConfig(f"{key}: expected proxies as well: from whom does it count?")


def _default_agent(claude: AgentConfig, environ: Mapping[str, str]) -> str:
    return "claude" if shutil.which(claude.command[0], path=environ.get("PATH")) else "shell"


def _read_file(path: str | None) -> dict[str, Any]:
    place = Path(path or "breakglass.toml")
    if path is None and not place.exists():
        return {}
    try:
        return tomllib.loads(place.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfig(f"{place}: could not be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadConfig(f"{place}: expected TOML: {error}") from error


# --- one value ----------------------------------------------------------------------------------


def _expected(key: str, value: object, expected: str) -> BadConfig:
    return BadConfig(f"{key}: expected {expected}, got {value!r}")


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise _expected(key, value, "a text that is not empty")
    return value


def _port(key: str, value: object) -> int:
    number = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}", value) else value
    if type(number) is not int or not 0 <= number <= 65535:
        raise _expected(key, value, "a whole number from 0 to 65535")
    return number


def _seconds(key: str, value: object) -> float:
    number = (
        float(value)
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value)
        else value
    )
    if not isinstance(number, int | float) or isinstance(number, bool) or not 0 < number < 1e9:
        raise _expected(key, value, "a number of seconds greater than 0")
    return float(number)


def _model(key: str, value: object) -> str | None:
    if value in ("", None):
        return None
    return check_model(key, value)


def check_model(key: str, value: object) -> str:
    """Return `value` if it can be a model's name. Raises BadConfig: it must not pass for an option or hold blanks."""
    if not isinstance(value, str) or not _MODEL.fullmatch(value):
        raise _expected(key, value, "a model's name: letters, digits and . _ : / @ [ ] -, at most 128")
    return value


def _texts(key: str, value: object) -> tuple[str, ...]:
    """Return a list of texts; the environment has them with commas between."""
    texts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(texts, list) or not _is_texts(texts) or not all(texts):
        raise _expected(key, value, "a list of texts")
    return tuple(texts)


def _peers(key: str, value: object) -> frozenset[str]:
    try:
        return frozenset(
            each if each == "unix" else str(ipaddress.ip_address(each)) for each in _texts(key, value)
        )
    except ValueError:
        raise _expected(key, value, "IP addresses, or unix for the Unix socket") from None


def _header(key: str, value: object) -> str:
    if not isinstance(value, str) or not _HEADER.fullmatch(value):
        raise _expected(key, value, "the name of a header field")
    return value


def _prefix(key: str, value: object) -> str:
    if value in ("", "/"):
        return ""
    if not isinstance(value, str) or not _PREFIX.fullmatch(value):
        raise _expected(key, value, "a path such as /breakglass: it begins with / and does not end with one")
    return value


def _flag(key: str, value: object) -> bool:
    known = {"1": True, "true": True, "0": False, "false": False}
    flag = known.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(flag, bool):
        raise _expected(key, value, "true or false")
    return flag


def _path(key: str, value: object) -> Path:
    return Path(_text(key, os.fspath(value) if isinstance(value, Path) else value))


SETTINGS: dict[str, Callable[[str, Any], Any]] = {
    "data": _path,
    "host": _text,
    "port": _port,
    "agent": _text,
    "model": _model,
    "turn_timeout_seconds": _seconds,
    "permission_timeout_seconds": _seconds,
    "sse_keepalive_seconds": _seconds,
    "token": _text,
    "origins": _texts,
    "prefix": _prefix,
    "proxies": _peers,
    "proxy_user_header": _header,
    "proxy_address_header": _header,
    "tls_cert": _path,
    "tls_key": _path,
    "socket": _path,
    "allow_plain": _flag,
    "access_log": _text,
}
ENVIRONMENT_ONLY = frozenset({"token"})


# --- [agents.NAME] ------------------------------------------------------------------------------


def _agents(tables: object, protocols: Collection[str]) -> dict[str, AgentConfig]:
    if not isinstance(tables, dict):
        raise _expected("agents", tables, "a table for each agent: [agents.NAME]")
    return {name: _agent(name, table, protocols) for name, table in tables.items()}


def _agent(name: str, table: object, protocols: Collection[str]) -> AgentConfig:
    key = f"agents.{name}"
    if not _NAME.fullmatch(name):
        raise _expected(key, name, "a name of small letters, digits, _ and -, at most 32")
    if not isinstance(table, dict):
        raise _expected(key, table, "a table")
    base = next((agent for agent in BUILT_IN if agent.name == name), None)
    known = {"protocol", "command", "permissions", "allow", "deny", "thinking", "env", "pass_env"}
    if stray := sorted(table.keys() - known):
        raise BadConfig(f"{key}.{stray[0]}: no such setting; expected one of {', '.join(sorted(known))}")
    protocol = table.get("protocol", base.protocol if base else None)
    if not isinstance(protocol, str) or protocol not in protocols:
        raise _expected(f"{key}.protocol", protocol, f"one of {', '.join(sorted(protocols))}")
    permissions, allow, deny = _leave(key, table)
    thinking = table.get("thinking", False)
    if not isinstance(thinking, bool):
        raise _expected(f"{key}.thinking", thinking, "true or false")
    command = table.get("command", list(base.command) if base else None)
    if not _is_texts(command) or not command or not command[0]:
        raise _expected(f"{key}.command", command, "a list of texts, the program first")
    env = _variables(f"{key}.env", table.get("env", {}))
    pass_env = table.get("pass_env", [])
    if not _is_texts(pass_env):
        raise _expected(f"{key}.pass_env", pass_env, "a list of names")
    return AgentConfig(
        name, protocol, tuple(command), permissions, allow, deny, thinking, env, tuple(pass_env)
    )


def _leave(
    key: str, table: dict[str, Any]
) -> tuple[Literal["bypass", "ask"], tuple[str, ...], tuple[str, ...]]:
    """Return how leave is asked, and the tools that are allowed and refused without asking."""
    permissions = table.get("permissions", "bypass")
    if permissions not in ("bypass", "ask"):
        raise _expected(f"{key}.permissions", permissions, '"bypass" or "ask"')
    allow, deny = (_tools(key, which, table, permissions) for which in ("allow", "deny"))
    if both := sorted({*allow} & {*deny}):
        raise BadConfig(f"{key}.deny: {both[0]!r} is in allow as well")
    return permissions, allow, deny


def _tools(key: str, which: str, table: dict[str, Any], permissions: str) -> tuple[str, ...]:
    """Return the list of tools under `which`. Raises BadConfig for one that would never be looked at."""
    names = table.get(which, [])
    if not _is_texts(names) or not all(names):
        raise _expected(f"{key}.{which}", names, "a list of names of tools")
    if names and permissions != "ask":
        raise BadConfig(f'{key}.{which}: has an effect only with permissions = "ask", got {permissions!r}')
    return tuple(names)


def _presets(tables: object) -> tuple[Preset, ...]:
    if tables is None:
        return PRESETS
    if not isinstance(tables, list):
        raise _expected("presets", tables, "tables: [[presets]]")
    return tuple(_preset(f"presets[{index}]", table) for index, table in enumerate(tables))


def _preset(key: str, table: object) -> Preset:
    if not isinstance(table, dict) or not {"label", "text"} <= table.keys() <= {"label", "text", "agent"}:
        raise _expected(key, table, "a table of label, text and perhaps agent")
    return Preset(**{name: _text(f"{key}.{name}", value) for name, value in table.items()})


def _variables(key: str, value: object) -> dict[str, str]:
    if isinstance(value, dict) and _is_texts(list(value.values())) and all(map(_VARIABLE.fullmatch, value)):
        return value
    raise _expected(key, value, "a table of texts, named as variables are")


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and "\0" not in item for item in value)
