"""The OpenAPI 3.1 document of the API, generated from the table of operations. Pure.

Served at /api/openapi.json. A test compares its paths with the application's routes.
"""

import re
from typing import Any

import msgspec

from breakglass import __version__
from breakglass.web.operation import Operation, error_meanings, needs_no_credential
from breakglass.web.operations import OPERATIONS
from breakglass.web.schemas import ACTION, HOST, PARAMETERS, SESSION

_PATH_PARAMETERS: dict[str, dict[str, Any]] = {
    "id": {"type": "string", "format": "uuid"},
    "queued": {"type": "integer", "minimum": 1},
    "path": {"type": "string"},
    "name": {"type": "string", "pattern": "^[a-z][a-z0-9_-]{0,31}$"},
}
_PROBLEM = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
    "required": ["title", "status", "detail"],
}
"""RFC 9457."""


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    body_types = [operation.body for operation in OPERATIONS.values() if operation.body]
    _, schemas = msgspec.json.schema_components(body_types, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for name, operation in OPERATIONS.items():
        paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(name, operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Breakglass", "version": __version__, "license": {"name": "Apache-2.0"}},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Session": SESSION, "Action": ACTION, "Host": HOST, "Problem": _PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _describe(name: str, operation: Operation) -> dict[str, Any]:
    path_parameters = [
        {"name": each, "in": "path", "required": True, "schema": _PATH_PARAMETERS[each]}
        for each in re.findall(r"\{(\w+)\}", operation.path)
    ]
    described: dict[str, Any] = {
        "operationId": name,
        "summary": operation.summary,
        "parameters": path_parameters + [{"name": each, **PARAMETERS[each]} for each in operation.parameters],
        "responses": {str(operation.success): _success(operation), **_errors(operation)},
    }
    if operation.details:
        described["description"] = operation.details
    if needs_no_credential(operation):
        described["security"] = []
    if operation.body:
        schema = {"$ref": f"#/components/schemas/{operation.body.__name__}"}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if operation.takes_file:
        form = {
            "type": "object",
            "properties": {"file": {"type": "string", "format": "binary"}},
            "required": ["file"],
        }
        described["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    return described


def _success(operation: Operation) -> dict[str, Any]:
    if operation.response is None:
        texts = {each: {"schema": {"type": "string"}} for each in operation.media_types}
        return {"description": operation.summary, "content": texts}
    content = {"application/json": {"schema": operation.response}}
    return {"description": operation.summary, "content": content}


def _errors(operation: Operation) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        str(status): {"description": meaning, "content": content}
        for status, meaning in error_meanings(operation).items()
    }
