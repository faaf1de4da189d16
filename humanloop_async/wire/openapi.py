"""The table of operations as an OpenAPI 3.1 document."""

from __future__ import annotations

from collections.abc import Iterable
from types import NoneType
from typing import Any, TypeAlias, get_args, get_origin

import msgspec

from ..types import ErrorResponse, HTTPValidationError, Json, ResponseList, ResponseText
from .docstrings import documentation
from .operations import OPERATIONS, RESOURCES, AnyOperation

_Object: TypeAlias = dict[str, Any]  # JSON; with `Json`, every literal below would need a cast

_REF = "#/components/schemas/{name}"
_PROBES = {"/health": "Check that the process runs.", "/ready": "Check that the server accepts calls."}
_ERRORS = {
    "401": ("Unauthenticated", "The key in X-API-KEY is missing or wrong, or a provider rejected its key."),
    "404": ("NotFound", "The object does not exist."),
    "422": ("Unprocessable", "The request is invalid."),
    "default": ("Error", "Any other error."),
}


def openapi_document(base_path: str = "/v4") -> dict[str, Json]:
    """Return the OpenAPI document of all operations, for ``GET /openapi.json``. Every call builds a new one.

    Args:
        base_path: Path before those of the operations. The probes ``/health`` and ``/ready`` are at the root.
    """
    paths: _Object = {path: {"get": _probe(path, summary)} for path, summary in _PROBES.items()}
    for operation in OPERATIONS:
        paths.setdefault(base_path + operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Humanloop v4 API",
            "version": "4.0.1",
            "description": "A null field of a request means an absent one. Undocumented fields are ignored, unless "
            "`additionalProperties` forbids them.",
        },
        "security": [{"key": []}],
        "tags": [{"name": name, "description": description} for name, description in RESOURCES.items()],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-API-KEY"}},
            "schemas": _components(),
            "responses": {name: _error(status, text) for status, (name, text) in _ERRORS.items()},
        },
    }


def _operation(operation: AnyOperation) -> _Object:
    described: _Object = {
        "operationId": operation.id,
        "tags": [operation.resource],
        "summary": operation.summary,
        **({"description": operation.details} if operation.details else {}),
        "parameters": [*_parameters(operation)],
        "responses": {
            str(operation.status): _success(operation),
            **{status: {"$ref": f"#/components/responses/{name}"} for status, (name, _) in _ERRORS.items()},
        },
    }
    if operation.request is not NoneType:
        schema = _schema(operation.request)
        if operation.batch:
            schema = {"anyOf": [{"type": "array", "items": schema}, schema]}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return described


def _parameters(operation: AnyOperation) -> Iterable[_Object]:
    for name in operation.path_parameters:
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    if operation.query is not None:
        schema = msgspec.json.schema(operation.query)["$defs"][operation.query.__name__]
        _, descriptions = documentation(operation.query)
        for name, kind in schema["properties"].items():
            parameter = {
                "in": "query",
                "required": name in schema.get("required", ()),
                "description": descriptions[name],
            }
            yield {**parameter, **_query_parameter(name, _without_null(kind))}
    if operation.creates:
        yield {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "A request with an earlier request's key returns its response and has no other effect.",
            "schema": {"type": "string", "minLength": 1},
        }


def _query_parameter(name: str, schema: _Object) -> _Object:
    if schema.get("type") != "object":
        return {"name": name, "schema": schema}
    # Each property is a separate parameter, and a part of its name is free. It may also be repeated, which OpenAPI
    # cannot express.
    values = schema["additionalProperties"]["items"]
    pattern = name.replace("_filter", "-.+_filter")
    free: _Object = {"type": "object", "patternProperties": {f"^{pattern}$": values}, "additionalProperties": False}
    return {"name": name, "style": "form", "explode": True, "schema": free}


def _without_null(schema: _Object) -> _Object:
    """Remove null from a schema: a query leaves the parameter out instead."""
    options: list[_Object] | None = schema.get("anyOf")
    if options is None or {"type": "null"} not in options:
        return schema
    rest = {name: value for name, value in schema.items() if name not in {"anyOf", "default"}}
    kinds = [option for option in options if option != {"type": "null"}]
    return {**rest, **kinds[0]} if len(kinds) == 1 else {**rest, "anyOf": kinds}


def _success(operation: AnyOperation) -> _Object:
    response: _Object = {"description": "Success."}
    if operation.status == 204:
        return response
    schema: _Object
    if operation.response is NoneType:
        schema = {"type": "object"}
    elif operation.response is ResponseText:
        schema = {"type": "string"}
    elif (item := _item(operation.response)) is not operation.response:
        schema = {"type": "array", "items": _schema(item)}
    else:
        schema = _schema(operation.response)
    if operation.batch and schema.get("type") != "array":
        schema = {"anyOf": [{"type": "array", "items": schema}, schema]}
    content: _Object = {"application/json": {"schema": schema}}
    if operation.response is ResponseText:
        content["text/prompt"] = {"schema": schema}
    if operation.event is not None:
        content["text/event-stream"] = {
            "schema": {
                "type": "string",
                "description": "With `stream`: the data of each event has the form of the JSON response, with one "
                "sample in `data`, whose `output` is the new text.",
            }
        }
    response["content"] = content
    return response


def _error(status: str, text: str) -> _Object:
    schema = _schema(ErrorResponse)
    if status == "422":
        schema = {"anyOf": [_schema(HTTPValidationError), schema]}
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _probe(path: str, summary: str) -> _Object:
    schema: _Object = {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]}
    return {
        "operationId": path.removeprefix("/"),
        "tags": ["Probes"],
        "summary": summary,
        "security": [],
        "responses": {
            "200": {"description": "Success.", "content": {"application/json": {"schema": schema}}},
            "default": {"$ref": "#/components/responses/Error"},
        },
    }


def _item(kind: Any) -> Any:
    """Return the Struct of a response, or of the items of a list."""
    return get_args(kind)[0] if get_origin(kind) is ResponseList else kind


def _schema(kind: Any) -> _Object:
    """Return a reference to the component of a Struct, or the schema of another type."""
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    return schema


def _components() -> _Object:
    kinds: list[Any] = [ErrorResponse, HTTPValidationError]
    for operation in OPERATIONS:
        kinds += [operation.request, _item(operation.response)]
    kinds = [kind for kind in kinds if kind not in {NoneType, ResponseText}]
    _, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    structs: dict[str, type] = {kind.__name__: kind for kind in reachable_structs(kinds)}
    for name, schema in components.items():
        _describe(schema, structs[name.partition("_")[0]])  # PaginatedData_LogResponse_ is a PaginatedData
    components["ModelConfigRequest"]["required"].remove("type")  # the default kind of a log's configuration
    return components


def reachable_structs(kinds: Iterable[Any]) -> set[type[msgspec.Struct]]:
    """Return the Structs among types and inside them."""
    found: set[type[msgspec.Struct]] = set()
    todo = list(kinds)
    while todo:
        kind = todo.pop()
        if (origin := get_origin(kind)) is not None:
            todo += [origin, *get_args(kind)]
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in found:
            found.add(kind)
            todo += [field.type for field in msgspec.structs.fields(kind)]
    return found


def _describe(schema: _Object, kind: type[msgspec.Struct]) -> None:
    """Replace the docstring that msgspec takes for a description, and describe the properties."""
    schema["description"], descriptions = documentation(kind)
    for field in msgspec.structs.fields(kind):
        if field.name in descriptions:
            schema["properties"][field.encode_name]["description"] = descriptions[field.name]
