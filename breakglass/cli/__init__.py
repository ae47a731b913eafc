"""The command line: words into one call, and what it raises into one line and an exit status.

    arguments.py    the commands, their options, their help    commands.py   what each does
    watching.py     a log as it grows: attach, send --wait     listing.py    what there is: ls, agents
    access.py       the token and the logins
    verifying.py    logs against the contract's rules
    transcript.py   PURE: events as text                       style.py      PURE: text made inert, cut, coloured
    screen.py       standard output as we were given it

Works on the files alone. Only `serve` needs the web, which is imported when that runs; a command imports
what it needs and no more, for a person waits for it.
"""

import os
import sys

from breakglass.cli import arguments, screen
from breakglass.errors import BadInput, BreakglassError, TurnRunning
from breakglass.text import one_line

EXITS: tuple[tuple[type[BreakglassError], int], ...] = ((TurnRunning, 3), (BadInput, 2), (BreakglassError, 1))
"""What was raised, to the exit status: the first that fits."""
INTERRUPTED = 130
READER_LEFT = 141
"""What a shell says of a program that ended by SIGPIPE: whoever read our output has seen enough."""


def main(words: list[str] | None = None) -> int:
    """Carry out one command and return its exit status. Never raises: a failure is one line on standard error."""
    screen.prepare()
    try:
        status = _run(sys.argv[1:] if words is None else words)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        screen.drop_output()
        return READER_LEFT
    except BreakglassError as error:
        return _fail(str(error), next(status for kind, status in EXITS if isinstance(error, kind)))
    except OSError as error:
        screen.drop_output()
        return _fail(": ".join(str(said) for said in (error.filename, error.strerror or error) if said), 1)
    except Exception as error:  # noqa: BLE001 — a traceback helps nobody who did not write this
        return _fail(f"a mistake in breakglass itself, please report this line: {_where(error)}", 1)


def _run(words: list[str]) -> int:
    if not words:
        raise BadInput(f"expected a command: {arguments.names()}; breakglass --help explains them")
    name, *rest = words
    if name in ("-h", "--help", "--version"):
        print(arguments.version() if name == "--version" else arguments.overview())
        return 0
    try:
        args = arguments.parse(name, rest)
    except SystemExit:  # argparse has printed the help that was asked for
        return 0
    from breakglass.cli import commands
    from breakglass.load_config import load_config

    overrides = {key: getattr(args, key, None) for key in arguments.OVERRIDES}
    settings = load_config(os.environ, args.config, overrides)
    return commands.RUN[name](settings, args)


def _fail(text: str, status: int) -> int:
    try:
        screen.say(f"breakglass: {one_line(text)}")
    except OSError:  # nobody listens
        pass
    return status


def _where(error: Exception) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f" at {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}: {error}{place} ({arguments.version()})"
