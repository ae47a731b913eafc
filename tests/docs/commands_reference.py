"""Writes the table of commands in docs/contract.md, section 4, from the declarations in `breakglass.cli.commands`."""

from breakglass.cli import commands
from breakglass.cli.command import Command
from breakglass.config import SETTINGS


def render() -> str:
    """Return the table, without a heading."""
    rows = [_row(name, commands.command(name)) for name in commands.NAMES]
    return "\n".join(("| command | does | exit status |", "|---|---|---|", *rows)) + "\n"


def _row(name: str, command: Command) -> str:
    options = [SETTINGS[setting].option for setting in command.settings]
    options += [option.usage for option in command.options]
    usage = " ".join(filter(None, ("breakglass", name, command.usage, *(f"[{each}]" for each in options))))
    does = commands.summary(name) + (f". Prints {command.output}" if command.output else "")
    exits = ", ".join(f"{status} {meaning}" for status, meaning in command.exits.items())
    return f"| `{_escape(usage)}` | {_escape(does)} | {_escape(exits)} |"


def _escape(text: str) -> str:
    """Return `text` on one line, without bars that would end a cell (GitHub Flavored Markdown, section 4.10)."""
    return " ".join(text.split()).replace("|", r"\|")
