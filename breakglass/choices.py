"""Questions with choices: an agent asks its user to decide something, and offers answers. Pure.

The `permission` event of such a question has `choices`, a list with one object for each thing to decide. The `answer`
event has `answers`, an object from the `id` of each of them to the list of what was chosen.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from breakglass.errors import BadInput

Answers = Mapping[str, Sequence[str]]
"""What was chosen or typed, by the id of the choice."""

NO_ANSWERS: Answers = MappingProxyType({})

MAX_ANSWER = 4096
"""Characters of one chosen or typed answer."""


class Option(NamedTuple):
    """One of the answers that the agent offers."""

    label: str
    description: str = ""


class Choice(NamedTuple):
    """One thing to decide."""

    id: str
    question: str
    header: str = ""
    """A short title; "" if the agent gave none."""
    options: tuple[Option, ...] = ()
    """The offered answers; () if only text of the user's own is an answer."""
    multiple: bool = False
    """Whether several options may be chosen."""
    other: bool = True
    """Whether the user may answer with text of their own."""
    optional: bool = False
    """Whether it may stay without an answer."""
    secret: bool = False
    """Whether the answer is a secret: no log has it, and no page shows it."""
    link: str = ""
    """An address to open first, "" for none. It begins with https://."""

    def as_json(self) -> dict[str, Any]:
        """Return the object that a `permission` event has. Values that are the default are left out."""
        options = [_without_defaults(option, ("label",)) for option in self.options]
        return _without_defaults(self, ("id", "question")) | {"options": options}


def _without_defaults(value: Choice | Option, always: Sequence[str]) -> dict[str, Any]:
    defaults = value._field_defaults
    return {name: item for name, item in value._asdict().items() if name in always or item != defaults[name]}


def read_choices(value: Any) -> tuple[Choice, ...]:
    """Return the choices of a `permission` event. What does not have the form of a choice is left out."""
    found = []
    for item in value if isinstance(value, list) else ():
        if not isinstance(item, dict) or not all(
            isinstance(item.get(key), str) for key in ("id", "question")
        ):
            continue
        offered = item.get("options")
        options = tuple(
            Option(option["label"], str(option.get("description") or ""))
            for option in (offered if isinstance(offered, list) else ())
            if isinstance(option, dict) and isinstance(option.get("label"), str)
        )
        found.append(
            Choice(
                item["id"],
                item["question"],
                str(item.get("header") or ""),
                options,
                multiple=item.get("multiple") is True,
                other=item.get("other") is not False,
                optional=item.get("optional") is True,
                secret=item.get("secret") is True,
                link=link if (link := str(item.get("link") or "")).startswith("https://") else "",
            )
        )
    return tuple(found)


def check_answers(choices: Sequence[Choice], answers: Answers) -> dict[str, list[str]]:
    """Return the answers that are given, by the id of their choice, in the order of the choices.

    Raises BadInput for an answer to something that was not asked, for a missing answer, for several answers where one
    may be chosen, and for text where only the offered answers count.
    """
    unknown = [name for name in answers if name not in {choice.id for choice in choices}]
    if unknown:
        raise BadInput(f"answers: the agent did not ask {unknown[0][:80]!r}")
    checked = {choice.id: _check(choice, answers.get(choice.id, ())) for choice in choices}
    kept = {name: picked for name, picked in checked.items() if picked}
    if choices and not kept:
        raise BadInput("answers: choose an answer, or refuse the question")
    return kept


def _check(choice: Choice, picked: Sequence[str]) -> list[str]:
    asked = choice.question[:80]
    answers = list(dict.fromkeys(text.strip() for text in picked if text.strip()))
    if not answers and not choice.optional:
        raise BadInput(f"answers: {asked!r} has no answer")
    if len(answers) > 1 and not choice.multiple:
        raise BadInput(f"answers: {asked!r} takes one answer, got {len(answers)}")
    labels = {option.label for option in choice.options}
    for answer in answers:
        if len(answer) > MAX_ANSWER:
            raise BadInput(f"answers: an answer may have at most {MAX_ANSWER} characters")
        if answer not in labels and not choice.other:
            raise BadInput(f"answers: {answer[:80]!r} is not one of the answers to {asked!r}")
    return answers


def answers_text(answers: Any) -> str:
    """Return the answers of an `answer` event for reading: `Postgres; red, green`. "" for what is no such object."""
    given = answers.values() if isinstance(answers, dict) else ()
    return "; ".join(", ".join(map(str, chosen)) for chosen in given if isinstance(chosen, list))
