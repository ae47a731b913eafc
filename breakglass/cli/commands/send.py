"""Send a prompt to a session's agent, which begins a turn."""

import contextlib
import os
import sys
from argparse import Namespace
from typing import Literal

from breakglass.cli import on_host, screen
from breakglass.cli.command import SESSION, Command, Option, Word
from breakglass.cli.commands.new import create_on_host, create_session
from breakglass.cli.user import check_text, user_name
from breakglass.config import Config
from breakglass.errors import BadInput, NotFound, TooLarge, TurnRunning
from breakglass.settings import check_model
from breakglass.store import sessions
from breakglass.store.sessions import Session
from breakglass.text import one_line
from breakglass.turn_limits import MAX_PROMPT
from breakglass.turns.begin import Accepted, submit_prompt
from breakglass.turns.budget import refuse_over_budget
from breakglass.turns.files import add_file
from breakglass.turns.go_on import prompt_to_go_on
from breakglass.uploads import MAX_BYTES, check_size

MIN_ID_LENGTH = 3
"""A single word that begins a session's id counts as an id without a prompt, if it has this many characters.
Shorter words, such as `fc` and `dd`, may be shell commands."""


def run(config: Config, args: Namespace) -> int:
    """Begin a turn or queue the prompt; with --wait, show the turn to its end."""
    session = _addressed_session(config, args)
    prompt = _read_prompt(args.words[-1])
    if args.model is not None:
        check_model("--model", args.model)
    agent = args.agent if session else None
    files_read = [_read_file(path) for path in args.file or ()]
    if session is None:
        if not args.over_budget:
            refuse_over_budget(config, args.agent or config.agent)
        session = create_session(config, args.agent, None, args.title)
    files = [add_file(session, name, data, by=user_name())["path"] for name, data in files_read]
    accepted = _submit(config, session, prompt, args, agent, files)
    return report(config, session, accepted, wait=args.wait)


def report(config: Config, session: Session, accepted: Accepted, *, wait: bool) -> int:
    """Show the turn to its end, or print what was done with the prompt. Return the exit status."""
    if wait:
        from breakglass.cli.follow import show_turn  # imported only here: asyncio delays a plain send

        status = show_turn(config, session, accepted)
        state = session.state()
        if status == 1 and screen.is_terminal() and prompt_to_go_on(config, state):
            screen.say(f"To let the agent continue: breakglass continue {session.id[:8]}")
        elif status == 1 and screen.is_terminal() and not config.is_command_line(state.agent):
            screen.say(
                f"To go on with another agent: breakglass send {session.id[:8]} --agent shell PROMPT;"
                " without one: breakglass actions"
            )
        return status
    print(session.id, accepted.id, flush=True)
    if accepted.failure:
        screen.say(accepted.failure)
        return 1
    if screen.is_terminal():
        screen.say(f"{_what_happened(accepted)}. To watch the session: breakglass attach {session.id[:8]}")
    return 0


def run_on_host(config: Config, args: Namespace) -> int:
    """Send the prompt to a session of another host; with --wait, show the turn in its copy."""
    if args.file:
        raise BadInput("--file: a file is not sent to another host; put it there with scp, and name its path")
    copy = on_host.copy_of(config, args.on)
    session = _session_on_host(copy, args)
    values = {
        "prompt": _read_prompt(args.words[-1]),
        "model": args.model,
        "agent": args.agent if session else None,
        "queue": args.queue,
        "steer": args.steer,
        "over_budget": args.over_budget,
    }
    session_id = session.id if session else create_on_host(config, args)
    done = on_host.act(config, args, "send", session_id, values)
    session_id, number = on_host.done_in(done, "id")
    what: Literal["turn", "queued"] = "queued" if done.get("what") == "queued" else "turn"
    accepted = Accepted(what, number, one_line(str(done.get("failure") or ""), 1000))
    if args.wait:
        return on_host.show_done(copy, session_id, accepted)
    print(session_id, accepted.id, flush=True)
    if accepted.failure:
        screen.say(f"{args.on}: {accepted.failure}")
        return 1
    if screen.is_terminal():
        watch = f"To watch it: breakglass --on {args.on} attach {session_id[:8]}"
        screen.say(f"{_what_happened(accepted)} on {args.on}. {watch}")
    return 0


def _session_on_host(copy: Config, args: Namespace) -> Session | None:
    try:
        return _addressed_session(copy, args)
    except NotFound:
        return on_host.find(copy, args.words[:-1])


def _what_happened(accepted: Accepted) -> str:
    if accepted.what == "queued":
        return f"A turn is running: the prompt waits as line {accepted.id}, and its turn begins when that turn ends"
    return f"Turn {accepted.id} has begun"


