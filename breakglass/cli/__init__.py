"""The command line: runs the typed command, and turns a failure into one line and an exit status.

docs/design.md has the map of the modules. Commands work on the files alone. Only `serve` needs the web, and imports it
when it runs. A command imports only what it needs, because the user waits for it.
"""

import os
import signal
import sys
from typing import TYPE_CHECKING

from breakglass.cli import arguments, commands, screen
from breakglass.errors import (
    BadInput,
    BreakglassError,
    EngineRefused,
    Fenced,
    HostAway,
    HostRefused,
    OutcomeUnknown,
    StreamFull,
    TurnRunning,
)
from breakglass.text import one_line

if TYPE_CHECKING:  # at run time, importing the settings would delay the help
    from breakglass.config import Config

EXITS: tuple[tuple[type[BreakglassError], int], ...] = (
    (TurnRunning, 3),
    (Fenced, 4),
    (StreamFull, 5),
    (EngineRefused, 6),
    (HostAway, 7),
    (HostRefused, 8),
    (OutcomeUnknown, 9),
    (BadInput, 2),
    (BreakglassError, 1),
)
"""The exit status of each error: the first class that matches."""
RELAY_PACKAGES = ("nats", "nkeys", "nacl")
"""The packages of the extra `relay`, which only the relay and the hub need."""
INTERRUPTED = 130
OUTPUT_CLOSED = 141
"""The reader of our output closed the pipe. A shell reports this status for a program that SIGPIPE ended."""


def main(words: list[str] | None = None) -> int:
    """Run one command and return its exit status. Never raises: a failure is one line on standard error."""
    # A starter may have ignored or blocked them. Other ignored signals stay so, as nohup and `&` in a script expect.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    screen.prepare()
    try:
        status = _run(sys.argv[1:] if words is None else words)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        screen.drop_output()
        return OUTPUT_CLOSED
    except BreakglassError as error:
        return _fail(str(error), next(status for kind, status in EXITS if isinstance(error, kind)))
    except ModuleNotFoundError as error:
        if error.name not in RELAY_PACKAGES:
            return _fail(f"a bug in breakglass, please report this line: {_location(error)}", 1)
        return _fail(f"the package {error.name} is not installed; do: pip install 'breakglass[relay]'", 2)
    except OSError as error:
        screen.drop_output()
        return _fail(": ".join(str(part) for part in (error.filename, error.strerror or error) if part), 1)
    except Exception as error:  # noqa: BLE001 — a traceback does not help a user
        return _fail(f"a bug in breakglass, please report this line: {_location(error)}", 1)


def _run(words: list[str]) -> int:
    name, rest = arguments.split_command(words)
    if name in arguments.HELP or name in arguments.VERSION:
        print(arguments.version() if name in arguments.VERSION else arguments.overview())
        return 0
    try:
        args = arguments.parse(name, rest)
    except SystemExit:  # argparse has printed the help
        return 0
    from breakglass.config import DEFAULT_DATA
    from breakglass.load_config import load_config

    command = commands.command(name)
    overrides = {key: getattr(args, key) for key in (*command.settings, "data")}
    config = load_config(os.environ, args.config, overrides, warn=_warn)
    if command.reads_hosts and (host := args.on or args.host) is not None:
        config = _on_copy(config, host)
    elif command.on_host and args.on is not None:
        return command.on_host(config, args)
    _warn_of_system(config, name)
    is_new_root = config.data == DEFAULT_DATA and not os.path.lexists(config.data)
    try:
        return command.run(config, args)
    finally:
        # In the wrong directory, a command would otherwise work on an empty data root without a word about it.
        if is_new_root and name != "serve" and os.path.lexists(config.data):
            _warn(f"note: created the data root {config.data.absolute()}; --data DIR names another one")


def _warn_of_system(config: "Config", name: str) -> None:
    """Warn of a file system that cannot be trusted and, if the command may write to a log, of a /proc that fails us."""
    from breakglass.store import root

    # A shell runs `completion` at each start, and that command uses no data root.
    if name != "completion" and (warning := root.untrusted_message(config.data)):
        _warn(warning)
    if commands.command(name).writes:
        from breakglass.turns.processes import proc_message

        if warning := proc_message():
            _warn(warning)


def _on_copy(config: "Config", host: str) -> "Config":
    """Return the settings with the copy of a host's sessions as data root. Raises BadInput and NotFound."""
    from dataclasses import replace

    from breakglass.store import hosts

    return replace(config, data=hosts.root_of(config.data, host))


def _fail(text: str, status: int) -> int:
    _warn(text)
    return status


def _warn(text: str) -> None:
    try:
        screen.say(f"breakglass: {one_line(text)}")
    except OSError:  # standard error is closed or full
        pass


def _location(error: Exception) -> str:
    """Return an exception with the file and line that raised it, and our version."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f" at {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}: {error}{place} ({arguments.version()})"
