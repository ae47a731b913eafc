"""Actions: prepared commands that need no model. How one is declared, and how a call of it is checked. Pure.

How this works. An action is a list of arguments, started without a shell. `{name}` inside one argument stands for the
value of a parameter. `Action.arguments` replaces each placeholder once and never splits an argument, so a value cannot
become a second argument.

Two dangers remain. A program takes an argument that begins with `-` for an option. Some programs hand their arguments
to a shell: ssh joins them, and the shell on the far side reads them again. `rules` refuses both in the settings, and
`Action.arguments` refuses a value that would become an option.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from breakglass.actions.parsers import (
    parse_choices,
    parse_effect,
    parse_kind,
    parse_pattern,
    parse_whole_number,
)
from breakglass.errors import BadInput
from breakglass.settings import described, parse_command, parse_names, parse_seconds, parse_text, setting
from breakglass.suggestion import suggestion

Value = str | int
"""The checked value of a parameter."""

MAX_VALUE = 4096
"""Characters of a value."""
MAX_REASON = 1000
"""Characters of a reason."""
MAX_WHOLE_NUMBER = (1 << 63) - 1
END_OF_OPTIONS = "--"

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]{0,31})\}")
PARAM_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of an action: a table `[actions.NAME.params.PARAM]`."""

    name: str
    kind: Literal["choice", "int", "text", "target"] = field(
        metadata=described(
            parse_kind, "choice (one of choices), int, text (which pattern must match) or target (a name)"
        )
    )
    choices: tuple[str, ...] = setting((), parse_choices, "the values to choose from; only with choice")
    min: int | None = setting(None, parse_whole_number, "the smallest number; only with int")
    max: int | None = setting(None, parse_whole_number, "the largest number; only with int")
    pattern: str | None = setting(
        None,
        parse_pattern,
        "the regular expression (Python) that the whole text must match; required with text",
    )
    about: str = setting("", parse_text, "what it is, for the user")

    def read(self, value: object, targets: tuple[str, ...]) -> Value:
        """Return the checked value. Raises BadInput, which names the parameter and what was expected."""
        if self.kind == "int":
            return self._read_number(value)
        if not isinstance(value, str):
            raise self._bad("a text", value)
        if self.kind == "text":
            return self._read_text(value)
        choices = self._choices(targets)
        if value not in choices:
            instead = suggestion(value, choices, "")
            raise BadInput(f"{self._bad(self.expected(targets), value)}{'; ' if instead else ''}{instead}")
        return value

    def expected(self, targets: tuple[str, ...]) -> str:
        """Return what a value must be, in words."""
        if self.kind == "int":
            words = {"from": self.min, "to": self.max}
            limits = (f" {word} {number}" for word, number in words.items() if number is not None)
            return f"a whole number{''.join(limits)}"
        if self.kind == "text":
            return f"a text that {self.pattern} matches as a whole"
        choices = self._choices(targets)
        return f"one of {', '.join(choices)}" if choices else "a target; none is set"

    def _choices(self, targets: tuple[str, ...]) -> tuple[str, ...]:
        return self.choices if self.kind == "choice" else targets

    def _read_number(self, value: object) -> int:
        if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
            value = int(value)
        low = -MAX_WHOLE_NUMBER if self.min is None else self.min
        high = MAX_WHOLE_NUMBER if self.max is None else self.max
        if type(value) is not int or not low <= value <= high:
            raise self._bad(self.expected(()), value)
        return value

    def _read_text(self, value: str) -> str:
        if len(value) > MAX_VALUE:
            raise BadInput(f"{self.name}: at most {MAX_VALUE} characters, got {len(value)}")
        if "\0" in value:
            raise self._bad("a text without NUL, which no argument can contain", value)
        try:
            value.encode()
        except UnicodeEncodeError:
            raise self._bad("text in UTF-8", value) from None
        if not re.fullmatch(self.pattern or "", value):
            raise self._bad(self.expected(()), value)
        return value

    def _bad(self, what: str, value: object) -> BadInput:
        return BadInput(f"{self.name}: expected {what}, got {ascii(value)[:80]}")

    def described(self, targets: tuple[str, ...]) -> dict[str, Any]:
        """Return the parameter as the API shows it: its kind and what its kind needs."""
        own: dict[str, Any] = {"kind": self.kind}
        if self.kind in ("choice", "target"):
            own["choices"] = list(self._choices(targets))
        own |= {key: found for key in ("min", "max", "pattern") if (found := getattr(self, key)) is not None}
        return own | ({"about": self.about} if self.about else {})


