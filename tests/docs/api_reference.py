"""The reference of the HTTP API, from `web/operations.py`: a section for each operation, and a short table. Pure."""

import textwrap
from typing import Any

import msgspec

from breakglass.web.operation import (
    BODY_ERRORS,
    COMMON_ERRORS,
    CREDENTIAL_ERRORS,
    Operation,
    needs_no_credential,
)
from breakglass.web.operations import OPERATIONS
from breakglass.web.schemas import ACTION, ACTION_REF, HOST, HOST_REF, PARAMETERS, SESSION, SESSION_REF


def render() -> str:
    """Return a section for each operation, one for each object and one for common errors."""
    sections = [_operation(each) for each in OPERATIONS.values()]
    objects = [_object("session", SESSION), _object("action", ACTION), _object("host", HOST)]
    return "\n\n".join([*sections, *objects, _common_errors()])


def render_table() -> str:
    """Return a table of all operations: the route, the body, the answer."""
    lines = ["| operation | body | answer | |", "|---|---|---|---|"]
    for each in OPERATIONS.values():
        body = f"`{_body_shape(each.body)}`" if each.body else ""
        lines.append(
            f"| `{each.method} {each.path}` | {body} | {each.success} {_response(each)} | {each.summary} |"
        )
    return "\n".join(lines)


def _operation(operation: Operation) -> str:
    parts = [f"### `{operation.method} {operation.path}`", f"{operation.summary}."]
    if needs_no_credential(operation):
        parts.append("Needs no credential.")
    if operation.details:
        parts.append(textwrap.fill(operation.details, 120, break_long_words=False, break_on_hyphens=False))
    if operation.parameters:
        parts.append(
            _table(("parameter", "in", "meaning"), [_parameter(name) for name in operation.parameters])
        )
    if operation.body:
        parts.append(_table(("body field", "type", "default", "meaning"), _fields(operation.body)))
    parts.append(f"Answer: {operation.success} {_response(operation)}.")
    if operation.errors:
        parts.append(_table(("error", "meaning"), _errors(operation.errors)))
    return "\n\n".join(parts)


def _common_errors() -> str:
    rows = [
        *((*row, "every operation") for row in _errors(COMMON_ERRORS)),
        *((*row, "every operation that needs a credential") for row in _errors(CREDENTIAL_ERRORS)),
        *((*row, "every operation with a body") for row in _errors(BODY_ERRORS)),
    ]
    return "### Errors that many operations share\n\n" + _table(("error", "meaning", "of"), rows)


def _errors(meanings: dict[int, str]) -> list[tuple[str, str]]:
    return [(str(status), meaning) for status, meaning in sorted(meanings.items())]


def _object(name: str, described: dict[str, Any]) -> str:
    rows = [
        (f"`{key}`", _type(schema), schema.get("description", ""))
        for key, schema in described["properties"].items()
    ]
    return f"### The {name} object\n\n" + _table(("field", "type", "meaning"), rows)


def _parameter(name: str) -> tuple[str, str, str]:
    parameter = PARAMETERS[name]
    return f"`{parameter.get('name', name)}`", parameter["in"], parameter["description"]


def _fields(body: type[msgspec.Struct]) -> list[tuple[str, str, str, str]]:
    (schema,), components = msgspec.json.schema_components([body])
    described = components[schema["$ref"].rpartition("/")[2]]
    return [
        (
            f"`{name}`",
            _type(field),
            "required"
            if name in described.get("required", ())
            else f"`{msgspec.json.encode(field['default']).decode()}`",
            field.get("description", ""),
        )
        for name, field in described["properties"].items()
    ]


def _body_shape(body: type[msgspec.Struct]) -> str:
    fields = msgspec.structs.fields(body)
    return "{" + ", ".join(field.name + ("" if field.required else "?") for field in fields) + "}"


def _response(operation: Operation) -> str:
    """Return the shape of the response in one line."""
    schema = operation.response
    if schema is None:
        is_log = "text/event-stream" in operation.media_types
        return "an event stream, or the log" if is_log else "the file"
    shapes = [_shape(each) for each in schema.get("oneOf", [schema])]
    return " or ".join(shapes)


def _shape(schema: dict[str, Any]) -> str:
    if schema == SESSION_REF:
        return "the session object"
    pairs = [f'"{name}": {_value(field)}' for name, field in schema.get("properties", {}).items()]
    return "`{" + ", ".join(pairs) + "}`" if pairs else "a JSON object"


def _value(schema: dict[str, Any]) -> str:
    if "const" in schema:
        return msgspec.json.encode(schema["const"]).decode()
    if schema.get("type") == "array":
        names = {"[session, …]": SESSION_REF, "[action, …]": ACTION_REF, "[host, …]": HOST_REF}
        named = next((name for name, ref in names.items() if schema["items"] == ref), "")
        if schema["items"].get("type") == "string":
            named = "[string, …]"
        return named or f"[{_shape(schema['items']).strip('`')}, …]"
    return "string" if "enum" in schema else _type(schema)


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    kinds = schema["type"]
    return " or ".join(kinds) if isinstance(kinds, list) else str(kinds)


def _table(heads: tuple[str, ...], rows: list[Any]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
