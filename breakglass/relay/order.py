"""The exact text of a command for another host, before it is signed. Pure.

The text is a JSON object. The signature is of its bytes, so the host reads the bytes that were signed.
"""

import json
import re
from typing import Any, NamedTuple

from breakglass.errors import BadInput

MAX_BYTES = 400 << 10
"""Bytes of a command with its signature. The engine takes 512 KiB."""
_NONCE = re.compile("[0-9a-f]{32}")
_KEY = re.compile(r"[!-~]{1,200}")
_TYPES: dict[str, tuple[type, ...]] = {
    "text": (str, type(None)),
    "flag": (bool,),
    "table": (dict,),
    "number": (int, type(None)),
}
FIELDS: dict[str, dict[str, str]] = {
    "new": {"agent": "text", "model": "text", "title": "text", "target": "text"},
    "send": {
        "prompt": "text",
        "model": "text",
        "agent": "text",
        "queue": "flag",
        "steer": "flag",
        "over_budget": "flag",
    },
    "cancel": {"turn": "number"},
    "answer": {
        "request": "text",
        "question": "text",
        "allow": "flag",
        "message": "text",
        "for_session": "flag",
        "answers": "lists",
    },
    "do": {"action": "text", "params": "table", "confirm": "text", "reason": "text"},
}
"""The values of each verb. All of them are in its text, also those that are not given."""


class Order(NamedTuple):
    """One command for a host."""

    verb: str
    host: str
    nonce: str
    """From the host itself, for this command only."""
    session: str | None
    """The id of a session or its beginning, None for a new one."""
    key: str
    """A command with the same key is done only once."""
    values: dict[str, Any]
    """As `FIELDS` says."""

    def text(self) -> bytes:
        """Return the text that is signed."""
        return json.dumps(self._asdict(), ensure_ascii=True, sort_keys=True).encode()


def read(text: bytes) -> Order:
    """Return the command of a text. Raises BadInput for any other text."""
    try:
        found = json.loads(text)
        order = Order(**found)
    except (ValueError, TypeError, RecursionError):
        raise BadInput("the command is no object with verb, host, nonce, session, key and values") from None
    words = (order.verb, order.host, order.nonce, order.key)
    if not all(isinstance(word, str) for word in words) or not isinstance(order.session, str | None):
        raise BadInput("the command has a value of the wrong type")
    if not _NONCE.fullmatch(order.nonce) or not _KEY.fullmatch(order.key):
        raise BadInput("the command has no nonce of this host, or no key of 1 to 200 characters")
    _check_values(order.verb, order.values)
    return order


def _check_values(verb: str, values: object) -> None:
    fields = FIELDS.get(verb)
    if fields is None:
        raise BadInput(f"there is no command {verb[:20]!r} for another host; it takes {', '.join(FIELDS)}")
    if not isinstance(values, dict) or values.keys() != fields.keys():
        raise BadInput(
            f"{verb}: expected the values {', '.join(fields)}; both machines need the same version of breakglass"
        )
    for name, kind in fields.items():
        if not _is_of(kind, values[name]):
            raise BadInput(f"{verb}: {name} has the wrong type")


def _is_of(kind: str, value: object) -> bool:
    if kind == "lists":
        lists = value.values() if isinstance(value, dict) else [None]
        return all(isinstance(each, list) and all(isinstance(text, str) for text in each) for each in lists)
    return type(value) in _TYPES[kind]


def pack(text: bytes, signature: str) -> bytes:
    """Return a command with its signature as one message."""
    return json.dumps({"text": text.decode(), "signature": signature}).encode()


def unpack(data: bytes) -> tuple[bytes, str]:
    """Return the text and the signature of a message. Raises BadInput."""
    try:
        if len(data) > MAX_BYTES:
            raise ValueError
        found = json.loads(data)
        return found["text"].encode(), str(found["signature"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise BadInput("the message is no signed command") from None
