"""Reads the command line: the command, its options and its words (positional arguments). Makes the help.

It does not run commands. It uses argparse, because other libraries take longer to import and delay every command.
Only the parser of the typed command is built.
"""

import argparse
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from breakglass import __version__
from breakglass.cli import commands
from breakglass.cli.command import EXITS, HOST, ON_COPY, RARE_EXITS, REMOTE, Command, Option
from breakglass.errors import BadInput
from breakglass.suggestion import suggestion

HELP = ("-h", "--help", "help")
VERSION = ("--version", "version")
_CONFIG_HELP = (
    "the settings file (default breakglass.toml in the data root, "
    "~/.config/breakglass, /etc/breakglass or here)"
)
COMMON = ("--data", "--config")
"""The options that every command has."""
BEFORE = (*COMMON, *(option.usage.split()[0] for option in (HOST, *REMOTE)))
"""The options that may also be before the command."""


class Parser(argparse.ArgumentParser):
    """A parser that reports a mistake as BadInput, in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise BadInput."""
        _, is_unknown, option = message.partition("unrecognized arguments: -")
        instead = ""
        if is_unknown:
            instead = suggestion(f"-{option}".split()[0].partition("=")[0], self._option_string_actions, "")
        raise BadInput(f"{message}; {f'{instead} See' if instead else 'see'}: {self.prog} --help")


def version() -> str:
    """Return the program's name and version."""
    return f"breakglass {__version__}"


def names() -> str:
    """Return the commands as a phrase."""
    *all_but_last, last = commands.NAMES
    return f"{', '.join(all_but_last)} or {last}"


def overview() -> str:
    """Return the help of the whole program."""
    from breakglass.cli.settings_help import settings_help

    width = max(map(len, commands.NAMES))
    summaries = "\n".join(f"  {name:<{width}} {commands.summary(name)}" for name in commands.NAMES)
    return f"""\
usage: breakglass COMMAND [options]

Breakglass runs coding agents on a machine in trouble. Each session is one append-only file.
The commands work on those files: only serve needs a port, and no command needs a running server.

{summaries}

breakglass COMMAND --help shows a command's options and examples. A session's id may be shortened to any
beginning that no other id has. Without an id, a command uses the session written to last.

examples:
  breakglass agents                             which agents can start here
  breakglass send "why is the disk full?"       begin a turn, in a new session if there is none
  breakglass attach                             watch it; Ctrl-C detaches and stops nothing
  breakglass cancel                             stop it

{exit_statuses(EXITS | RARE_EXITS)}

{settings_help()}"""


def split_command(words: list[str]) -> tuple[str, list[str]]:
    """Return the command's name and its words. `words` may begin with options of `BEFORE`.

    `help COMMAND` is the command with --help. Raises BadInput if only options are there.
    """
    common: list[str] = []
    rest = words
    while rest and rest[0].partition("=")[0] in BEFORE:
        width = 1 if "=" in rest[0] else 2
        common, rest = common + rest[:width], rest[width:]
    if not rest:
        raise BadInput(f"expected a command: {names()}; breakglass --help explains them")
    name, *own = rest
    if name in HELP and own and own[0] in commands.NAMES:
        return own[0], ["--help"]
    return name, [*common, *own]


def parse(name: str, words: list[str]) -> argparse.Namespace:
    """Return the options and the `words` after a command's name.

    Raises BadInput, and SystemExit after printing help.
    """
    if name not in commands.NAMES:
        raise BadInput(
            f"there is no command {name!r}; {suggestion(name, commands.NAMES, f'expected {names()}')}"
        )
    command = commands.command(name)
    parser = build_parser(name, command)
    # Options may be anywhere, as in `send ID --wait PROMPT`, but not after `--`, which intermixed parsing ignores.
    end = words.index("--") if "--" in words else len(words)
    if mistake := _mistake_about_hosts(name, command, {word.partition("=")[0] for word in words[:end]}):
        parser.error(mistake)
    args = parser.parse_intermixed_args(words[:end])
    args.words = [*getattr(args, "words", ()), *words[end + 1 :]]
    if not command.fewest_words <= len(args.words) <= command.most_words:
        got = f", got {' '.join(map(repr, args.words))[:80]}" if args.words else ""
        advice = f"; {command.advice}" if command.advice else ""
        parser.error(f"expected {command.usage or 'no words'}{got}{advice}")
    return args


