"""The agents: what the program must know about each, and the protocol of each. Pure.

How to add an agent:

1. Make a directory here with the name of its protocol.
2. Its `__init__.py` exports `ABOUT`, an `About`: values and pure functions, cheap to import.
3. Its `dialogue.py` exports `Dialogue`, a class with the methods of `Dialogue` below.
4. An agent that prints one JSON object a line builds on `line_dialogue.LineDialogue`.
5. Add one row to `PROTOCOLS`.
6. Record the real program, test the dialogue on the recorded bytes (tests/agents), add a column to docs/agents.md.

A dialogue is a protocol core without I/O, like h11. The runner passes it the agent's output, and writes the bytes
that it returns to the agent. It opens no file, starts no process and reads no clock. Modules here may import
`breakglass.events`, `breakglass.choices` and the standard library. Put a slow import into the function that needs it,
because a runner starts for every turn.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Literal, NamedTuple, Protocol

from breakglass.choices import NO_ANSWERS, Answers
from breakglass.events import Draft

# --- about an agent -----------------------------------------------------------------------------


class LoginProbe(NamedTuple):
    """The command that reports whether a program is logged in. It sends no prompt and calls no backend."""

    arguments: tuple[str, ...]
    """The arguments after the configured command."""
    since: tuple[int, int, int]
    """The first version known to have this command. An older program might take the arguments for a prompt."""
    read: Callable[[bytes], bool | None]
    """Takes the program's standard output. Returns whether it is logged in, None if unknown. Never raises."""
    read_end: Callable[[bytes], float | None]
    """Takes the same output. Returns when the login ends, in seconds since the epoch, None if unknown. Never raises."""
    hint: str
    """How to log in; `{name}` stands for the agent's name in the settings."""
    log_in: tuple[str, ...] = ()
    """The arguments with which the program logs in: it prints an address and reads a code. () if it cannot."""


def _accepts_root(name: str, environ: Mapping[str, str]) -> str:
    return ""


class About(NamedTuple):
    """The facts about the agents of one protocol."""

    built_in: tuple[str, ...] = ()
    """The command of the agent that needs no settings; its name is the protocol's. Empty if there is none."""
    is_command_line: bool = False
    """Whether a prompt is a command to run, not a request in words."""
    environment: tuple[str, ...] = ()
    """Patterns (fnmatch) of the variables that its programs are known to need, besides `environ.ALLOWED`."""
    choice_tools: frozenset[str] = frozenset()
    """Tools that ask the user to choose. Permission alone is no answer, so allow-rules never apply to them."""
    instructions: Literal["none", "prompt", "system"] = "none"
    """Where instructions go: nowhere, before the first prompt of a session, or into the system prompt of each turn."""
    models: tuple[str, ...] = ()
    """The names of models that it takes; empty if it says itself what it offers."""
    can_steer: bool = False
    """Whether it can read a further prompt while a turn runs."""
    version_arguments: tuple[str, ...] = ("--version",)
    """The arguments that make the program print its version and exit."""
    login: LoginProbe | None = None
    """None if a program cannot tell without a prompt whether it is logged in."""
    logs_in_by_protocol: bool = False
    """Whether its own protocol offers ways to log in."""
    root_refusal: Callable[[str, Mapping[str, str]], str] = _accepts_root
    """Takes an agent's name and environment. Returns why it refuses to act without asking as root, "" if it accepts."""


# --- one turn -----------------------------------------------------------------------------------


class Picture(NamedTuple):
    """A picture that belongs to a prompt. The model sees it, if the agent can pass it on."""

    type: str
    """Its media type."""
    data: bytes


class TurnInput(NamedTuple):
    """The input of an agent for one turn."""

    prompt: str
    """The text, which names every file that belongs to the prompt."""
    command: tuple[str, ...]
    """The configured command; the agent's dialogue appends its own arguments."""
    model: str | None = None
    session: str | None = None
    """The agent's own session to resume, None to open a new one."""
    session_cost: float = 0.0
    """US dollars that `session` has cost before this turn."""
    max_cost: float | None = None
    """US dollars that the turn may cost."""
    ask: bool = False
    """Whether the agent must ask for permission to use a tool."""
    deny: tuple[str, ...] = ()
    """Tools that will be refused. The agent must ask about them even if its own settings allow them."""
    instructions: str = ""
    """What the agent must heed besides the prompt."""
    runbooks: str = ""
    """A directory that the agent may read besides its own, "" for none."""
    thinking: bool = False
    """Whether the agent's thinking goes into the log."""
    pictures: tuple[Picture, ...] = ()
    cwd: str = "."
    turn: int = 0
    """The turn's number, for an agent that has no unique ids of its own."""
    variables: tuple[str, ...] = ()
    """The names of the variables in the agent's environment. Their values are not for a dialogue."""
    remarks: Callable[[], str] | None = None
    """Returns what a user remarked in the last turn, for an agent that could not get it then. Reads the log."""
    prompt_with_record: Callable[[], str] | None = None
    """Returns the prompt with a record of the earlier turns before it, for a new session in place of `session`."""

    def without_session(self) -> "TurnInput":
        """Return the input for an agent that no longer has `session`. Reads the log if it can."""
        prompt = self.prompt_with_record() if self.prompt_with_record else self.prompt
        return self._replace(prompt=prompt, session=None, session_cost=0.0, remarks=None)


