"""Parsers of the values of `[actions.NAME]` and its parameters, which come only from a file. Pure."""

import re
from typing import Any, Literal

from breakglass.settings import expected, is_texts, parse_text


def parse_choices(name: str, value: object) -> tuple[str, ...]:
    """Return the values to choose from: different ones, and none is empty."""
    if not isinstance(value, list) or not is_texts(value) or not all(value) or len({*value}) < len(value):
        raise expected(name, value, "a list of different texts")
    return tuple(value)


def parse_whole_number(name: str, value: object) -> int:
    """Return a whole number of at most 63 bits."""
    if type(value) is not int or abs(value) >= 1 << 63:
        raise expected(name, value, "a whole number")
    return value


def parse_pattern(name: str, value: object) -> str:
    """Return a regular expression."""
    try:
        re.compile(text := parse_text(name, value))
    except re.error as error:
        raise expected(name, value, f"a regular expression ({error})") from None
    return text


def parse_kind(name: str, value: object) -> Literal["choice", "int", "text", "target"]:
    """Return the kind of a parameter."""
    found: Literal["choice", "int", "text", "target"] = _one_of(
        name, value, "choice", "int", "text", "target"
    )
    return found


def parse_effect(name: str, value: object) -> Literal["reads", "changes", "disrupts"]:
    """Return what an action does to its target."""
    found: Literal["reads", "changes", "disrupts"] = _one_of(name, value, "reads", "changes", "disrupts")
    return found


def _one_of(name: str, value: object, *known: str) -> Any:
    if value not in known:
        raise expected(name, value, " or ".join(f'"{each}"' for each in known))
    return value
