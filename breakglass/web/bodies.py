"""JSON bodies: read strictly into values, or refused with a text that names the field. Pure."""

import json
from typing import Any, TypeVar

import msgspec

from breakglass.errors import BadInput, Malformed


class NewSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /api/sessions. What is left out is the settings' default."""

    agent: str | None = None
    model: str | None = None
    title: str = ""


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PATCH /api/sessions/{id}. What is left out stays."""

    title: str | None = None
    archived: bool | None = None


class NewTurn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /api/sessions/{id}/turns."""

    prompt: str
    model: str | None = None
    queue: bool = False
    """Whether it may wait for the end of a turn that runs."""


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /api/sessions/{id}/answers."""

    request: str
    allow: bool
    message: str | None = None
    for_session: bool = False
    """Whether the tool is allowed for the whole session."""


T = TypeVar("T")


def read(body: bytes, shape: type[T]) -> T:
    """Return `body` as a value of that shape; an empty body is an empty object.

    Raises Malformed for what is not strict JSON (RFC 8259; NaN, a key given twice and deep nesting are
    not) and BadInput, naming the field, for JSON of another shape.
    """
    try:
        value = json.loads(body or b"{}", object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the body is not JSON: {error}") from None
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise BadInput(str(error)) from None
    except UnicodeEncodeError:
        raise Malformed("the body is not JSON: a key has half of a surrogate pair") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
