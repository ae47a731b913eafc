"""The settings of the program: one frozen `Config`, built once by `load_config` and passed on.

How this works. Each setting is one field of a dataclass, declared by `setting(default, parser, meaning, …)`. The
environment's names, the TOML keys, the command line options, `--help` and docs/settings.md all follow from these
fields. `Config` is for settings of one value, `agents.AgentConfig` for `[agents.NAME]`, `presets.Preset` for
`[[presets]]`. The packages `breakglass.actions`, `targets` and `notify` declare the tables `[actions.NAME]`,
`[targets.NAME]` and `[[notify]]`; `breakglass.relay_settings` declares `[relay]`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from breakglass.actions import Action, Param
from breakglass.actions.built_in import BUILT_IN
from breakglass.config.agents import FALLBACK_AGENT, PREFERRED_AGENT, AgentConfig, built_in, unknown_agent
from breakglass.config.presets import PRESETS, SHELL_PRESETS, Preset
from breakglass.errors import BadInput, NotFound
from breakglass.notify import Notify
from breakglass.notify.push import parse_push_services
from breakglass.relay_settings import RelaySettings
from breakglass.settings import (
    declared_by,
    parse_dollars,
    parse_flag,
    parse_header,
    parse_model,
    parse_origins,
    parse_path,
    parse_peers,
    parse_port,
    parse_prefix,
    parse_seconds,
    parse_text,
    parse_token,
    setting,
)
from breakglass.suggestion import suggestion
from breakglass.targets import Target
from breakglass.turn_limits import TurnLimits

DEFAULT_DATA = Path("var")


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting, checked."""

    data: Path = setting(
        DEFAULT_DATA, parse_path, "where everything is kept", default_words="./var", option="--data DIR"
    )
    host: str = setting("127.0.0.1", parse_text, "the address to listen on", option="--host H")
    port: int = setting(8420, parse_port, "the port to listen on, 0 for any free one", option="--port P")
    agent: str = setting(
        FALLBACK_AGENT,
        parse_text,
        "the agent of new sessions",
        default_words=f"{PREFERRED_AGENT} if that program is found, else {FALLBACK_AGENT}",
    )
    model: str | None = setting(
        None, parse_model, "the model of new sessions", default_words="the agent's own choice"
    )
    turn_timeout_seconds: float = setting(1800.0, parse_seconds, "the seconds after which a turn is stopped")
    permission_timeout_seconds: float = setting(
        600.0, parse_seconds, "the seconds after which an agent's unanswered question counts as refused"
    )
    max_cost_usd: float | None = setting(
        None,
        parse_dollars,
        "the US dollars that a turn may cost: Claude Code stops itself, another agent is stopped after the result that"
        " costs more",
    )
    max_cost_usd_per_day: float | None = setting(
        None,
        parse_dollars,
        "the US dollars of a day (UTC) in all sessions, after which a prompt to an agent needs a confirmation",
    )
    sse_keepalive_seconds: float = setting(
        20.0, parse_seconds, "the seconds after which a silent event stream sends a comment"
    )
    vitals: bool = setting(
        default=True,
        parse=parse_flag,
        meaning="record the vital signs of this machine in the log with each prompt",
    )
    metrics: bool = setting(
        default=False,
        parse=parse_flag,
        meaning="serve numbers for Prometheus at /metrics, to every login and token",
    )
    limits: TurnLimits = TurnLimits()  # noqa: RUF009 — a constant
    token: str | None = setting(
        None,
        parse_token,
        "the access token",
        default_words="generated, kept in var/token",
        in_file=False,  # other users may be able to read the file
    )
    origins: tuple[str, ...] = setting(
        (), parse_origins, "the public addresses of the server, such as https://ops.example.com"
    )
    prefix: str = setting(
        "", parse_prefix, "the path below which a proxy shows the server, such as /breakglass"
    )
    proxies: frozenset[str] = setting(
        frozenset(),
        parse_peers,
        "the proxies in front: IP addresses, unix:USER for a user at the Unix socket, unix for all users there",
    )
    proxy_user_header: str | None = setting(
        None, parse_header, "the header in which a listed proxy names the user it has authenticated"
    )
    proxy_address_header: str | None = setting(
        None, parse_header, "the header in which a listed proxy gives the client's address"
    )
    tls_cert: Path | None = setting(
        None,
        parse_path,
        "serve TLS: the file with the certificate and its chain",
        option="--tls-cert FILE",
    )
    tls_key: Path | None = setting(
        None, parse_path, "the file with the key of tls_cert", option="--tls-key FILE"
    )
    socket: Path | None = setting(
        None, parse_path, "a Unix socket to listen on, instead of host and port", option="--socket PATH"
    )
    allow_plain: bool = setting(
        default=False,
        parse=parse_flag,
        meaning="serve other machines without TLS or a proxy; the network can read the token",
        option="--allow-plain",
    )
    access_log: str | None = setting(
        None, parse_text, "the file for the access log, one JSON object a request; - for standard error"
    )
    push_services: tuple[str, ...] = setting(
        (),
        parse_push_services,
        "the origins of further push services of browsers, besides those that are known",
    )
    agents: Mapping[str, AgentConfig] = field(default_factory=built_in)
    presets: tuple[Preset, ...] = PRESETS
    actions: Mapping[str, Action] = field(default_factory=lambda: BUILT_IN)
    targets: Mapping[str, Target] = field(default_factory=dict)
    notify: tuple[Notify, ...] = ()
    relay: RelaySettings = RelaySettings()  # noqa: RUF009 — a constant
    file: Path | None = None
    """The settings file, absolute. The process that sends notifications reads it again."""
    is_agent_chosen: bool = False
    """Whether a setting names the agent of new sessions. Otherwise it is `default_agent`."""
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The environment that the program was started with. An agent's environment is based on it."""

    def agent_named(self, name: str) -> AgentConfig:
        """Return a configured agent. Raises BadConfig if there is none of that name."""
        if name not in self.agents:
            raise unknown_agent("agent", name, self.agents)
        return self.agents[name]

    def action_named(self, name: str) -> Action:
        """Return a configured action. Raises NotFound if there is none of that name."""
        if name not in self.actions:
            instead = suggestion(name, self.actions, "breakglass actions lists them")
            raise NotFound(f"there is no action {name[:64]!r}; {instead}")
        return self.actions[name]

    def target_named(self, name: str) -> Target:
        """Return a configured target. Raises BadInput if there is none of that name."""
        if name not in self.targets:
            known = ", ".join(self.targets) or "none is set: add [targets.NAME] to the settings"
            instead = suggestion(name, self.targets, f"expected {known}")
            raise BadInput(f"there is no target {name[:64]!r}; {instead}")
        return self.targets[name]

    @property
    def this_machine(self) -> str:
        """The name of this machine: the word that confirms a disruptive action on it."""
        return os.uname().nodename

    def is_command_line(self, agent: str) -> bool:
        """Return whether a prompt for that agent is a command, not a sentence. False for an unknown agent."""
        return agent in self.agents and self.agents[agent].about.is_command_line

    def presets_for(self, agent: str | None) -> tuple[Preset, ...]:
        """Return the presets for sessions of that agent, or for None those that can begin a new session."""
        if self.presets is PRESETS:
            return SHELL_PRESETS if self.is_command_line(agent or self.agent) else PRESETS
        return tuple(each for each in self.presets if each.agent is None or agent in (None, each.agent))


SETTINGS = declared_by(Config)
"""The settings of one value, by name."""
AGENT_SETTINGS = declared_by(AgentConfig)
PRESET_SETTINGS = declared_by(Preset)
ACTION_SETTINGS = declared_by(Action)
PARAM_SETTINGS = declared_by(Param)
TARGET_SETTINGS = declared_by(Target)
NOTIFY_SETTINGS = declared_by(Notify)
RELAY_SETTINGS = declared_by(RelaySettings)


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"BREAKGLASS_{name.upper()}"
