"""The man page breakglass(1), made from the table of commands. Runs no command.

`make docs` writes it to docs/breakglass.1, and the wheel installs it.
"""

from collections.abc import Iterator

from breakglass import __version__
from breakglass.cli import commands
from breakglass.cli.command import EXITS, RARE_EXITS, Command
from breakglass.cli.completion import flags_of
from breakglass.cli.settings_help import settings_help


def man_page() -> str:
    """Return the man page breakglass(1), as roff with the macros of man(7)."""
    return "\n".join(_man_lines()) + "\n"


def _man_lines() -> Iterator[str]:
    yield f'.TH BREAKGLASS 1 "" "breakglass {__version__}" "User Commands"'
    yield ".SH NAME"
    yield r"breakglass \- an emergency console that runs coding agents on a machine in trouble"
    yield ".SH SYNOPSIS"
    yield r"\fBbreakglass\fR [\fB\-\-data\fR \fIDIR\fR] [\fB\-\-config\fR \fIFILE\fR] \fICOMMAND\fR [\fIoptions\fR]"
    yield ".SH DESCRIPTION"
    yield _roff(
        "Each session is one append-only file. The commands work on those files: only serve needs a port, and no "
        "command needs a running server. A session's id may be shortened to any beginning that no other id has. "
        "Without an id, a command uses the session written to last."
    )
    yield ".SH COMMANDS"
    for name in commands.NAMES:
        yield from _man_command(name, commands.command(name))
    yield ".SH EXIT STATUS"
    for status, meaning in (EXITS | RARE_EXITS).items():
        yield from (".TP", rf"\fB{status}\fR", _roff(meaning))
    yield ".SH SETTINGS"
    yield from _verbatim(settings_help())


def _man_command(name: str, command: Command) -> Iterator[str]:
    yield f".SS {_roff(' '.join(filter(None, ('breakglass', name, command.usage, '[options]'))))}"
    yield _roff(f"{commands.summary(name)}.")
    for word in command.words:
        yield from (".TP", rf"\fI{_roff(word.usage.strip('[]'))}\fR", _roff(word.help))
    for flag in flags_of(name, command):
        value = rf" \fI{_roff(flag.metavar)}\fR" if flag.metavar else ""
        yield from (".TP", rf"\fB{_roff(flag.name)}\fR{value}", _roff(flag.help))
    yield from (".PP", "Examples:")
    yield from _verbatim(command.examples)


def _verbatim(text: str) -> Iterator[str]:
    yield from (".PP", ".nf", *(_roff(line) for line in text.split("\n")), ".fi")


def _roff(text: str) -> str:
    """Return a text in which roff replaces nothing (groff(7), "Escapes"; a line may not begin with . or ')."""
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{text}" if text[:1] in (".", "'") else text
