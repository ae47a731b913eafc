"""Answer an agent that asks for permission, or show its questions."""

import json
import re
import sys
import time
from argparse import Namespace
from collections.abc import Iterable

from breakglass.choices import Choice, read_choices
from breakglass.cli import on_host, screen
from breakglass.cli.command import LAST_SESSION, Command, Option, Word
from breakglass.cli.user import check_text, user_name
from breakglass.config import Config
from breakglass.errors import BadInput, Conflict, NotFound
from breakglass.state import OpenQuestion
from breakglass.store import sessions
from breakglass.store.sessions import Session
from breakglass.text import one_line, plain
from breakglass.turns.answer import answer_question, question_digest, read_question
from breakglass.turns.end import current_state
from breakglass.turns.secret_answers import has_secret

VERDICTS = ("allow", "deny")
_PAUSE_SECONDS = 0.1
_NUMBERS = re.compile(r"[0-9]{1,4}(,[0-9]{1,4})*")


def run(config: Config, args: Namespace) -> int:
    """Answer the agent's question, or show the open questions."""
    ids, verdict = _read_words(args)
    session = sessions.find(config.data, *ids)
    if verdict:
        session.refuse_unwritable_log()
    asking = _open_questions(session, args)
    if not verdict:
        _show(session, asking)
        return 0
    question = _only_question(asking)
    choices = _read_choices(session, question)
    is_secret = verdict == "allow" and has_secret(choices)
    if is_secret and args.choose:
        raise BadInput(
            "--choose: the answer is a secret, and ps shows options; use allow, and type it or pipe it in"
        )
    answer_question(
        session,
        question.request,
        allow=verdict == "allow",
        by=user_name(),
        message=check_text("--message", args.message or ""),
        for_session=args.for_session,
        answers=_read_secret(choices) if is_secret else _chosen(choices, args.choose or []),
    )
    _print_done(session, question, args, verdict)
    return 0


def _read_words(args: Namespace) -> tuple[list[str], str]:
    """Return the session's id, if it is given, and the verdict, "" for none."""
    *ids, verdict = args.words if args.words[-1:] and args.words[-1] in VERDICTS else [*args.words, ""]
    if len(ids) > 1 or (ids and not set(ids[0]) <= sessions.ID_CHARACTERS):
        raise BadInput(f"expected [ID] [allow|deny], got {' '.join(args.words)}")
    return ids, verdict or ("allow" if args.choose else "")


def _open_questions(session: Session, args: Namespace) -> tuple[OpenQuestion, ...]:
    """Return the open questions, or with --request only that one. Raises NotFound if there is none."""
    asking = current_state(session).asking
    if args.request is not None:
        asking = tuple(question for question in asking if question.request == args.request)
    if not asking:
        raise NotFound(f"no question is open in session {session.id[:8]}")
    return asking


def _only_question(asking: tuple[OpenQuestion, ...]) -> OpenQuestion:
    if len(asking) > 1:
        raise BadInput(
            f"{len(asking)} questions are open: choose one with --request; breakglass answer shows them"
        )
    return asking[0]


def _print_done(
    session: Session, question: OpenQuestion, args: Namespace, verdict: str, where: str = ""
) -> None:
    done = "answered" if args.choose else "allowed" if verdict == "allow" else "refused"
    print(f"{done} {one_line(question.name)} in session {session.id[:8]}{where}")


def run_on_host(config: Config, args: Namespace) -> int:
    """Answer a question on another host as its copy shows it, or show the open questions."""
    ids, verdict = _read_words(args)
    session = on_host.find(on_host.copy_of(config, args.on), ids)
    asking = _open_questions(session, args)
    if not verdict:
        _show(session, asking)
        return 0
    question = _only_question(asking)
    if verdict == "allow" and has_secret(_read_choices(session, question)):
        raise BadInput(f"the answer is a secret: give it on {args.on} itself")
    values = {
        "request": question.request,
        "question": question_digest(read_question(session, question.id)),
        "allow": verdict == "allow",
        "message": check_text("--message", args.message or ""),
        "for_session": args.for_session,
        "answers": _chosen(_read_choices(session, question), args.choose or []),
    }
    on_host.act(config, args, "answer", session.id, values)
    _print_done(session, question, args, verdict, f" on {args.on}")
    return 0


def _show(session: Session, asking: Iterable[OpenQuestion]) -> None:
    """Print each question with its tool and the tool's whole input, because the user decides by it."""
    for question in asking:
        event = read_question(session, question.id)
        print(f"{one_line(question.request)}  {one_line(question.name)}  until {one_line(question.expires)}")
        choices = read_choices(event.get("choices"))
        if not choices:
            print(plain(json.dumps(event.get("input"), ensure_ascii=False, indent=2)))
        for choice in choices:
            print(_choice_as_text(choice))


