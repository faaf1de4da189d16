"""The table of operations as an OpenAPI 3.1 document."""

from __future__ import annotations

from collections.abc import Iterable
from types import NoneType
from typing import Any, TypeAlias, get_args, get_origin

import msgspec

from ..types import ErrorResponse, HTTPValidationError, Json, ResponseList
from .operations import OPERATIONS, AnyOperation

_Object: TypeAlias = dict[str, Any]  # JSON; the literals below would all need casts

_REF = "#/components/schemas/{name}"
_PROBES = {"/health": "Whether the process runs.", "/ready": "Whether the server takes calls."}
_ERRORS = {
    "401": ("Unauthenticated", "The key in X-API-KEY is missing or wrong, or a provider refused its own."),
    "404": ("NotFound", "There is no such object."),
    "422": ("Unprocessable", "The request was understood, and is not valid."),
    "default": ("Error", "Any other refusal or failure."),
}


def openapi_document(base_path: str = "/v4") -> dict[str, Json]:
    """The description of all operations, for ``GET /openapi.json``. Made anew by every call: keep it.

    Args:
        base_path: Where the operations are; the probes ``/health`` and ``/ready`` are at the root.
    """
    paths: _Object = {path: {"get": _probe(path, summary)} for path, summary in _PROBES.items()}
    for operation in OPERATIONS:
        paths.setdefault(base_path + operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Humanloop v4 API",
            "version": "4.0.1",
            "description": "A null field of a request means an absent one. Other fields than the documented ones are "
            "ignored where `additionalProperties` does not forbid them.",
        },
        "security": [{"key": []}],
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
        "tags": [operation.id.partition("_")[0]],
        "summary": operation.summary,
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
        for name, kind in schema["properties"].items():
            required = name in schema.get("required", ())
            yield {"in": "query", "required": required, **_query_parameter(name, _without_null(kind))}
    if operation.creates:
        yield {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "A repeated key is answered with the first outcome, and nothing is done twice.",
            "schema": {"type": "string", "minLength": 1},
        }


def _query_parameter(name: str, schema: _Object) -> _Object:
    if schema.get("type") != "object":
        return {"name": name, "schema": schema}
    # Each property is a parameter of its own, with a part of its name free. It may be repeated, too, for which
    # OpenAPI has no words.
    values = schema["additionalProperties"]["items"]
    pattern = name.replace("_filter", "-.+_filter")
    free: _Object = {"type": "object", "patternProperties": {f"^{pattern}$": values}, "additionalProperties": False}
    return {"name": name, "style": "form", "explode": True, "schema": free}


def _without_null(schema: _Object) -> _Object:
    """A query has no null: it leaves the parameter out."""
    options: list[_Object] | None = schema.get("anyOf")
    if options is None or {"type": "null"} not in options:
        return schema
    rest = {name: value for name, value in schema.items() if name not in {"anyOf", "default"}}
    kinds = [option for option in options if option != {"type": "null"}]
    return {**rest, **kinds[0]} if len(kinds) == 1 else {**rest, "anyOf": kinds}


def _success(operation: AnyOperation) -> _Object:
    answer: _Object = {"description": "Success."}
    if operation.status == 204:
        return answer
    schema: _Object
    if operation.response is NoneType:
        schema = {"type": "object"}
    elif (item := _item(operation.response)) is not operation.response:
        schema = {"type": "array", "items": _schema(item)}
    else:
        schema = _schema(operation.response)
    if operation.batch:
        schema = {"anyOf": [{"type": "array", "items": schema}, schema]}
    content: _Object = {"application/json": {"schema": schema}}
    if operation.event is not None:
        content["text/event-stream"] = {
            "schema": {
                "type": "string",
                "description": "With `stream`: the data of each event has the form of the JSON answer, one sample in "
                "`data`, and in its `output` what is new.",
            }
        }
    answer["content"] = content
    return answer


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
            "200": {"description": "It does.", "content": {"application/json": {"schema": schema}}},
            "default": {"$ref": "#/components/responses/Error"},
        },
    }


def _item(kind: Any) -> Any:
    """The Struct that an answer is, or is a list of."""
    return get_args(kind)[0] if get_origin(kind) is ResponseList else kind


def _schema(kind: Any) -> _Object:
    """A reference to the component of a Struct."""
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    return schema


def _components() -> _Object:
    kinds: list[Any] = [ErrorResponse, HTTPValidationError]
    for operation in OPERATIONS:
        kinds += [operation.request, _item(operation.response)]
    _, components = msgspec.json.schema_components([kind for kind in kinds if kind is not NoneType], ref_template=_REF)
    components["ModelConfigRequest"]["required"].remove("type")  # what a log's configuration is unless it says else
    return components
