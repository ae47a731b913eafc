"""Secret answers: what a user types for a question that asks for a secret. The log has only `(secret)` in its place.

The answering process puts it into a file of the session's directory, mode 0600. The runner takes it from there and
deletes the file. The runner imports this module, so it imports nothing slow.
"""

import contextlib
import json
import os
from collections.abc import Iterator

from breakglass.choices import Answers, Choice, read_choices
from breakglass.errors import CannotRecord
from breakglass.masking import Masker
from breakglass.plain_file import open_plain_file

HIDDEN = "(secret)"
"""What the log has in place of a secret answer."""
_PREFIX = "answer-"


def has_secret(choices: tuple[Choice, ...]) -> bool:
    """Return whether one of the answers is a secret."""
    return any(choice.secret for choice in choices)


def put(directory: str, question: int, choices: tuple[Choice, ...], answers: Answers) -> dict[str, list[str]]:
    """Keep the answers to line `question` for the runner. Return them as the log may have them. Raises CannotRecord.

    The caller holds the log's lock, so two users cannot answer at the same time.
    """
    try:
        fd = open_plain_file(_path(directory, question), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump({name: list(given) for name, given in answers.items()}, file)
    except OSError as error:
        _delete(directory, question)
        raise CannotRecord(f"the answer could not be kept for the agent: {error.strerror}") from error
    hidden = {choice.id for choice in choices if choice.secret}
    return {name: [HIDDEN] if name in hidden else list(given) for name, given in answers.items()}


@contextlib.contextmanager
def deleted_on_failure(directory: str, question: int) -> Iterator[None]:
    """Delete the answers to a question if they cannot be recorded: no runner would take them."""
    try:
        yield
    except CannotRecord:
        _delete(directory, question)
        raise


def _delete(directory: str, question: int) -> None:
    with contextlib.suppress(OSError):
        os.unlink(_path(directory, question))


def _path(directory: str, question: int) -> str:
    return os.path.join(directory, f"{_PREFIX}{question}")


class SecretQuestions:
    """The questions of a turn that ask for a secret, and their answers."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}  # the line of each question, by its request

    def note(self, request: str, number: int, choices: object) -> None:
        """Remember the question of line `number`, if it asks for a secret."""
        if has_secret(read_choices(choices)):
            self._numbers[request] = number

    def take(self, request: str, directory: int, masker: Masker) -> dict[str, list[str]] | None:
        """Return the answers to a question, and mask them from now on. None if it did not ask for a secret.

        `directory` is the open directory of the session. The file of the answers is deleted. Without it there are no
        answers: what the log has in their place is none.
        """
        number = self._numbers.pop(request, None)
        if number is None:
            return None
        name = f"{_PREFIX}{number}"
        try:
            with os.fdopen(open_plain_file(name, os.O_RDONLY, directory), "rb") as file:
                found: dict[str, list[str]] = json.loads(file.read())
            os.unlink(name, dir_fd=directory)
        except (OSError, ValueError):
            return {}
        for texts in found.values():  # a code may have two parts, and a program may print one alone
            masker.add(part for text in texts for part in (text, *text.split("#")))
        return found


def delete_all(directory: str) -> None:
    """Delete the answers of a turn that ends, which its runner has not taken."""
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            if name.startswith(_PREFIX):
                os.unlink(os.path.join(directory, name))
