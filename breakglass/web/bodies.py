"""JSON request bodies: their types, and the strict reader that turns bytes into one of them. Pure."""

import json
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from breakglass.actions import MAX_REASON
from breakglass.errors import BadInput, Malformed
from breakglass.notify.push import MAX_ENDPOINT
from breakglass.store.sessions import MAX_TITLE
from breakglass.turn_limits import MAX_PROMPT
from breakglass.uploads import MAX_PER_PROMPT


class NewSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A session to create. If a field is absent, the default of the settings applies."""

    agent: Annotated[str | None, Meta(description="One of the configured agents")] = None
    model: Annotated[str | None, Meta(description="The model for every turn of the session")] = None
    title: Annotated[str, Meta(description=f"At most {MAX_TITLE} characters")] = ""
    target: Annotated[str | None, Meta(description="The machine that it is about: one of the targets")] = None


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change of a session. A field that is absent or null changes nothing."""

    title: Annotated[str | None, Meta(description=f"The new title, at most {MAX_TITLE} characters")] = None
    archived: Annotated[bool | None, Meta(description="Whether lists omit the session")] = None


class NewTurn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A prompt to send."""

    prompt: Annotated[
        str,
        Meta(
            description=f"The text for the agent, not blank, at most {MAX_PROMPT >> 10} KiB of UTF-8",
            extra_json_schema={"minLength": 1, "maxLength": MAX_PROMPT},
        ),
    ]
    model: Annotated[str | None, Meta(description="The model for this turn only")] = None
    agent: Annotated[str | None, Meta(description="The agent with which the session goes on")] = None
    files: Annotated[
        list[str | int],
        Meta(
            description="Files that belong to the prompt, each by its `path` or by the `id` of its `file` event",
            max_length=MAX_PER_PROMPT,
        ),
    ] = msgspec.field(default_factory=list)
    queue: Annotated[bool, Meta(description="If a turn is running, let the prompt wait for its end")] = False
    steer: Annotated[
        bool, Meta(description="As `queue`, but the running agent gets the prompt as soon as it can read it")
    ] = False
    over_budget: Annotated[bool, Meta(description="Send it although the day's budget is spent")] = False


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An answer to an agent's question."""

    request: Annotated[str, Meta(description="The `request` of the `permission` event")]
    allow: Annotated[bool, Meta(description="Whether the agent may use the tool")]
    message: Annotated[str | None, Meta(description="Text for the agent")] = None
    for_session: Annotated[
        bool, Meta(description="With `allow`: allow this tool in the whole session from now on")
    ] = False
    answers: Annotated[
        dict[str, str | list[str]],
        Meta(description="With `allow`: what was chosen, by the `id` of each of the question's `choices`"),
    ] = msgspec.field(default_factory=dict)


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool that needs permission again."""

    name: Annotated[str, Meta(description="One of the session's `allowed`")]


class Subscription(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a browser takes notifications, as its `PushSubscription.toJSON()` says."""

    endpoint: Annotated[str, Meta(description="The address at its push service", max_length=MAX_ENDPOINT)]
    keys: Annotated[dict[str, str], Meta(description="Its keys `p256dh` and `auth`, in base64url")]
    expirationTime: Annotated[float | None, Meta(description="Not used")] = None  # noqa: N815 — the browser's name


class RunAction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call of an action."""

    params: Annotated[dict[str, str | int], Meta(description="The values of its parameters, by name")] = {}
    confirm: Annotated[str | None, Meta(description="The word that the action's `confirm` asks for")] = None
    beside: Annotated[
        bool, Meta(description="If a turn is running in the session, run in a session of its own")
    ] = False
    reason: Annotated[str | None, Meta(description=f"Why, for the log; at most {MAX_REASON} characters")] = (
        None
    )


T = TypeVar("T")


def read(body: bytes, body_type: type[T]) -> T:
    """Return `body` as a value of `body_type`. An empty body counts as an empty object.

    Raises Malformed if the body is not strict JSON (RFC 8259): NaN, a repeated key and very deep nesting are refused.
    Raises BadInput, with the name of the field, if the JSON does not fit the type.
    """
    try:
        value = json.loads(body or b"{}", object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the body is not JSON: {error}") from None
    try:
        return msgspec.convert(value, body_type)
    except msgspec.ValidationError as error:
        raise BadInput(str(error)) from None
    except UnicodeEncodeError:
        raise Malformed("the body is not JSON: a key has half of a surrogate pair") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not valid JSON")
