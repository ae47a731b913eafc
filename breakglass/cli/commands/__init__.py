"""The commands: one file each. The file's name is the command's name, its first line is the summary in the help.

How to add a command: write `NAME.py` with a summary as its docstring and a `COMMAND`, and add the name to `NAMES`.
Only the module of the typed command is imported: importing all of them would delay every command.
"""

import os
from importlib import import_module

from breakglass.cli.command import Command

NAMES = tuple(
    "serve new send continue adopt attach log answer cancel ls grep stats export rename archive rm prune verify"
    " agents actions do target vitals doctor notify token login logins relay mirror enroll hosts install"
    " uninstall completion".split()
)
"""The commands in the order of the help."""


def command(name: str) -> Command:
    """Return the command of that name, which must be one of `NAMES`."""
    found: Command = import_module(f"{__name__}.{name}").COMMAND
    return found


def summary(name: str) -> str:
    """Return what a command does, without importing it."""
    with open(os.path.join(os.path.dirname(__file__), f"{name}.py"), encoding="utf-8") as file:
        return file.readline().strip().strip('"').rstrip(".")
