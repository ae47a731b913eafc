"""What a command declares: its words, options, examples and exit statuses, and the function that runs it."""

from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # at run time, importing the settings would delay the help
    from breakglass.config import Config


class Word(NamedTuple):
    """A positional argument."""

    usage: str
    """Its name as a usage line shows it; `[ID]` may be left out."""
    help: str


class Option(NamedTuple):
    """An option. Without a metavar it is a flag."""

    usage: str
    """The option and its metavar as a usage line shows them, such as `--after N`."""
    help: str
    parse: Callable[[str], Any] = str
    default: Any = None
    is_repeatable: bool = False
    """Whether it may be given several times. Its value is then a list."""


class Command(NamedTuple):
    """A command. The name of its file is its name, and the first line of the file is its summary."""

    run: Callable[["Config", Namespace], int]
    """Runs the command and returns the exit status. `args.words` holds the positional arguments."""
    examples: str
    words: tuple[Word, ...] = ()
    any_number: bool = False
    """Whether the last word may be repeated."""
    options: tuple[Option, ...] = ()
    settings: tuple[str, ...] = ()
    """The settings that have an option here, besides `data`."""
    writes: bool = False
    """Whether it may write to a log. Then it warns of a /proc in which processes are not found."""
    output: str = ""
    """Its standard output, unless the summary describes it."""
    notes: str = ""
    advice: str = ""
    """The advice for a wrong number of words."""
    reads_hosts: bool = False
    """Whether it takes `--host`: it then reads the copy of another host's sessions instead of those of this machine."""
    on_host: Callable[["Config", Namespace], int] | None = None
    """Does the command on the host `args.on`, for `--on`. None: it cannot be done on another host."""
    exits: Mapping[int, str] = {}
    """The exit statuses with a meaning of their own in this command; `EXITS` has the general ones."""

    @property
    def usage(self) -> str:
        """The words as a usage line shows them."""
        return " ".join(word.usage for word in self.words)

    @property
    def fewest_words(self) -> int:
        """The number of required words."""
        return sum(not word.usage.startswith("[") for word in self.words)

    @property
    def most_words(self) -> float:
        """The number of words that may be given."""
        return float("inf") if self.any_number else len(self.words)

    @property
    def all_exits(self) -> dict[int, str]:
        """Every exit status with its meaning."""
        remote = REMOTE_EXITS if self.on_host else {}
        return dict(sorted((EXITS | remote | dict(self.exits)).items()))


HOST = Option("--host H", "read the copy of this host's sessions, below hosts/ in the data root")
"""The option of every command with `reads_hosts`."""
ON_COPY = Option("--on H", "the same as --host")
"""The option with which the commands that read have the syntax of those that act."""
REMOTE = (
    Option("--on H", "do it on this host, by a command that is signed with your ssh key"),
    Option("--key K", "with --on: a command with the same key is done only once (default a new key)"),
    Option("--identity FILE", "with --on: the ssh key that signs, or its public key if ssh-agent has it"),
)
"""The options of every command with `on_host`."""

EXITS = {0: "ok", 1: "it failed", 2: "bad usage or a bad setting"}
"""The exit statuses that every command has."""
RARE_EXITS = {
    3: "a turn is running already",
    130: "the turn was cancelled, or you pressed Ctrl-C",
    141: "the reader of the output closed the pipe, as head does",
}
"""The exit statuses of some commands."""
REMOTE_EXITS = {
    6: "with --on: the engine refuses the credentials, or is too old",
    7: "with --on: the host cannot be reached, and nothing was done",
    8: "with --on: the host refused the command",
    9: "with --on: it is unknown whether it was done; the message says how to repeat it",
}
"""The exit statuses of the commands that are done on other hosts."""

SESSION = Word("ID", "a session's id or the beginning of it")
LAST_SESSION = Word("[ID]", f"{SESSION.help} (default the session written to last)")
