"""What the verification of a log finds. Pure."""

from typing import NamedTuple

SHOWN = 60
"""Bytes or characters of a line that a finding quotes."""


class Finding(NamedTuple):
    """One broken rule or note, and the number of its line. Line 0 means the whole log."""

    line: int
    what: str
    is_note: bool = False
    """Whether no rule is broken, and the finding is for information only."""


class Note(str):
    """What is remarkable about an event that breaks no rule. Any other text says which rule it breaks."""

    __slots__ = ()