def _mistake_about_hosts(name: str, command: Command, given: set[str]) -> str:
    """Return what is wrong with the options that concern other hosts, "" if nothing is."""
    if "--on" in given and not options_of_hosts(command):
        return f"{name} cannot be done on another host: leave out --on"
    if "--host" in given and command.on_host:
        return f"{name} reads no copy; to do it on another host: --on instead of --host"
    if command.on_host and "--on" not in given and (alone := sorted(given & {"--key", "--identity"})):
        return f"{alone[0]} has an effect with --on only: it is for a command to another host"
    return ""


def build_parser(name: str, command: Command) -> Parser:
    """Return the parser of a command; its `format_help` is the command's help."""
    parser = Parser(
        prog=f"breakglass {name}",
        usage=" ".join(filter(None, ("breakglass", name, command.usage, "[options]"))),
        description=_description(name, command),
        epilog=_epilog(command),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if command.words:
        parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    for option in (*command.options, *options_of_hosts(command)):
        _add_option(parser, option)
    for setting in (*command.settings, "data"):
        _add_setting(parser, setting)
    parser.add_argument("--config", metavar="FILE", help=_CONFIG_HELP)
    return parser


def options_of_hosts(command: Command) -> tuple[Option, ...]:
    """Return the options of a command that concern other hosts."""
    return (HOST, ON_COPY) if command.reads_hosts else REMOTE if command.on_host else ()


def _description(name: str, command: Command) -> str:
    words = [f"  {word.usage.strip('[]'):<10}  {word.help}" for word in command.words]
    return "\n".join((f"{commands.summary(name)}.", *([""] if words else []), *words))


def _epilog(command: Command) -> str:
    parts = (
        f"examples:\n{command.examples}",
        command.notes,
        f"output:\n  {command.output}" if command.output else "",
        exit_statuses(command.all_exits),
    )
    return "\n\n".join(filter(None, parts))


def exit_statuses(exits: Mapping[int, str]) -> str:
    """Return exit statuses as lines of a help."""
    return "\n".join(("exit status:", *(f"  {status:<4} {meaning}" for status, meaning in exits.items())))


def _add_option(parser: Parser, option: Option) -> None:
    flag, _, metavar = option.usage.partition(" ")
    if not metavar:
        parser.add_argument(flag, action="store_true", help=_escape(option.help))
        return
    default = "" if option.default in (None, 0) else f" (default {option.default})"
    parser.add_argument(
        flag,
        action="append" if option.is_repeatable else "store",
        metavar=metavar,
        type=_reporting(option.parse),
        default=option.default,
        help=_escape(f"{option.help}{default}"),
    )


def _add_setting(parser: Parser, name: str) -> None:
    """Add the option of a setting. Its value is checked with the settings, so it is None if the option is absent."""
    from breakglass.cli.settings_help import default_help
    from breakglass.config import SETTINGS

    row = SETTINGS[name]
    flag, _, metavar = row.option.partition(" ")
    if metavar:
        parser.add_argument(flag, metavar=metavar, help=_escape(f"{row.meaning}{default_help(row)}"))
    else:
        parser.add_argument(flag, action="store_true", default=None, help=_escape(row.meaning))


def _escape(text: str) -> str:
    """Return a help text in which argparse replaces nothing."""
    return text.replace("%", "%%")


def _reporting(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return `parse` with its BadInput turned into argparse's own error, which names the option."""

    def parse_or_report(text: str) -> Any:
        try:
            return parse(text)
        except BadInput as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parse_or_report
