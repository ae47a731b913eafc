"""A mistake in the code that removes one defence of docs/security.md.

It names a promise by the first words of its row in that page, a module, a text that occurs once in it, what replaces
the text, and the tests that must notice it. Texts are short, so that other changes of a line leave them in it.
"""

from typing import NamedTuple


class Mistake(NamedTuple):
    """One defence removed."""

    promise: str
    where: str
    """A module or a folder below `breakglass/`. In a folder one module has the text."""
    old: str
    new: str
    tests: tuple[str, ...]
    """Each one fails with the mistake."""

    def __str__(self) -> str:
        first_line = self.old.strip().partition("\n")[0]
        return f"{self.where}: {first_line[:50]}"