def _choice_as_text(choice: Choice) -> str:
    """Return what is to decide, with the numbers by which `--choose` names the offered answers."""
    how = "one or more" if choice.multiple else "one"
    asked = f"{f'{choice.header}: ' if choice.header else ''}{choice.question}"
    lines = [f"  {plain(asked)} ({how}{', optional' if choice.optional else ''})"]
    for number, option in enumerate(choice.options, 1):
        about = f": {one_line(option.description)}" if option.description else ""
        lines.append(f"  {number:>4}  {one_line(option.label)}{about}")
    return "\n".join([*lines, *(["        or a text of your own"] if choice.other else [])])


def _read_choices(session: Session, question: OpenQuestion) -> tuple[Choice, ...]:
    return read_choices(read_question(session, question.id).get("choices"))


def _chosen(choices: tuple[Choice, ...], given: list[str]) -> dict[str, list[str]]:
    """Return the answers that the values of `--choose` give, one value for each choice in its order.

    A value is the numbers of offered answers, with commas between them, or a text.
    """
    if not given:
        return {}
    if len(given) > len(choices):
        raise BadInput(f"--choose: the question has {len(choices)} choices, got {len(given)} answers")
    return {
        choice.id: _named(choice, check_text("--choose", value))
        for choice, value in zip(choices, given, strict=False)
    }


def answer_on_terminal(session: Session, turn: int) -> None:
    """Ask on the terminal what a turn asks, until it has ended. An empty line refuses."""
    while (state := current_state(session)).turn == turn:
        for question in state.asking:
            choices = _read_choices(session, question)
            if not choices:
                continue  # such as one whose choices are malformed: it must not be allowed without a user
            try:
                answers = _read_secret(choices) if has_secret(choices) else _read_choice(choices)
                given = all(text for texts in answers.values() for text in texts)
                kept = answers if given else {}
                answer_question(session, question.request, allow=given, by=user_name(), answers=kept)
            except BadInput as error:  # then it is asked again
                screen.say(str(error))
            except Conflict:  # another user was faster, or the question has expired
                pass
        time.sleep(_PAUSE_SECONDS)


def _read_choice(choices: tuple[Choice, ...]) -> dict[str, list[str]]:
    """Return the answers that the user types: the numbers of offered ones, or text. Raises BadInput."""
    answers = {}
    for choice in choices:
        screen.say(
            "\n".join([_choice_as_text(choice), *([f"  {plain(choice.link)}"] if choice.link else [])])
        )
        answers[choice.id] = _named(choice, check_text("the answer", screen.ask("> ").strip()))
    return answers


def _read_secret(choices: tuple[Choice, ...]) -> dict[str, list[str]]:
    """Return the secret answers that the user types without echo, or that standard input has, one a line."""
    from getpass import getpass  # imported only here: it is rarely needed

    def read(prompt: str) -> str:
        try:
            return getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline()
        except EOFError:  # Ctrl-D
            return ""

    asked = {choice.id: f"{plain(f'{choice.question} {choice.link}')}\n> " for choice in choices}
    return {name: [check_text("the secret", read(text).strip())] for name, text in asked.items()}


def _named(choice: Choice, value: str) -> list[str]:
    if not choice.options or not _NUMBERS.fullmatch(value):
        return [value]
    numbers = [int(number) for number in value.split(",")]
    if wrong := [number for number in numbers if not 1 <= number <= len(choice.options)]:
        raise BadInput(f"--choose: there is no answer {wrong[0]}; the answers are 1 to {len(choice.options)}")
    return [choice.options[number - 1].label for number in numbers]


COMMAND = Command(
    run,
    writes=True,
    on_host=run_on_host,
    words=(LAST_SESSION, Word("[allow|deny]", "the answer; without it, the open questions are shown")),
    options=(
        Option("--message M", "a text for the agent: why not"),
        Option(
            "--choose A",
            "an answer to the next thing to decide: its number, several as 1,3, or a text",
            is_repeatable=True,
        ),
        Option("--for-session", "allow the tool for the whole session"),
        Option("--request R", "the question to answer, if several are open"),
    ),
    output="what was answered, or the open questions with all that the tools would be given or that is to decide",
    examples="""\
  breakglass answer                              the open questions of the session written to last
  breakglass answer allow                        allow the only open question
  breakglass answer 3f2a allow --for-session     and every later use of that tool
  breakglass answer deny --message "use the replica"
  breakglass answer --choose 2 --choose 1,3      if the agent asks to choose: an answer to each, by number
  breakglass answer --choose "neither of them"   or a text of your own
  breakglass answer allow                        a question for a code: type the code, or pipe it in
  breakglass --on db1 answer 3f2a allow          on the host db1: docs/fleet.md""",
    exits={1: "no question is open, or another answer came first"},
)