class Exit(NamedTuple):
    """How the agent's process ended."""

    code: int
    """Exit status. A negative one is the number of the signal that ended the process."""
    stderr: str = ""
    """The last 4 KiB of its standard error."""
    cancelled: bool = False
    """Whether we stopped it. A failure is expected then, and not reported."""
    duration_ms: int = 0
    """From its start to its end."""

    @property
    def description(self) -> str:
        """The end as text: `exit status 3`, `ended by signal KILL`. A shell's 128 + N names the signal too."""
        number = -self.code if self.code < 0 else self.code - 128
        name = _signal_name(number) if number > 0 else ""
        if self.code < 0:
            return f"ended by signal {name or number}"
        return f"exit status {self.code}" + (f", signal {name}" if name else "")


def _signal_name(number: int) -> str:
    from signal import Signals  # needed only for an abnormal end

    try:
        return Signals(number).name.removeprefix("SIG")
    except ValueError:
        return ""


class Dialogue(Protocol):
    """One agent process through one turn. Constructed with a `TurnInput`."""

    argv: list[str]
    """The command line. It never holds the prompt: `ps` shows it, and a prompt may begin with `-`."""
    environ: dict[str, str]
    """Variables that this protocol sets on top of the agent's environment."""
    merge_stderr: bool
    """Whether standard error is merged into standard output, in order."""
    failed: bool
    """After `close`: whether the turn failed, according to the agent or to its exit status."""
    waits_for_quiet: bool
    """Whether `after_quiet` must be called once the agent has printed nothing for a short time."""
    carries_remarks: bool
    """Whether the agent gets the `message` of an answer."""
    start_over: bool
    """After `close`: whether the turn should run once more, with the input `without_session`."""

    def begin(self) -> list[Draft]:
        """Return the events that are known before the agent prints anything. Called once, before it starts."""
        ...

    def open(self) -> bytes:
        """Return the first bytes for the agent's standard input."""
        ...

    def translate(self, data: bytes) -> list[Draft]:
        """Return the events in the next bytes of the agent's output. Accepts any bytes, split anywhere; never raises.

        One call returns as few events as possible. The caller collects small pieces of prose and output for up to
        50 ms before it calls.
        """
        ...

    def after_quiet(self) -> list[Draft]:
        """Continue after the agent was quiet, and return events; `reply` then has the bytes."""
        ...

    def answer(self, request: str, *, allow: bool, message: str = "", answers: Answers = NO_ANSWERS) -> bool:
        """Answer a `permission` event; `reply` then has the bytes. Returns False if no such question is open.

        `message` is the reason for a refusal. `answers` are what the user chose, by the `id` of each of the event's
        `choices`.
        """
        ...

    @property
    def can_steer(self) -> bool:
        """Whether the agent would read a further prompt within this turn: it runs a tool."""
        ...

    def steer(self, number: int, prompt: str) -> None:
        """Give the agent a further prompt, which line `number` of the log records; `reply` then has the bytes."""
        ...

    @property
    def unread(self) -> Sequence[int]:
        """The numbers of the prompts that the agent got by `steer` and has not read."""
        ...

    def reply(self) -> bytes:
        """Return what to write to the agent's standard input now, b"" for nothing.

        Call it after each `translate` and `answer`.
        """
        ...

    @property
    def finished(self) -> bool:
        """Whether nothing more will be written to the agent. Its standard input may be closed; this never reverts."""
        ...

    @property
    def answered(self) -> bool:
        """Whether the agent gave its final answer and has no work left, so that it must exit soon.

        It becomes False again if the agent begins to work again. An agent whose exit is its answer never has it.
        """
        ...

    def interrupt(self) -> bytes:
        """Return the bytes that ask the agent to stop its work, b"" if only a signal does that."""
        ...

    def close(self, end: Exit) -> list[Draft]:
        """Return the last events. Called after the agent has exited and all its output was translated."""
        ...


# --- the table ----------------------------------------------------------------------------------

PROTOCOLS: dict[str, str] = {
    "claude": "breakglass.agents.claude",
    "acp": "breakglass.agents.acp",
    "shell": "breakglass.agents.shell",
}
"""Each protocol with its package."""

ACTION = "action"
"""The protocol of an action's programs. No settings name it: an action has no agent."""
LOGIN = "login"
"""The protocol of a program that logs an agent in."""
ACP_LOGIN = "acp_login"
"""The protocol of an ACP agent that logs itself in."""
_PACKAGES = PROTOCOLS | {name: f"breakglass.agents.{name}" for name in (ACTION, LOGIN, ACP_LOGIN)}


def about(protocol: str) -> About:
    """Return the facts about a protocol. Raises KeyError for a protocol that is not in the table."""
    found: About = import_module(PROTOCOLS[protocol]).ABOUT
    return found


def new_dialogue(protocol: str, turn_input: TurnInput) -> Dialogue:
    """Return a dialogue for one agent process. Raises KeyError for a protocol that is not in the table."""
    made: Dialogue = import_module(f"{_PACKAGES[protocol]}.dialogue").Dialogue(turn_input)
    return made
