"""The generated methods accept the parameters and fields that ``/openapi.json`` describes, and document each."""

from __future__ import annotations

import inspect
import re
from typing import Any, Required, get_origin, get_overloads, get_type_hints
from unittest.mock import create_autospec

import pytest

from humanloop_async import AsyncHumanloop, CallOptions, Humanloop
from humanloop_async.client import resources
from humanloop_async.sync import resources as sync_resources
from humanloop_async.types import params
from humanloop_async.wire.openapi import openapi_document
from humanloop_async.wire.operations import OPERATIONS

DOCUMENT: Any = openapi_document("")
SCHEMAS = DOCUMENT["components"]["schemas"]
OPTIONS = set(CallOptions.__annotations__)
METHODS = [
    pytest.param(method, id=f"{module.__name__.split('.')[1]}-{name}.{method.__name__}")
    for module in (resources, sync_resources)
    for name, resource in vars(module).items()
    if inspect.isclass(resource) and resource.__module__ == module.__name__ and name != "Resources"
    for method in vars(resource).values()
    if inspect.isfunction(method)
]


def operation_of(method: Any) -> Any:
    """Return the ``/openapi.json`` entry of the operation that a method's docstring names."""
    found = re.search(r"Source: Humanloop API v4, (\w+) (/\S+?)\.?(?:\s|$)", method.__doc__)
    assert found, method
    return DOCUMENT["paths"][found[2]][found[1].lower()]


def fields_of(schema: Any) -> tuple[set[str], set[str]]:
    """Return the properties of an object, or of the objects in a list, and the required ones."""
    if "$ref" in schema:
        return fields_of(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:  # a list of objects, or one
        return fields_of(schema["anyOf"][-1])
    if schema.get("type") == "array":  # of ids
        return set(), set()
    return set(schema["properties"]), set(schema.get("required", ()))


def described(operation: Any) -> tuple[set[str], set[str]]:
    """Return the names of an operation's parameters and body fields, and the required ones."""
    parameters = [parameter for parameter in operation["parameters"] if parameter["in"] in {"path", "query"}]
    names = {parameter["name"] for parameter in parameters}
    required = {parameter["name"] for parameter in parameters if parameter["required"]}
    if "requestBody" in operation:
        fields = fields_of(operation["requestBody"]["content"]["application/json"]["schema"])
        names, required = names | fields[0], required | fields[1]
    return names, required


def accepted(method: Any) -> tuple[set[str], set[str]]:
    """Return the names of a method's parameters, and the required ones, in its last overload."""
    method = (get_overloads(method) or [method])[-1]
    parameters = list(inspect.signature(method).parameters.values())[1:]
    assert {parameter.name for parameter in parameters} >= OPTIONS
    assert not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters)
    names = {parameter.name.removesuffix("_") for parameter in parameters} - OPTIONS - {"body", "stream"}
    required = {parameter.name for parameter in parameters if parameter.default is parameter.empty}
    return names, required - {"body", "stream"}


@pytest.mark.parametrize("method", METHODS)
def test_a_method_accepts_the_parameters_of_its_operation(method: Any) -> None:
    fields, required = described(operation_of(method))
    names, needed = accepted(method)
    assert names == fields - {"stream"}
    if "body" in inspect.signature(method).parameters and not get_overloads(method):  # a list, or the fields of one
        assert needed < required | {"body"}
    else:
        assert needed == required


@pytest.mark.parametrize("method", METHODS)
def test_a_docstring_describes_every_parameter(method: Any) -> None:
    section = re.search(r"^Args:\n(.*?)\n\n", inspect.getdoc(method) or "", re.DOTALL | re.MULTILINE)
    assert section
    documented = re.findall(r"^    (\w+): \S", section[1], re.MULTILINE)
    assert set(documented) == set(inspect.signature(method).parameters) - {"self"}
    assert len(documented) == len(set(documented))


@pytest.mark.parametrize("method", METHODS)
def test_annotations_can_be_evaluated(method: Any) -> None:
    assert get_type_hints(method).keys() >= OPTIONS | {"return"}


def test_every_operation_has_a_method() -> None:
    found = {operation_of(method.values[0])["operationId"] for method in METHODS}
    assert found == {operation.id for operation in OPERATIONS}


DICTS = {
    match[1]: kind
    for kind in vars(params).values()
    if inspect.isclass(kind) and (match := re.match(r"`(\w+)` as a plain dict", kind.__doc__ or ""))
}


@pytest.mark.parametrize(("schema", "kind"), DICTS.items(), ids=DICTS)
def test_a_dict_has_the_fields_of_its_object(schema: str, kind: Any) -> None:
    fields, required = fields_of({"$ref": schema})
    hints = get_type_hints(kind, include_extras=True)
    assert set(hints) == fields
    assert {name for name, hint in hints.items() if get_origin(hint) is Required} == required


def test_the_usual_objects_can_be_dicts() -> None:
    assert {"ChatMessage", "ModelConfigChatRequest", "ModelConfigTool", "LogRequest", "FeedbackTypeRequest"} <= set(
        DICTS
    )


SHORT_NAMES = """
complete complete_stream complete_deployed complete_deployed_stream complete_experiment complete_experiment_stream
complete_model_config_stream complete_model_configuration complete_model_configuration_stream chat chat_stream
chat_deployed chat_deployed_stream chat_experiment chat_experiment_stream chat_model_config chat_model_configuration
chat_model_config_stream log feedback get_configs
"""


@pytest.mark.parametrize("client", [AsyncHumanloop, Humanloop])
def test_the_short_names_are_methods_of_the_client(client: type) -> None:
    spec = create_autospec(client, instance=True)
    for name in SHORT_NAMES.split():
        method = getattr(client, name)
        assert inspect.isfunction(method)
        assert inspect.getdoc(method)
        with pytest.raises(TypeError):
            getattr(spec, name)(no_such_argument=1)


async def test_a_subclass_can_override_a_short_name() -> None:
    class Mine(AsyncHumanloop):
        async def chat(self, **arguments: Any) -> Any:
            return await super().chat(**arguments, project="mine")

    sent: list[Any] = []

    class Recorder:
        async def send(self, request: Any, *_: Any) -> Any:
            sent.append(request.body)
            raise OSError

        async def aclose(self) -> None:
            """Close nothing."""

    async with Mine(transport=Recorder(), max_retries=0) as client:
        with pytest.raises(OSError):  # noqa: PT011
            await client.chat(messages=[], model_config={"model": "m"})
    assert b'"project":"mine"' in sent[0]