@dataclass(frozen=True, slots=True)
class Action:
    """A command without a model: a table `[actions.NAME]`."""

    name: str
    command: tuple[str, ...] = field(
        metadata=described(
            parse_command,
            "the program and its arguments, started without a shell; {name} stands for a parameter's value",
        )
    )
    effect: Literal["reads", "changes", "disrupts"] = field(
        metadata=described(parse_effect, "reads, changes (repairs or restarts a part) or disrupts (a target)")
    )
    label: str = setting("", parse_text, "the text on the button", default_words="the name")
    about: str = setting("", parse_text, "what it does, for the user")
    group: str = setting("", parse_text, "the heading above it on the page")
    confirm: str = setting(
        "",
        parse_text,
        "the word to type before it runs; {name} stands for a parameter's value",
        default_words="with disrupts the target's name, or this machine's; otherwise none",
    )
    before: tuple[str, ...] = setting(
        (), parse_names, "actions that run first, in this order; their failure stops nothing"
    )
    timeout_seconds: float = setting(60.0, parse_seconds, "the seconds after which it is stopped")
    params: Mapping[str, Param] = field(default_factory=dict)
    logs_in: str = ""
    """The agent that it logs in. No table has this key."""

    @property
    def shown_label(self) -> str:
        """The label, else the name."""
        return self.label or self.name

    @property
    def target_param(self) -> str | None:
        """The name of the parameter that chooses the target; None if the action is for this machine."""
        return next((param.name for param in self.params.values() if param.kind == "target"), None)

    def read_values(self, given: Mapping[str, object], targets: tuple[str, ...]) -> dict[str, Value]:
        """Return the checked values, in the order of the parameters.

        Raises BadInput for an unknown, missing or bad one, and for one that would become an option.
        """
        for name in given:
            if name not in self.params:
                known = f"expected {', '.join(self.params)}" if self.params else f"{self.name} has none"
                instead = suggestion(name, self.params, known)
                raise BadInput(f"{ascii(name)[1:-1][:40]}: no such parameter; {instead}")
        missing = [name for name in self.params if name not in given]
        if missing:
            raise BadInput(f"{missing[0]}: this parameter of {self.name} is missing")
        values = {name: param.read(given[name], targets) for name, param in self.params.items()}
        self.arguments(values)
        return values

    def arguments(self, values: Mapping[str, Value]) -> tuple[str, ...]:
        """Return the command with the values in place. Raises BadInput if a value would become an option."""
        made = []
        ended = False
        for part in self.command:
            argument = fill(part, values)
            if not ended and argument.startswith("-") and not part.startswith("-"):
                raise BadInput(f"{argument[:40]!r} would be an option of {self.command[0]}")
            ended = ended or part == END_OF_OPTIONS
            made.append(argument)
        return tuple(made)

    def confirm_template(self, host: str) -> str:
        """Return the word to type, with placeholders for values; "" if none is needed."""
        if self.confirm or self.effect != "disrupts":
            return self.confirm
        return f"{{{self.target_param}}}" if self.target_param else host

    def check_confirmed(self, typed: str | None, values: Mapping[str, Value], host: str) -> None:
        """Raise BadInput unless the word that this call needs was typed."""
        word = fill(self.confirm_template(host), values)
        if word and typed != word:
            raise BadInput(f"confirm: type {word} to run {self.shown_label}")

    def described(self, host: str, targets: tuple[str, ...]) -> dict[str, Any]:
        """Return the action as the API and `breakglass actions --json` show it."""
        return {
            "name": self.name,
            "label": self.shown_label,
            "about": self.about,
            "group": self.group,
            "effect": self.effect,
            "command": list(self.command),
            "params": {name: param.described(targets) for name, param in self.params.items()},
            "confirm": self.confirm_template(host) or None,
            "before": list(self.before),
            "timeout_seconds": self.timeout_seconds,
        }


class Call(NamedTuple):
    """One call of an action: what the `user` event has of it. Its values are checked."""

    name: str
    params: dict[str, Value]
    argv: tuple[str, ...]
    reason: str | None

    def as_event(self) -> dict[str, Any]:
        """Return the value of `action` in a `user` event."""
        known = {"name": self.name, "params": self.params, "argv": list(self.argv)}
        return known | ({"reason": self.reason} if self.reason else {})


def fill(text: str, values: Mapping[str, Value]) -> str:
    """Return `text` with each placeholder replaced once. A value may contain braces: it is not read again."""
    return PLACEHOLDER.sub(lambda match: str(values[match[1]]), text)
