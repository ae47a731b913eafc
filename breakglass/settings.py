"""How a setting is declared, and the parsers of single values. Opens no file but the list of users.

A parser takes a name and a value. The name shows the source of the value: `BREAKGLASS_PORT`, `--port` or `port`.
The parser returns the checked value, or raises BadConfig with the name, the value and what was expected. The same
parser checks a text from the environment or the command line and a value from a TOML file.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from breakglass.errors import BadConfig

T = TypeVar("T")
Parse = Callable[[str, object], T]

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@\[\]-]{0,127}")
_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_PREFIX = re.compile(r"(/[A-Za-z0-9_-]+)+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PORT = "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
ORIGIN = re.compile(rf"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::({_PORT}))?")
"""A public address: scheme, host and port, as browsers write them."""

MIN_TOKEN = 32
"""Characters. A shorter token could be guessed (claudecodeui, CVE-2026-31975: a default secret)."""
MIN_SURPRISES = 14
"""Characters of a token that must not follow from those before them."""
TOKEN_PATTERN = re.compile(rf"[A-Za-z0-9._~+/=-]{{{MIN_TOKEN},512}}")
"""The characters that RFC 6750 allows in a header."""

# --- declaring a setting --------------------------------------------------------------------------


class Setting(NamedTuple):
    """Everything about a setting besides its name, type and default value."""

    parse: Parse[Any]
    meaning: str
    """What it is, as a phrase for the help and the documentation."""
    default: str = ""
    """The default in words; "" where a value is required."""
    option: str = ""
    """The command line option as a usage line shows it, such as `--port P`; "" for none."""
    in_file: bool = True
    """Whether a TOML file may hold it."""


def setting(
    default: T,
    parse: Parse[T],
    meaning: str,
    *,
    default_words: str = "",
    option: str = "",
    in_file: bool = True,
    is_secret: bool = False,
) -> T:
    """Return a dataclass field that declares a setting.

    `default_words` describes a default that the value alone does not explain. A secret is not part of `repr`.
    As in `dataclasses.field`, the declared return type is the type of the value. So a type checker compares field,
    default and parser.
    """
    row = Setting(parse, meaning, default_words or _in_words(default), option, in_file)
    made: Any = field(default=default, metadata={"setting": row}, repr=not is_secret)
    return made  # type: ignore[no-any-return]


def described(parse: Parse[Any], meaning: str, default: str = "") -> Mapping[str, Setting]:
    """Return the `metadata` that makes a dataclass field a setting: for a required one, or a `default_factory`."""
    return {"setting": Setting(parse, meaning, default)}


def declared_by(cls: type) -> dict[str, Setting]:
    """Return the settings that a dataclass declares, by name, in the order of its fields."""
    return {each.name: each.metadata["setting"] for each in fields(cls) if "setting" in each.metadata}


def _in_words(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    return str(default) if default or default == 0 else "none"


# --- parsers --------------------------------------------------------------------------------------


def expected(name: str, value: object, what: str) -> BadConfig:
    """Return the error that says what was expected in place of a value. None means a missing value."""
    return BadConfig(f"{name}: expected {what}, got {'nothing' if value is None else repr(value)}")


def parse_text(name: str, value: object) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise expected(name, value, "a text that is not empty")
    return value


def parse_port(name: str, value: object) -> int:
    """Return a port; 0 means any free one."""
    number = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}", value) else value
    if type(number) is not int or not 0 <= number <= 65535:
        raise expected(name, value, "a whole number from 0 to 65535")
    return number


def parse_seconds(name: str, value: object) -> float:
    """Return a length of time in seconds."""
    return _parse_positive(name, value, "seconds")


def parse_dollars(name: str, value: object) -> float:
    """Return an amount of US dollars."""
    return _parse_positive(name, value, "US dollars")


def _parse_positive(name: str, value: object, unit: str) -> float:
    is_decimal = isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value)
    number = float(str(value)) if is_decimal else value
    if not isinstance(number, int | float) or isinstance(number, bool) or not 0 < number < 1e9:
        raise expected(name, value, f"a number of {unit} greater than 0")
    return float(number)


def parse_model(name: str, value: object) -> str | None:
    """Return a model's name, or None for an empty text: the agent chooses."""
    if value in ("", None):
        return None
    return check_model(name, value)


def check_model(name: str, value: object) -> str:
    """Return `value` if it can be a model's name. Raises BadConfig.

    An agent gets the name as an argument, so the name must not look like an option and must not contain spaces.
    """
    if not isinstance(value, str) or not _MODEL.fullmatch(value):
        raise expected(name, value, "a model's name: letters, digits and . _ : / @ [ ] -, at most 128")
    return value


def parse_texts(name: str, value: object) -> tuple[str, ...]:
    """Return a list of texts. In a single text, as in the environment, they are separated by commas."""
    texts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(texts, list) or not is_texts(texts) or not all(texts):
        raise expected(name, value, "a list of texts")
    return tuple(texts)


def parse_origins(name: str, value: object) -> tuple[str, ...]:
    """Return public addresses of the server, each a scheme with a host and perhaps a port."""
    origins = parse_texts(name, value)
    for origin in origins:
        if not ORIGIN.fullmatch(origin):
            raise expected(name, origin, "https://NAME or https://NAME:PORT, in lower case")
    return origins


def parse_token(name: str, value: object) -> str:
    """Return a token. The error names the setting or file and never the value."""
    if not isinstance(value, str) or not TOKEN_PATTERN.fullmatch(value):
        raise BadConfig(
            f"{name} is no token ({len(str(value))} characters): expected {MIN_TOKEN} to 512 of "
            "A-Z a-z 0-9 . _ ~ + / = -. Leave it out, and one is made."
        )
    if is_guessable(value):
        raise BadConfig(
            f"{name} is too easy to guess: it repeats itself or counts up. Leave it out, and one is made."
        )
    return value


