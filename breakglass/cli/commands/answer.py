"""Answer an agent that asks for permission, or show its questions."""

import json
import os
from argparse import Namespace
from collections.abc import Iterable

from breakglass.cli.command import LAST_SESSION, Command, Option, Word
from breakglass.cli.user import check_text, user_name
from breakglass.config import Config
from breakglass.errors import BadInput, NotFound
from breakglass.state import OpenQuestion
from breakglass.store import log, sessions
from breakglass.store.sessions import Session
from breakglass.text import one_line, plain
from breakglass.turns.answer import answer_question
from breakglass.turns.end import current_state

VERDICTS = ("allow", "deny")


def run(config: Config, args: Namespace) -> int:
    """Answer the agent's question, or show the open questions."""
    *ids, verdict = args.words if args.words[-1:] and args.words[-1] in VERDICTS else [*args.words, ""]
    if len(ids) > 1 or (ids and not set(ids[0]) <= sessions.ID_CHARACTERS):
        raise BadInput(f"expected [ID] [allow|deny], got {' '.join(args.words)}")
    session = sessions.find(config.data, *ids)
    if verdict:
        session.refuse_unwritable_log()
    asking = current_state(session).asking
    if args.request is not None:
        asking = tuple(question for question in asking if question.request == args.request)
    if not asking:
        raise NotFound(f"no question is open in session {session.id[:8]}")
    if not verdict:
        _show(session, asking)
        return 0
    if len(asking) > 1:
        raise BadInput(
            f"{len(asking)} questions are open: choose one with --request; breakglass answer shows them"
        )
    answer_question(
        session,
        asking[0].request,
        allow=verdict == "allow",
        by=user_name(),
        message=check_text("--message", args.message or ""),
        for_session=args.for_session,
    )
    done = "allowed" if verdict == "allow" else "refused"
    print(f"{done} {one_line(asking[0].name)} in session {session.id[:8]}")
    return 0


def _show(session: Session, asking: Iterable[OpenQuestion]) -> None:
    """Print each question with its tool and the tool's whole input, because the user decides by it."""
    fd = log.open_reader(session.directory)
    try:
        for question in asking:
            event = log.read_one(fd, question.id)
            print(
                f"{one_line(question.request)}  {one_line(question.name)}  until {one_line(question.expires)}"
            )
            print(plain(json.dumps(event.get("input"), ensure_ascii=False, indent=2)))
    finally:
        os.close(fd)


COMMAND = Command(
    run,
    writes=True,
    words=(LAST_SESSION, Word("[allow|deny]", "the answer; without it, the open questions are shown")),
    options=(
        Option("--message M", "a text for the agent: why not, or which choice"),
        Option("--for-session", "allow the tool for the whole session"),
        Option("--request R", "the question to answer, if several are open"),
    ),
    output="what was answered, or the open questions with all that the tools would be given",
    examples="""\
  breakglass answer                              the open questions of the session written to last
  breakglass answer allow                        allow the only open question
  breakglass answer 3f2a allow --for-session     and every later use of that tool
  breakglass answer deny --message "use the replica"
  breakglass answer allow --message "Blue"       if the agent offers choices: choose this one""",
    exits={1: "no question is open, or another answer came first"},
)
