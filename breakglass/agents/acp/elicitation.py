"""`elicitation/create`: the agent asks its user to fill in a form. Pure.

The fields of the form become choices, and the answers become the response. The form is a JSON schema: an object whose
properties are texts, numbers, truth values, one of several values (`oneOf` or `enum`) or several of them (an array).
The protocol's page "elicitation" describes it. We offer only forms: an agent that wants the user to open an address
gets an error.
"""

from typing import Any

from breakglass.agents.acp.messages import Message
from breakglass.agents.lines import as_object, as_objects, as_text
from breakglass.choices import Answers, Choice, Option

METHOD = "elicitation/create"
NAME = "Question"
"""What the log calls the tool of such a question."""
CAPABILITY: Message = {"elicitation": {"form": {}}}
_CUSTOM = "_custom"
"""claude-agent-acp offers the user's own answer to field `f` as another field, `f_custom`."""
_YES, _NO = "Yes", "No"


def is_form(request: Message) -> bool:
    """Return whether a request asks for a form, and not for something that we do not offer."""
    params = as_object(request.get("params"))
    return request.get("method") == METHOD and params.get("mode", "form") == "form"


def choices(request: Message) -> tuple[Choice, ...]:
    """Return what a request asks. The `id` of each choice is the name of its field."""
    params, fields = as_object(request.get("params")), _fields(request)
    needed = as_object(params.get("requestedSchema")).get("required")
    required = needed if isinstance(needed, list) else []
    found = []
    for name, field in fields.items():
        options = tuple(Option(label, about) for label, _, about in _offered(field))
        # The message alone asks the only question of a form. Otherwise each field says what it is for.
        asked = as_text(field.get("description")) or as_text(params.get("message"))
        found.append(
            Choice(
                name,
                asked or as_text(field.get("title")) or name,
                as_text(field.get("title")),
                options,
                multiple=field.get("type") == "array",
                other=not options or _own_field(request, name) is not None,
                optional=name not in required,
            )
        )
    return tuple(found)


def response(request: Message, answers: Answers, *, allow: bool) -> Message:
    """Return the response: the form with the answers, or that the user declines."""
    if not allow:
        return {"id": request.get("id"), "result": {"action": "decline"}}
    content: dict[str, Any] = {}
    fields = _fields(request)
    for name, chosen in answers.items():
        field = fields.get(name, {})
        values = {label: value for label, value, _ in _offered(field)}
        listed = [values[text] for text in chosen if text in values]
        own = [text for text in chosen if text not in values]
        if listed or not values:
            content[name] = _value(field, listed or own)
        if values and own:
            content[_own_field(request, name) or name] = ", ".join(own)
    return {"id": request.get("id"), "result": {"action": "accept", "content": content}}


def _properties(request: Message) -> dict[str, Message]:
    schema = as_object(as_object(request.get("params")).get("requestedSchema"))
    return {name: as_object(field) for name, field in as_object(schema.get("properties")).items()}


def _fields(request: Message) -> dict[str, Message]:
    """Return the fields that are choices of their own, by name."""
    fields = _properties(request)
    return {
        name: field
        for name, field in fields.items()
        if name.removesuffix(_CUSTOM) not in fields.keys() - {name}
    }


def _own_field(request: Message, name: str) -> str | None:
    return f"{name}{_CUSTOM}" if f"{name}{_CUSTOM}" in _properties(request) else None


def _offered(field: Message) -> list[tuple[str, Any, str]]:
    """Return the offered answers of a field: label, value and description."""
    if field.get("type") == "boolean":
        return [(_YES, True, ""), (_NO, False, "")]
    of = as_object(field.get("items")) if field.get("type") == "array" else field
    titled = as_objects(of.get("oneOf")) or as_objects(of.get("anyOf"))
    if titled:
        return [
            (
                as_text(each.get("title")) or as_text(each.get("const")),
                each.get("const"),
                as_text(each.get("description")),
            )
            for each in titled
        ]
    values = of.get("enum")
    return [(str(value), value, "") for value in values] if isinstance(values, list) else []


def _value(field: Message, chosen: list[Any]) -> Any:
    """Return the value of a field. A text that is no number stays a text: the agent says what is wrong with it."""
    if field.get("type") == "array":
        return chosen
    if field.get("type") in ("integer", "number"):
        try:
            return int(chosen[0]) if field["type"] == "integer" else float(chosen[0])
        except ValueError:
            return chosen[0]
    return chosen[0]
