"""The keyword arguments of the calls are the parameters and fields that ``/openapi.json`` describes, and no others."""

from __future__ import annotations

import inspect
import re
from typing import Any, NotRequired, Required, get_args, get_origin, get_overloads, get_type_hints

import pytest

from humanloop_async.client import logs, params, projects, record_params, resources
from humanloop_async.sync import logs as sync_logs
from humanloop_async.sync import projects as sync_projects
from humanloop_async.sync import resources as sync_resources
from humanloop_async.wire.openapi import openapi_document
from humanloop_async.wire.operations import OPERATIONS

DOCUMENT: Any = openapi_document("")
SCHEMAS = DOCUMENT["components"]["schemas"]
OPTIONS = set(params.CallOptions.__annotations__)
CLASSES = [
    (getattr(ours, name), getattr(mirror, name))
    for ours, mirror, names in (
        (resources, sync_resources, ("Completions", "Chats")),
        (projects, sync_projects, ("Projects", "ModelConfigs", "Experiments")),
        (logs, sync_logs, ("Logs", "FeedbackApi", "Sessions")),
    )
    for name in names
]
METHODS = [
    pytest.param(vars(ours)[name], getattr(mirror, name), id=f"{ours.__name__}.{name}")
    for ours, mirror in CLASSES
    for name in vars(ours)
    if not name.startswith("_")
]


def operation_of(method: Any) -> Any:
    """What ``/openapi.json`` says of the operation that a method's docstring names."""
    found = re.search(r"Source: Humanloop API v4, (\w+) (/\S+?)\.?(?:\s|$)", method.__doc__)
    assert found, method
    return DOCUMENT["paths"][found[2]][found[1].lower()]


def fields_of(schema: Any) -> tuple[set[str], set[str]]:
    """The properties of an object, or of one in a list, and which of them it must have."""
    if "$ref" in schema:
        return fields_of(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:  # a list of them, or one
        return fields_of(schema["anyOf"][-1])
    return set(schema["properties"]), set(schema.get("required", ()))


def described(operation: Any) -> tuple[set[str], set[str]]:
    """The names of an operation's parameters and body fields, and which of them it must have."""
    given = [parameter for parameter in operation["parameters"] if parameter["in"] in {"path", "query"}]
    names = {parameter["name"] for parameter in given}
    required = {parameter["name"] for parameter in given if parameter["required"]}
    if "requestBody" in operation:
        fields = fields_of(operation["requestBody"]["content"]["application/json"]["schema"])
        names, required = names | fields[0], required | fields[1]
    return names, required


def required_keys(kind: Any) -> set[str]:
    """Of a TypedDict; its own `__required_keys__` do not know of annotations that are text."""
    hints = get_type_hints(kind, include_extras=True).items()
    if kind.__total__:
        return {name for name, hint in hints if get_origin(hint) is not NotRequired}
    return {name for name, hint in hints if get_origin(hint) is Required}


def accepted(method: Any) -> tuple[set[str], set[str]]:
    """The names that a method takes, and those it must be given; keywords are those of its last overload."""
    method = (get_overloads(method) or [method])[-1]
    names: set[str] = set()
    required: set[str] = set()
    for parameter in list(inspect.signature(method).parameters.values())[1:]:
        if parameter.kind is not parameter.VAR_KEYWORD:
            names.add(parameter.name)
            required |= {parameter.name} if parameter.default is parameter.empty else set()
            continue
        (typed,) = get_args(get_type_hints(method)[parameter.name])
        names |= set(typed.__annotations__)
        required |= required_keys(typed)
    return names - OPTIONS - {"body"}, required


@pytest.mark.parametrize(("method", "mirror"), METHODS)
def test_a_method_takes_what_its_operation_does(method: Any, mirror: Any) -> None:
    for either in (method, mirror):
        names, required = accepted(either)
        fields, must = described(operation_of(method))
        # `stream` chooses between two kinds of answer, and so is a method's own matter.
        assert (names - {"stream"}, required - {"stream"}) == (fields - {"stream"}, must)


def test_every_operation_has_a_method() -> None:
    found = {operation_of(method.values[0])["operationId"] for method in METHODS}
    assert found == {operation.id for operation in OPERATIONS}


DICTS = {
    params.FunctionParam: "FunctionTool",
    params.ToolCallParam: "ToolCall",
    params.ChatMessageParam: "ChatMessage",
    params.CompletionModelConfigParam: "ModelConfigCompletionRequest",
    params.ChatModelConfigParam: "ModelConfigChatRequest",
    record_params.PositiveLabelParam: "PositiveLabel",
    record_params.FeedbackLabelParam: "FeedbackLabelRequest",
    record_params.FeedbackTypeParam: "FeedbackTypeRequest",
    record_params.EnvironmentParam: "EnvironmentRequest",
    record_params.FeedbackParam: "Feedback",
    record_params.FeedbackFields: "FeedbackRequest",
    record_params.LogFields: "LogRequest",
}


@pytest.mark.parametrize(("kind", "schema"), DICTS.items(), ids=lambda item: getattr(item, "__name__", item))
def test_a_dict_has_the_fields_of_its_object(kind: Any, schema: str) -> None:
    fields, required = fields_of({"$ref": schema})
    assert set(kind.__annotations__) == fields
    assert required_keys(kind) >= required  # v4 wants the `type` of a tool's call too, of which there is only one
