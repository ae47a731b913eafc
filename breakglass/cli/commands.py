"""What each command does. Each takes the settings and what was typed, and returns the exit status."""

import contextlib
import os
import pwd
import sys
from argparse import Namespace
from collections.abc import Callable

from breakglass.cli import listing, screen
from breakglass.config import Config
from breakglass.errors import BadInput, NotFound, TooLarge, TurnRunning
from breakglass.settings import check_model
from breakglass.store import sessions
from breakglass.store.sessions import Session
from breakglass.turns import begin as turns
from breakglass.turns.answer import answer_question
from breakglass.turns.begin import submit_prompt
from breakglass.turns.end import cancel_turn, current_state, wait_for_stop

ID_CHARACTERS = frozenset("0123456789abcdef-")
ID_LIKE = 3
"""Characters from which on a lone word that is the beginning of a session's id is taken for a slip."""


def serve(config: Config, args: Namespace) -> int:
    """Serve until told to stop."""
    if args.workers < 1:
        raise BadInput(f"--workers: expected 1 or more, got {args.workers}")
    from breakglass.cli.access import announce
    from breakglass.web import serve as server

    def tell(at: str, login: str | None) -> None:
        announce(at, login)
        screen.say(f"Sessions are in {config.data.absolute()}, new ones for {config.agent}{_why(config)}")

    return server.run(config, workers=args.workers, announce=tell)


def _why(config: Config) -> str:
    """Return why the agent is not the one that most expect, "" where it is."""
    is_fallback = config.agent == "shell" and "BREAKGLASS_AGENT" not in config.environ
    is_there = config.agent_named("claude").program(config.environ)
    return ", as claude was not found" if is_fallback and not is_there else ""


def new(config: Config, args: Namespace) -> int:
    """Make a session and print its id."""
    print(_create(config, args.agent, args.model, args.title).id)
    return 0


def _create(config: Config, agent: str | None, model: str | None, title: str | None) -> Session:
    chosen = config.agent_named(agent or config.agent)
    if model is not None:
        check_model("--model", model)
    if not chosen.program(config.environ):
        screen.say(f"note: {chosen.command[0]} was not found, so its turns fail: see breakglass agents")
    return sessions.create(config.data, chosen.name, model, _told("--title", title or ""), by())


def by() -> str:
    """Return who types, for `by`."""
    uid = os.getuid()
    try:
        return f"cli:{pwd.getpwuid(uid).pw_name}"
    except KeyError:  # a container may run as anybody
        return f"cli:{uid}"


