"""Run an action, which needs no model, and follow it to its end."""

import os
import shlex
from argparse import Namespace

from breakglass.actions import fill
from breakglass.cli import on_host, screen
from breakglass.cli.command import SESSION, Command, Option, Word
from breakglass.cli.commands.answer import answer_on_terminal
from breakglass.cli.user import check_text, user_name
from breakglass.config import Config
from breakglass.errors import BadInput
from breakglass.store import sessions
from breakglass.turns import actions
from breakglass.turns.begin import Accepted


def run(config: Config, args: Namespace) -> int:
    """Run the action; with --show, print its arguments and run nothing."""
    name, *pairs = args.words
    params = _params(pairs)
    action, values = actions.check_call(config, name, params)
    steps = actions.steps_of(config, action, values)
    if args.show:
        for step in steps:
            print(shlex.join(step.argv))
        return 0
    session = None if args.session is None else sessions.find(config.data, args.session)
    word = fill(action.confirm_template(config.this_machine), values)
    request = actions.Request(
        action=name,
        params=params,
        by=user_name(),
        confirm=_confirmation(word, args.confirm, shlex.join(steps[-1].argv)),
        reason=None if args.reason is None else check_text("--reason", args.reason),
        key=os.urandom(16).hex(),
        beside=True,
    )
    started = actions.start_action(config, request, session)
    if screen.is_terminal():
        screen.say(f"Turn {started.turn} of session {started.session.id}")
        if action.logs_in and screen.can_ask():
            answer_on_terminal(started.session, started.turn)
    from breakglass.cli.follow import show_turn  # imported only here: asyncio delays --show

    return show_turn(config, started.session, Accepted("turn", started.turn))


def _params(pairs: list[str]) -> dict[str, str]:
    """Return the values of `NAME=VALUE` words. Everything after the first `=` is the value."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = check_text("a parameter", pair).partition("=")
        if not sign:
            raise BadInput(f"{pair!r}: expected PARAM=VALUE")
        if name in found:
            raise BadInput(f"{name}: this parameter is given twice")
        found[name] = value
    return found


def _confirmation(word: str, typed: str | None, command: str) -> str | None:
    """Return the word that was typed. Asks for it on a terminal if it is needed and not given."""
    if not word or typed is not None or not screen.can_ask():
        return typed
    screen.say(f"This runs: {command}")
    return screen.ask(f"Type {word} to run it: ")


def run_on_host(config: Config, args: Namespace) -> int:
    """Run an action on another host. Its settings say which actions it has."""
    if args.show:
        raise BadInput("--show shows what this machine would run: leave out --on")
    copy = on_host.copy_of(config, args.on)
    name, *pairs = args.words
    values = {
        "action": name,
        "params": _params(pairs),
        "confirm": args.confirm,
        "reason": None if args.reason is None else check_text("--reason", args.reason),
    }
    session = None if args.session is None else on_host.find(copy, [args.session]).id
    done = on_host.act(config, args, "do", session, values)
    session_id, turn = on_host.done_in(done, "turn")
    return on_host.show_done(copy, session_id, Accepted("turn", turn))


COMMAND = Command(
    run,
    writes=True,
    on_host=run_on_host,
    words=(
        Word("NAME", "the action; breakglass actions lists them"),
        Word("[PARAM=VALUE …]", "the values of its parameters"),
    ),
    any_number=True,
    options=(
        Option(
            "--session ID", f"{SESSION.help} (default a new one); if a turn runs there, a session beside it"
        ),
        Option("--confirm WORD", "the word that confirms it; on a terminal it is asked for"),
        Option("--reason TEXT", "why, for the log"),
        Option("--show", "print the arguments and run nothing"),
    ),
    output="the turn; with --show the arguments, quoted for a shell, one program a line",
    examples="""\
  breakglass do failed-units                        in a new session
  breakglass do restart unit=nginx --show           prints: systemctl restart -- nginx
  breakglass do restart unit=nginx --session 3f2a   in session 3f2a…, or beside its running turn
  breakglass --on db1 do failed-units               on the host db1: docs/fleet.md
  breakglass do power-cycle vm=105 --confirm pve1   an action that disrupts needs the word""",
    notes="The action runs on by itself. Ctrl-C stops the waiting and not the action: breakglass cancel does that.",
    exits={
        1: "it failed; or the action ended with error, timeout or lost",
        3: "a turn is running already",
        130: "the action was cancelled, or you pressed Ctrl-C",
    },
)