def _addressed_session(config: Config, args: Namespace) -> Session | None:
    """Return the session that the words name, None for a new one. Raises BadInput if they could mean two things."""
    *ids, word = args.words
    is_new = args.agent is not None or args.title is not None
    if ids:
        if args.title is not None:
            raise BadInput("--title begins a new session: leave out the id, or leave out the option")
        if not (ids[0] and set(ids[0]) <= sessions.ID_CHARACTERS):
            raise BadInput(f"{ids[0]!r} is not a session's id; put a prompt of several words in quotes")
        return sessions.find(config.data, ids[0])
    if len(word) >= MIN_ID_LENGTH and any(id_.startswith(word) for id_ in sessions.ids(config.data)):
        raise BadInput(
            f"{word} is a session's id, and there is no prompt; expected breakglass send {word} PROMPT"
            " (if it is the prompt, write an id before it)"
        )
    if not is_new:
        with contextlib.suppress(NotFound):
            return sessions.find(config.data)
    return None


def _read_prompt(word: str) -> str:
    prompt = _read_standard_input() if word == "-" else check_text("prompt", word)
    if not prompt.strip():
        raise BadInput("prompt: expected a text that is not empty")
    return prompt


def _read_standard_input() -> str:
    if sys.stdin.isatty():
        screen.say("Type the prompt, then press Ctrl-D on an empty line")
    data = sys.stdin.buffer.read(MAX_PROMPT + 1)
    if len(data) > MAX_PROMPT:
        raise TooLarge(f"prompt: at most {MAX_PROMPT >> 10} KiB; put the rest into a file and name the file")
    return check_text("standard input", data.decode(errors="surrogateescape"))


def _read_file(path: str) -> tuple[str, bytes]:
    """Return the name and the bytes of a file. Raises BadInput if it cannot be sent."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadInput(f"--file {path}: {error.strerror}") from error
    check_size(len(data))
    return os.path.basename(path), data


def _submit(
    config: Config, session: Session, prompt: str, args: Namespace, agent: str | None, files: list[str]
) -> Accepted:
    by = user_name()
    try:
        return submit_prompt(
            config,
            session,
            prompt,
            by=by,
            model=args.model,
            agent=agent,
            queue=args.queue,
            steer=args.steer,
            files=files,
            over_budget=args.over_budget,
        )
    except TurnRunning as error:
        name = session.id[:8]
        raise TurnRunning(
            f"{error}; to watch it: breakglass attach {name}, to stop it: breakglass cancel {name},"
            " to send after it: --queue"
        ) from error


COMMAND = Command(
    run,
    writes=True,
    on_host=run_on_host,
    words=(
        Word("[ID]", f"{SESSION.help} (default the session written to last; if there is none, a new one)"),
        Word("PROMPT", "what the agent is to do; - reads it from standard input"),
    ),
    options=(
        Option("--wait", "show the turn and return when it has ended"),
        Option("--queue", "while a turn runs, queue the prompt"),
        Option("--steer", "as --queue, but the running agent gets it as soon as it can read it"),
        Option("--over-budget", "send it although the day's budget is spent (max_cost_usd_per_day)"),
        Option("--agent A", "with an id, go on with this agent; without one, begin a new session with it"),
        Option("--model M", "the model of this turn"),
        Option("--title T", "begin a new session with this title"),
        Option(
            "--file PATH",
            f"send this file with the prompt, at most {MAX_BYTES >> 20} MiB; may be given several times",
            is_repeatable=True,
        ),
    ),
    advice="put the prompt in quotes",
    output="the session's id and the number of the turn or of the queued prompt; with --wait the turn",
    examples="""\
  breakglass send "why is nginx not answering?"      in the session written to last
  breakglass send 3f2a "try again" --wait            in session 3f2a…, shown to its end
  breakglass send --agent shell --wait 'df -h'       in a new session with the shell
  breakglass send 3f2a --agent shell 'df -h'         session 3f2a… goes on with the shell
  breakglass --on db1 send 3f2a "try again"          on the host db1: docs/fleet.md
  breakglass send --queue "and then restart it"      after the turn that is running
  breakglass send --steer "not that disk"            while a tool runs, the agent reads it at the end of the tool
  journalctl -n 200 | breakglass send 3f2a -         the prompt comes from standard input
  breakglass send "what does the panic say?" --file panel.jpg
  breakglass send -- '-x'                            a prompt that begins with -""",
    notes="The turn runs on by itself. With --wait, Ctrl-C stops the waiting and not the turn.",
    exits={
        1: "it failed; with --wait also: the turn ended with error, timeout or lost",
        3: "a turn is running already",
        130: "with --wait: the turn was cancelled, or you pressed Ctrl-C",
    },
)
