"""The settings: one frozen `Config`, built once and handed down. The only reader of the environment.

docs/contract.md, section 6, is the table of settings. A bad value stops the program with the key, the value
and what was expected; so does a key that nobody knows, for it is most likely a slip.
"""

import contextlib
import re
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from breakglass.agents import PROTOCOLS, About, about
from breakglass.errors import BadConfig
from breakglass.settings import ENVIRONMENT_ONLY, SETTINGS, expected, is_texts, text

Protocol = str
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


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

    def program(self, environ: Mapping[str, str]) -> str | None:
        """Return where the agent's program is for who has that environment, None where it is not there."""
        return shutil.which(self.command[0], path=environ.get("PATH"))

    @property
    def about(self) -> About:
        """What is known about its protocol."""
        return about(self.protocol)


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
SHELL_PRESETS = (
    Preset("Load", "uptime; free -m; ps aux --sort=-%cpu | head -15"),
    Preset("Disk", "df -h; df -i | awk '$5 + 0 > 80'"),
    Preset("Failed units", "systemctl --failed --no-pager"),
    Preset("Recent errors", "journalctl -p err -n 50 --no-pager"),
)
"""The same where a shell is who answers."""

DEFAULT_FILE = "breakglass.toml"
"""The file of settings that is read, where it exists, unless another is named."""


def built_in() -> dict[str, AgentConfig]:
    """Return the agents that exist without any settings, by name."""
    commands = {name: about(name).built_in for name in PROTOCOLS}
    return {name: AgentConfig(name, name, command) for name, command in commands.items() if command}


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
    agents: Mapping[str, AgentConfig] = field(default_factory=built_in)
    presets: tuple[Preset, ...] = PRESETS
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The environment the program was started with: what an agent's is made from."""

    def agent_named(self, name: str) -> AgentConfig:
        """Return a configured agent. Raises BadConfig for a name that is none."""
        if name not in self.agents:
            known = ", ".join(sorted(self.agents))
            raise BadConfig(f"agent: expected one of {known}, got {name!r}")
        return self.agents[name]

    def is_command_line(self, agent: str) -> bool:
        """Return whether a prompt for that agent is a command, not a sentence. False for an unknown agent."""
        return agent in self.agents and self.agents[agent].about.is_command_line

    def presets_for(self, agent: str | None) -> tuple[Preset, ...]:
        """Return the ready prompts for a session of that agent; for None, those that may begin a new session."""
        if self.presets is PRESETS:
            return SHELL_PRESETS if self.is_command_line(agent or self.agent) else PRESETS
        return tuple(each for each in self.presets if each.agent is None or agent in (None, each.agent))


def load(
    environ: Mapping[str, str],
    path: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Config:
    """Return the settings: the file's, over them the environment's, over them `overrides` (the command line's).

    `path` None is BREAKGLASS_CONFIG, else ./breakglass.toml where it exists. Raises BadConfig.
    """
    place = path or environ.get("BREAKGLASS_CONFIG") or None
    with _from(place or DEFAULT_FILE):
        settings, configured, presets = _from_file(_read_file(place))
    for key, check in SETTINGS.items():
        name = f"BREAKGLASS_{key.upper()}"
        if name in environ:
            settings[key] = check(name, environ[name])
    for key, value in (overrides or {}).items():
        if value is not None:
            settings[key] = SETTINGS[key](f"--{key.replace('_', '-')}", value)
    agents = built_in() | configured
    *preferred, last = built_in()
    settings.setdefault("agent", next((name for name in preferred if agents[name].program(environ)), last))
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


@contextlib.contextmanager
def _from(place: str) -> Iterator[None]:
    """Have what is wrong say in which file."""
    try:
        yield
    except BadConfig as error:
        raise BadConfig(f"{place}: {error}") from error


def _from_file(
    found: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, AgentConfig], tuple[Preset, ...]]:
    tables, presets = found.pop("agents", {}), _presets(found.pop("presets", None))
    settings = {}
    for key, value in found.items():
        if key not in SETTINGS or key in ENVIRONMENT_ONLY:
            known = sorted({*SETTINGS, "agents", "presets"} - ENVIRONMENT_ONLY)
            import difflib  # only for who mistypes: the runner's start counts milliseconds

            close = difflib.get_close_matches(key, known, 1)
            meant = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}"
            raise BadConfig(f"{key}: no such setting; {meant}")
        settings[key] = SETTINGS[key](key, value)
    return settings, _agents(tables), presets


