"""``/openapi.json``: valid, whole, and in step with the table."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from openapi_spec_validator import validate

from humanloop_async.wire.openapi import openapi_document
from humanloop_async.wire.operations import GENERATION_OPERATIONS, OPERATIONS, Operation

DOCUMENT: Any = json.loads(json.dumps(openapi_document()))
SCHEMAS = DOCUMENT["components"]["schemas"]


def described(operation: Operation[Any, Any]) -> Any:
    return DOCUMENT["paths"]["/v4" + operation.path][operation.method.lower()]


def test_a_standard_validator_finds_nothing() -> None:
    validate(DOCUMENT)


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    text = json.dumps(DOCUMENT)
    used = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert used == set(SCHEMAS)
    assert set(re.findall(r'"#/components/responses/([^"]+)"', text)) == set(DOCUMENT["components"]["responses"])


def test_it_holds_every_operation_and_the_probes() -> None:
    found = {
        (method.upper(), path): described["operationId"]
        for path, item in DOCUMENT["paths"].items()
        for method, described in item.items()
    }
    expected = {(operation.method, f"/v4{operation.path}"): operation.id for operation in OPERATIONS}
    assert found == expected | {("GET", "/health"): "health", ("GET", "/ready"): "ready"}


def test_the_base_path_is_the_servers_own() -> None:
    paths: Any = openapi_document("/api/v4")["paths"]
    assert "/api/v4/projects/{id}" in paths
    assert "/health" in paths


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_an_operation_is_described_whole(operation: Operation[Any, Any]) -> None:
    found = described(operation)
    placed = {(parameter["in"], parameter["name"]) for parameter in found["parameters"]}
    query = getattr(operation.query, "__struct_fields__", ())
    key = {("header", "Idempotency-Key")} if operation.creates else set()
    assert placed == {("path", name) for name in operation.path_parameters} | {("query", name) for name in query} | key
    assert ("requestBody" in found) == (operation.request is not type(None))
    assert set(found["responses"]) == {str(operation.status), "401", "404", "422", "default"}
    content = found["responses"][str(operation.status)].get("content", {})
    assert ("text/event-stream" in content) == (operation in GENERATION_OPERATIONS)
    assert ("application/json" in content) == (operation.status != 204)
    assert "security" not in found


def test_a_key_is_needed_except_for_the_probes() -> None:
    (name,) = DOCUMENT["security"][0]
    assert DOCUMENT["components"]["securitySchemes"][name] == {"type": "apiKey", "in": "header", "name": "X-API-KEY"}
    assert DOCUMENT["paths"]["/health"]["get"]["security"] == []


def parameter(path: str, name: str) -> Any:
    (found,) = [one for one in DOCUMENT["paths"][path]["get"]["parameters"] if one["name"] == name]
    return found


def test_a_query_has_types_defaults_and_bounds_but_no_null() -> None:
    assert parameter("/v4/logs", "project_id") | {"schema": None} == {
        "name": "project_id", "in": "query", "required": True, "description": "Id of the project.", "schema": None,
    }  # fmt: skip
    assert parameter("/v4/logs", "size")["schema"].items() >= {"type": "integer", "default": 50, "minimum": 1}.items()
    assert parameter("/v4/sessions", "page")["schema"].items() >= {"default": 1, "minimum": 1}.items()
    assert parameter("/v4/projects", "filter")["schema"] == {"type": "string"}
    assert parameter("/v4/projects", "order")["schema"]["enum"] == ["asc", "desc"]
    assert parameter("/v4/projects/{id}/configs", "evaluation_aggregates")["schema"] == {"type": "boolean"}
    assert '"null"' not in json.dumps([found.get("parameters") for found in map(described, OPERATIONS)])


def test_both_forms_of_a_422_are_there() -> None:
    schema = DOCUMENT["components"]["responses"]["Unprocessable"]["content"]["application/json"]["schema"]
    assert [option["$ref"].rpartition("/")[2] for option in schema["anyOf"]] == ["HTTPValidationError", "ErrorResponse"]


def test_an_object_or_a_list_is_answered_in_kind() -> None:
    for name, request, answer in [
        ("/v4/logs", "LogRequest", "CreateLogResponse"),
        ("/v4/feedback", "FeedbackRequest", "FeedbackResponse"),
    ]:
        found = DOCUMENT["paths"][name]["post"]
        bodies = (found["requestBody"], found["responses"]["200"])
        for body, kind in zip(bodies, (request, answer), strict=True):
            reference = {"$ref": f"#/components/schemas/{kind}"}
            schema = body["content"]["application/json"]["schema"]
            assert schema == {"anyOf": [{"type": "array", "items": reference}, reference]}


def test_strict_bodies_say_so_and_the_others_do_not() -> None:
    strict = {name for name, schema in SCHEMAS.items() if schema.get("additionalProperties") is False}
    assert strict == {operation.request.__name__ for operation in GENERATION_OPERATIONS} | {
        "ModelConfigChatRequest", "ModelConfigCompletionRequest", "ModelConfigRequest", "ProjectModelConfigRequest",
        "SerializeModelConfigRequest",
    }  # fmt: skip


def test_a_logged_configuration_may_leave_its_type_out() -> None:
    assert SCHEMAS["ModelConfigRequest"]["required"] == ["model"]
    assert "type" in SCHEMAS["ToolConfigRequest"]["required"]


def test_descriptions_come_from_the_docstrings() -> None:
    """Of a class, of its fields, of inherited fields, of a generic class, of a field with another name in Python."""
    assert SCHEMAS["LogRequest"]["description"].endswith("Give one of `config`, `config_id` and `trial_id`.")
    assert SCHEMAS["LogRequest"]["properties"]["trial_id"]["description"].startswith("Id from `get_active_config`")
    assert "must exist" in SCHEMAS["ChatDeployedRequest"]["properties"]["project"]["description"]
    assert SCHEMAS["FeedbackTypeRequest"]["properties"]["class"]["description"].startswith("How values are given")
    assert (
        SCHEMAS["PaginatedData_LogResponse_"]["properties"]["total"]["description"] == "Records of all pages together."
    )
    assert "Attributes:" not in json.dumps(DOCUMENT)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_every_field_of_a_request_is_described(operation: Operation[Any, Any]) -> None:
    if operation.request not in {type(None), list[str]}:
        for name, schema in SCHEMAS[operation.request.__name__]["properties"].items():
            assert schema.get("description"), name
