"""The agents: how each is started, and its words turned into events. Pure, every one of them.

An agent is one module of this package and one row of `PROTOCOLS`. The module has one class, `Dialogue`,
a protocol core without I/O in the manner of h11: the runner feeds it what the agent printed and writes to
the agent what it returns. It opens no file, starts no process and reads no clock, so its tests are tables
of bytes. Modules here may import `breakglass.events` and the standard library, and what is slow to import
only within the function that needs it: a runner starts once a turn.
"""

from importlib import import_module
from typing import NamedTuple, Protocol

from breakglass.events import Draft


class Task(NamedTuple):
    """One turn as an agent sees it."""

    prompt: str
    command: tuple[str, ...]
    """The configured command; the agent appends its own arguments."""
    model: str | None = None
    session: str | None = None
    """The agent's own session to resume, None to open a new one."""
    spent: float = 0.0
    """US dollars that `session` has cost before this turn."""
    ask: bool = False
    """Whether the agent must ask leave to use a tool."""
    deny: tuple[str, ...] = ()
    """Tools for which it must ask whatever its own settings say: they will be refused."""
    thinking: bool = False
    """Whether its thinking is wanted in the log."""
    cwd: str = "."
    is_root: bool = False
    """Whether the agent will run as root."""
    turn: int = 0
    """The turn's number, for an agent that has no ids of its own."""


class Exit(NamedTuple):
    """How the agent's process ended."""

    code: int
    """Exit status; negative, the number of the signal that ended it."""
    stderr: str = ""
    """The last 4 KiB of what it wrote to standard error."""
    cancelled: bool = False
    """Whether we stopped it: then a failure is no news."""
    duration_ms: int = 0
    """From its start to its end."""

    @property
    def how(self) -> str:
        """In words: `exit status 3`, `ended by signal KILL`. A shell's 128 + N names the signal as well."""
        number = -self.code if self.code < 0 else self.code - 128
        name = _signal_name(number) if number > 0 else ""
        if self.code < 0:
            return f"ended by signal {name or number}"
        return f"exit status {self.code}" + (f", signal {name}" if name else "")


def _signal_name(number: int) -> str:
    from signal import Signals  # only for an end that needs a word

    try:
        return Signals(number).name.removeprefix("SIG")
    except ValueError:
        return ""


class Dialogue(Protocol):
    """One agent process through one turn. Made with the `Task`."""

    argv: list[str]
    """The command line. The prompt is never in it: `ps` shows it, and a prompt may begin with `-`."""
    environ: dict[str, str]
    """Variables this protocol sets on top of the agent's environment."""
    merge_stderr: bool
    """Whether standard error belongs into standard output, in order."""
    failed: bool
    """After `close`: whether the turn failed by the agent's own account or by its exit."""
    start_over: bool
    """After `close`: whether the task should be run once more with `session=None`."""

    def begin(self) -> list[Draft]:
        """Return the events that are known before the agent says anything. Asked once, when it runs."""
        ...

    def open(self) -> bytes:
        """Return the first bytes for the agent's standard input."""
        ...

    def translate(self, data: bytes) -> list[Draft]:
        """Return the events in the next bytes of the agent's output. Takes any bytes, cut anywhere; never raises.

        The bytes of one call give as few events as they can: prose and output that come in many small
        pieces are gathered by whoever calls, for up to 50 ms.
        """
        ...

    def answer(self, request: str, *, allow: bool, message: str = "") -> bool:
        """Answer a `permission` event; `reply` then has the bytes. Returns False if it is no open question.

        `message` goes to the agent: why it was refused, or what was chosen where it asked for a choice.
        """
        ...

    def reply(self) -> bytes:
        """Return what is now to be written to the agent's standard input, b"" for nothing.

        To be asked after each `open`, `translate` and `answer`.
        """
        ...

    @property
    def finished(self) -> bool:
        """Whether everything has been said to the agent: its standard input may be closed, and then stays so."""
        ...

    def interrupt(self) -> bytes:
        """Return the bytes that ask the agent to stop what it does, b"" where only a signal will."""
        ...

    def close(self, end: Exit) -> list[Draft]:
        """Return the last events, once the agent has exited and all its output was translated."""
        ...


PROTOCOLS: dict[str, str] = {
    "acp": "breakglass.agents.acp.dialogue",
    "claude": "breakglass.agents.claude.dialogue",
    "shell": "breakglass.agents.shell",
}
"""Protocol to its module."""


def dialogue(protocol: str, task: Task) -> Dialogue:
    """Return a new dialogue in `protocol`. Raises KeyError for a protocol that is not in the table."""
    made: Dialogue = import_module(PROTOCOLS[protocol]).Dialogue(task)
    return made
