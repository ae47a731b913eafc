"""One value each: what may stand in a setting, wherever it comes from. Pure.

A check takes the name under which the value came, so that what it says names that, and returns the value.
"""

import ipaddress
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from breakglass.errors import BadConfig

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@\[\]-]{0,127}")
_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_PREFIX = re.compile(r"(/[A-Za-z0-9_-]+)+")


def expected(key: str, value: object, what: str) -> BadConfig:
    """Return the error that says what was expected of a value."""
    return BadConfig(f"{key}: expected {what}, got {value!r}")


def text(key: str, value: object) -> str:
    """Return a text that is not empty. Raises BadConfig."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise expected(key, value, "a text that is not empty")
    return value


def _port(key: str, value: object) -> int:
    number = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}", value) else value
    if type(number) is not int or not 0 <= number <= 65535:
        raise expected(key, value, "a whole number from 0 to 65535")
    return number


def _seconds(key: str, value: object) -> float:
    number = (
        float(value)
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value)
        else value
    )
    if not isinstance(number, int | float) or isinstance(number, bool) or not 0 < number < 1e9:
        raise expected(key, value, "a number of seconds greater than 0")
    return float(number)


def _model(key: str, value: object) -> str | None:
    if value in ("", None):
        return None
    return check_model(key, value)


def check_model(key: str, value: object) -> str:
    """Return `value` if it can be a model's name. Raises BadConfig: it must not pass for an option or hold blanks."""
    if not isinstance(value, str) or not _MODEL.fullmatch(value):
        raise expected(key, value, "a model's name: letters, digits and . _ : / @ [ ] -, at most 128")
    return value


def _texts(key: str, value: object) -> tuple[str, ...]:
    """Return a list of texts; the environment has them with commas between."""
    texts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(texts, list) or not is_texts(texts) or not all(texts):
        raise expected(key, value, "a list of texts")
    return tuple(texts)


def _peers(key: str, value: object) -> frozenset[str]:
    try:
        return frozenset(
            each if each == "unix" else str(ipaddress.ip_address(each)) for each in _texts(key, value)
        )
    except ValueError:
        raise expected(key, value, "IP addresses, or unix for the Unix socket") from None


def _header(key: str, value: object) -> str:
    if not isinstance(value, str) or not _HEADER.fullmatch(value):
        raise expected(key, value, "the name of a header field")
    return value


def _prefix(key: str, value: object) -> str:
    if value in ("", "/"):
        return ""
    if not isinstance(value, str) or not _PREFIX.fullmatch(value):
        raise expected(key, value, "a path such as /breakglass: it begins with / and does not end with one")
    return value


def _flag(key: str, value: object) -> bool:
    known = {"1": True, "true": True, "0": False, "false": False}
    flag = known.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(flag, bool):
        raise expected(key, value, "true or false")
    return flag


def _path(key: str, value: object) -> Path:
    return Path(text(key, os.fspath(value) if isinstance(value, Path) else value))


def is_texts(value: object) -> bool:
    """Return whether it is a list of texts."""
    return isinstance(value, list) and all(isinstance(item, str) and "\0" not in item for item in value)


SETTINGS: dict[str, Callable[[str, Any], Any]] = {
    "data": _path,
    "host": text,
    "port": _port,
    "agent": text,
    "model": _model,
    "turn_timeout_seconds": _seconds,
    "permission_timeout_seconds": _seconds,
    "sse_keepalive_seconds": _seconds,
    "token": text,
    "origins": _texts,
    "prefix": _prefix,
    "proxies": _peers,
    "proxy_user_header": _header,
    "proxy_address_header": _header,
    "tls_cert": _path,
    "tls_key": _path,
    "socket": _path,
    "allow_plain": _flag,
    "access_log": text,
}
"""Every setting of one value, and its check (docs/contract.md, section 6)."""
ENVIRONMENT_ONLY = frozenset({"token"})
"""What a file, which others may read, must not hold."""