def _read_file(path: str | None) -> dict[str, Any]:
    place = Path(path or DEFAULT_FILE)
    if path is None and not place.exists():
        return {}
    try:
        return tomllib.loads(place.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfig(f"could not be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadConfig(f"expected TOML: {error}") from error


# --- [agents.NAME] ------------------------------------------------------------------------------


def _agents(tables: object) -> dict[str, AgentConfig]:
    if not isinstance(tables, dict):
        raise expected("agents", tables, "a table for each agent: [agents.NAME]")
    return {name: _agent(name, table) for name, table in tables.items()}


def _agent(name: str, table: object) -> AgentConfig:
    key = f"agents.{name}"
    if not _NAME.fullmatch(name):
        raise expected(key, name, "a name of small letters, digits, _ and -, at most 32")
    if not isinstance(table, dict):
        raise expected(key, table, "a table")
    base = built_in().get(name)
    known = {"protocol", "command", "permissions", "allow", "deny", "thinking", "env", "pass_env"}
    if stray := sorted(table.keys() - known):
        raise BadConfig(f"{key}.{stray[0]}: no such setting; expected one of {', '.join(sorted(known))}")
    protocol = table.get("protocol", base.protocol if base else None)
    if not isinstance(protocol, str) or protocol not in PROTOCOLS:
        raise expected(f"{key}.protocol", protocol, f"one of {', '.join(sorted(PROTOCOLS))}")
    permissions, allow, deny = _leave(key, table)
    thinking = table.get("thinking", False)
    if not isinstance(thinking, bool):
        raise expected(f"{key}.thinking", thinking, "true or false")
    command = table.get("command", list(base.command) if base else None)
    if not is_texts(command) or not command or not command[0]:
        raise expected(f"{key}.command", command, "a list of texts, the program first")
    env = _variables(f"{key}.env", table.get("env", {}))
    pass_env = table.get("pass_env", [])
    if not is_texts(pass_env):
        raise expected(f"{key}.pass_env", pass_env, "a list of names")
    return AgentConfig(
        name, protocol, tuple(command), permissions, allow, deny, thinking, env, tuple(pass_env)
    )


def _leave(
    key: str, table: dict[str, Any]
) -> tuple[Literal["bypass", "ask"], tuple[str, ...], tuple[str, ...]]:
    """Return how leave is asked, and the tools that are allowed and refused without asking."""
    permissions = table.get("permissions", "bypass")
    if permissions not in ("bypass", "ask"):
        raise expected(f"{key}.permissions", permissions, '"bypass" or "ask"')
    allow, deny = (_tools(key, which, table, permissions) for which in ("allow", "deny"))
    if both := sorted({*allow} & {*deny}):
        raise BadConfig(f"{key}.deny: {both[0]!r} is in allow as well")
    return permissions, allow, deny


def _tools(key: str, which: str, table: dict[str, Any], permissions: str) -> tuple[str, ...]:
    """Return the list of tools under `which`. Raises BadConfig for one that would never be looked at."""
    names = table.get(which, [])
    if not is_texts(names) or not all(names):
        raise expected(f"{key}.{which}", names, "a list of names of tools")
    if names and permissions != "ask":
        raise BadConfig(f'{key}.{which}: has an effect only with permissions = "ask", got {permissions!r}')
    return tuple(names)


def _presets(tables: object) -> tuple[Preset, ...]:
    if tables is None:
        return PRESETS
    if not isinstance(tables, list):
        raise expected("presets", tables, "tables: [[presets]]")
    return tuple(_preset(f"presets[{index}]", table) for index, table in enumerate(tables))


def _preset(key: str, table: object) -> Preset:
    if not isinstance(table, dict) or not {"label", "text"} <= table.keys() <= {"label", "text", "agent"}:
        raise expected(key, table, "a table of label, text and perhaps agent")
    return Preset(**{name: text(f"{key}.{name}", value) for name, value in table.items()})


def _variables(key: str, value: object) -> dict[str, str]:
    if isinstance(value, dict) and is_texts(list(value.values())) and all(map(_VARIABLE.fullmatch, value)):
        return value
    raise expected(key, value, "a table of texts, named as variables are")