def is_guessable(token: str) -> bool:
    """Return whether a token repeats itself or counts up, so that its length promises too much.

    A character is a surprise unless it is a neighbour of the one before it (`aaa`, `321`), or ends three characters
    that came before (`changeme-changeme-`). A random token of 32 characters has more than 20 surprises.
    """
    surprises = 0
    for index, character in enumerate(token):
        is_neighbour = index > 0 and abs(ord(character) - ord(token[index - 1])) <= 1
        is_repeated = index > 2 and token[index - 2 : index + 1] in token[:index]
        surprises += not is_neighbour and not is_repeated
    return surprises < MIN_SURPRISES


def parse_peers(name: str, value: object) -> frozenset[str]:
    """Return IP addresses in their standard form, `unix`, and `unix:UID` for each `unix:USER`."""
    return frozenset(_parse_peer(name, each) for each in parse_texts(name, value))


def _parse_peer(name: str, text: str) -> str:
    import ipaddress  # imported only here: it delays commands without proxies

    kind, has_user, user = text.partition(":")
    if kind == "unix":
        return f"unix:{_parse_user(name, user)}" if has_user else kind
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise expected(name, text, "IP addresses, unix:USER or unix") from None


def _parse_user(name: str, user: str) -> int:
    """Return the number of a user of this machine. `user` is a name or a number."""
    import pwd  # imported only here: it delays commands without proxies

    if re.fullmatch(r"[0-9]{1,9}", user):
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise expected(name, f"unix:{user}", "unix: with a user of this machine, as unix:www-data") from None


def parse_header(name: str, value: object) -> str:
    """Return the name of an HTTP header field."""
    if not isinstance(value, str) or not _HEADER.fullmatch(value):
        raise expected(name, value, "the name of a header field")
    return value


def parse_prefix(name: str, value: object) -> str:
    """Return a URL path without a final `/`; "" for the root."""
    if value in ("", "/"):
        return ""
    if not isinstance(value, str) or not _PREFIX.fullmatch(value):
        raise expected(name, value, "a path such as /breakglass, with / at the start and none at the end")
    return value


def parse_flag(name: str, value: object) -> bool:
    """Return true or false. A text may also be 1 or 0."""
    known = {"1": True, "true": True, "0": False, "false": False}
    flag = known.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(flag, bool):
        raise expected(name, value, "true or false")
    return flag


def parse_path(name: str, value: object) -> Path:
    """Return a path, relative to the current directory."""
    return Path(parse_text(name, os.fspath(value) if isinstance(value, Path) else value))


def is_texts(value: object) -> bool:
    """Return whether `value` is a list of texts without NUL."""
    return isinstance(value, list) and all(isinstance(item, str) and "\0" not in item for item in value)


# --- parsers for agents: their values come only from a file ---------------------------------------


def parse_command(name: str, value: object) -> tuple[str, ...]:
    """Return a program and its arguments."""
    if not isinstance(value, list) or not is_texts(value) or not value or not value[0]:
        raise expected(name, value, "a list of texts, the program first")
    return tuple(value)


def parse_permissions(name: str, value: object) -> Literal["bypass", "ask"]:
    """Return whether the agent acts without asking or asks for permission."""
    if value == "bypass":
        return "bypass"
    if value == "ask":
        return "ask"
    raise expected(name, value, '"bypass" or "ask"')


def parse_sandbox(name: str, value: object) -> Literal["none", "bwrap"]:
    """Return what confines the agent."""
    if value == "none":
        return "none"
    if value == "bwrap":
        return "bwrap"
    raise expected(name, value, '"none" or "bwrap"')


def parse_paths(name: str, value: object) -> tuple[str, ...]:
    """Return paths, each absolute or below `~`."""
    if not isinstance(value, list) or not is_texts(value):
        raise expected(name, value, "a list of paths")
    for each in value:
        if not (os.path.isabs(each) or each == "~" or each.startswith("~/")):
            raise expected(name, each, "paths that begin with / or ~/")
    return tuple(value)


def parse_own_path(name: str, value: object) -> str:
    """Return a path, absolute or below `~`."""
    return parse_paths(name, [value])[0]


def parse_agent_user(name: str, value: object) -> str:
    """Return the name of a user that is not root. Whether this machine has it matters only when a turn begins."""
    if value in ("root", "0"):
        raise expected(name, value, "a user other than root")
    return parse_text(name, value)


def parse_boolean(name: str, value: object) -> bool:
    """Return a TOML boolean."""
    if not isinstance(value, bool):
        raise expected(name, value, "true or false")
    return value


def parse_tools(name: str, value: object) -> tuple[str, ...]:
    """Return the names of tools."""
    if not isinstance(value, list) or not is_texts(value) or not all(value):
        raise expected(name, value, "a list of names of tools")
    return tuple(value)


def parse_names(name: str, value: object) -> tuple[str, ...]:
    """Return the names of environment variables."""
    if not isinstance(value, list) or not is_texts(value):
        raise expected(name, value, "a list of names")
    return tuple(value)


def parse_variables(name: str, value: object) -> Mapping[str, str]:
    """Return environment variables."""
    if isinstance(value, dict) and is_texts(list(value.values())) and all(map(_VARIABLE.fullmatch, value)):
        return value
    raise expected(name, value, "a table of texts, named as environment variables are")