def _told(what: str, text: str) -> str:
    """Return a text from the command line. Raises BadInput for bytes that are no text: they would be changed unsaid."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadInput(f"{what}: expected text in UTF-8") from None
    return text


# --- send ---------------------------------------------------------------------------------------


def send(config: Config, args: Namespace) -> int:
    """Begin a turn, and see it to its end if asked to."""
    session = _addressed(config, args)
    prompt = _prompt(args.words[-1])
    if args.model is not None:
        check_model("--model", args.model)
    session = session or _create(config, args.agent, None, args.title)
    try:
        taken = submit_prompt(config, session, prompt, by=by(), model=args.model, queue=args.queue)
    except TurnRunning as error:
        name = session.id[:8]
        raise TurnRunning(
            f"{error}; watch it: breakglass attach {name}, stop it: breakglass cancel {name},"
            " or send with --queue"
        ) from error
    if args.wait:
        from breakglass.cli import watching

        return watching.wait(config, session, taken)
    print(session.id, taken.id, flush=True)
    if screen.is_terminal():
        screen.say(f"watch it: breakglass attach {session.id[:8]}")
    return 0


def _addressed(config: Config, args: Namespace) -> Session | None:
    """Return the session that the words are for, None where one is to be made. Raises BadInput for unclear ones."""
    if not args.words:
        raise BadInput("expected [ID] PROMPT; see: breakglass send --help")
    *ids, word = args.words
    begins = args.agent is not None or args.title is not None
    if ids:
        if begins:
            raise BadInput("--agent and --title begin a new session: leave out the id, or them")
        if not (ids[0] and set(ids[0]) <= ID_CHARACTERS):
            raise BadInput(f"{ids[0]!r} is no session's id; put a prompt of several words in quotes")
        return sessions.find(config.data, ids[0])
    if len(word) >= ID_LIKE and any(id_.startswith(word) for id_ in sessions.ids(config.data)):
        raise BadInput(
            f"{word} is a session's id, and there is no prompt; expected breakglass send {word} PROMPT"
            " (where it is the prompt, write an id before it)"
        )
    if not begins:
        with contextlib.suppress(NotFound):
            return sessions.find(config.data)
    return None


def _prompt(word: str) -> str:
    prompt = _read_prompt() if word == "-" else _told("prompt", word)
    if not prompt.strip():
        raise BadInput("prompt: expected a text that is not empty")
    return prompt


def _read_prompt() -> str:
    if sys.stdin.isatty():
        screen.say("type the prompt, and end it with Ctrl-D on a line of its own")
    data = sys.stdin.buffer.read(turns.MAX_PROMPT + 1)
    if len(data) > turns.MAX_PROMPT:
        raise TooLarge(
            f"prompt: at most {turns.MAX_PROMPT >> 10} KiB are taken; put the rest into a file and name it"
        )
    return _told("standard input", data.decode(errors="surrogateescape"))


# --- the others ---------------------------------------------------------------------------------


def attach(config: Config, args: Namespace) -> int:
    """Show a session until Ctrl-C."""
    from breakglass.cli import watching

    session = sessions.find(config.data, *args.words)
    return watching.attach(config, session, args.after, as_json=args.json)


def answer(config: Config, args: Namespace) -> int:
    """Answer the agent's question, or show what it asks."""
    *ids, verdict = [*args.words, ""] if args.words[-1:] not in (["allow"], ["deny"]) else args.words
    if len(ids) > 1:
        raise BadInput(f"expected [ID] [allow|deny], got {' '.join(args.words)}")
    session = sessions.find(config.data, *ids)
    asking = current_state(session).asking
    if args.request is not None:
        asking = tuple(question for question in asking if question.request == args.request)
    if not asking:
        raise NotFound(f"nothing is asked in session {session.id[:8]}")
    if not verdict:
        listing.questions(session, asking)
        return 0
    if len(asking) > 1:
        raise BadInput(
            f"{len(asking)} questions are open: choose one with --request; breakglass answer shows them"
        )
    question = asking[0]
    message = _told("--message", args.message or "")
    allow = verdict == "allow"
    answer_question(
        session, question.request, allow=allow, by=by(), message=message, for_session=args.for_session
    )
    print(f"{'allowed' if allow else 'refused'} {question.name} in session {session.id[:8]}")
    return 0


def cancel(config: Config, args: Namespace) -> int:
    """Stop the running turn and wait for its end."""
    session = sessions.find(config.data, *args.words)
    waiting = len(session.state().queued)
    if not cancel_turn(session, by=by()):
        raise NotFound(f"no turn is running in session {session.id[:8]}")
    wait_for_stop(session)
    withdrawn = f", and withdrew {waiting} that waited" if waiting else ""
    print(f"stopped the turn in session {session.id[:8]}{withdrawn}")
    return 0


def rename(config: Config, args: Namespace) -> int:
    """Give a session another title."""
    if len(args.words) != 2:
        raise BadInput("expected ID TITLE; put a title of several words in quotes")
    sessions.change(sessions.find(config.data, args.words[0]), title=_told("TITLE", args.words[1]), by=by())
    return 0


def archive(config: Config, args: Namespace) -> int:
    """Put a session away, or take it out again."""
    if not args.words:
        raise BadInput("expected ID: which session is put away is said; see: breakglass ls")
    sessions.change(sessions.find(config.data, args.words[0]), archived=not args.undo, by=by())
    return 0


def verify(config: Config, args: Namespace) -> int:
    """Check logs against the contract's rules."""
    from breakglass.cli import verifying

    return verifying.run(config, args)


def token(config: Config, args: Namespace) -> int:
    """Show the token or change it."""
    from breakglass.cli import access

    return access.token(config, args)


def logins(config: Config, args: Namespace) -> int:
    """List the logins, or end one."""
    from breakglass.cli import access

    return access.logins(config, args)


RUN: dict[str, Callable[[Config, Namespace], int]] = {
    "serve": serve,
    "new": new,
    "send": send,
    "attach": attach,
    "answer": answer,
    "cancel": cancel,
    "ls": listing.ls,
    "rename": rename,
    "archive": archive,
    "verify": verify,
    "agents": listing.agents,
    "token": token,
    "logins": logins,
}
