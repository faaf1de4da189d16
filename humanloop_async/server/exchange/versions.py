"""Versions of v5 as configurations of v4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ...types import (
    AgentConfigRequest,
    ChatMessage,
    GenericConfigRequest,
    Json,
    ModelConfigRequest,
    ModelConfigTool,
    ToolConfigRequest,
)
from ..storage.configs import OtherConfig
from ..storage.model_config import ModelConfig
from .reading import Damaged
from .records import FileType, Function, Version

PREFIXES: dict[str, FileType] = {
    "pr": "prompt",
    "tl": "tool",
    "ds": "dataset",
    "ev": "evaluator",
    "fl": "flow",
    "ag": "agent",
}
"""The type of a file by the prefix of its id."""


def type_of(id: str, given: FileType | None) -> FileType:
    """Return the type of a file; records without a type have an id with a known prefix, or are prompts."""
    return given or PREFIXES.get(id.partition("_")[0], "prompt")


def config_of(version: Version) -> ModelConfig | OtherConfig:
    """Return the configuration of a version.

    Raises:
        Damaged: The version has no model, or a parameter is not valid in v4.
    """
    try:
        match type_of(version.id, version.type):
            case "tool":
                return _tool(version)
            case "agent":
                return _agent(version)
            case "prompt":
                return ModelConfig.from_request(_model(version))
            case _:
                return GenericConfigRequest(
                    name=version.name, description=version.description, other=version.attributes
                )
    except (msgspec.ValidationError, ValueError) as exc:
        raise Damaged(str(exc)) from exc


def model_config(prompt: Mapping[str, Json]) -> ModelConfig:
    """Return the configuration of a prompt that stands inside another record, such as an evaluator.

    Raises:
        Damaged: It has no model, or a parameter is not valid in v4.
    """
    try:
        version = msgspec.convert({**prompt, "id": "prompt", "path": "", "linked_tools": None}, Version)
        return ModelConfig.from_request(_model(version))
    except (msgspec.ValidationError, ValueError) as exc:
        raise Damaged(str(exc)) from exc


def _model(version: Version) -> ModelConfigRequest:
    if not version.model:
        raise Damaged("the version has no model")
    template = version.template
    text = template if isinstance(template, str) else None
    messages: list[ChatMessage] | None = None if isinstance(template, str) else template
    given: dict[str, Any] = {
        name: value
        for name in ModelConfigRequest.__struct_fields__
        if name not in _RENAMED and (value := getattr(version, name, None)) is not None
    }
    return ModelConfigRequest(
        **given,
        endpoint=version.endpoint or ("complete" if text is not None else "chat"),
        prompt_template=text,
        chat_template=messages,
        tools=[*_inline_tools(version), *_linked_tools(version)] or None,
    )


_RENAMED = {"id", "name", "description", "endpoint", "tools", "tool_configs", "prompt_template", "chat_template"}


def _inline_tools(version: Version) -> list[ModelConfigTool]:
    functions = msgspec.convert(version.tools or [], list[Function])
    return [
        ModelConfigTool(
            name=function.name,
            description=function.description,
            strict=function.strict,
            parameters=function.parameters,
        )
        for function in functions
    ]


def _linked_tools(version: Version) -> list[ModelConfigTool]:
    # With its parameters, a linked tool works like an inline one.
    return [
        ModelConfigTool(
            id=tool.id,
            source="organization",
            name=tool.name,
            description=tool.description,
            strict=tool.strict,
            parameters=tool.parameters,
            other={"version_id": tool.version_id} if tool.version_id else None,
        )
        for tool in version.linked_tools or ()
    ]


def _tool(version: Version) -> ToolConfigRequest:
    function = version.function
    other: dict[str, Json] = {
        name: value
        for name in ("tool_type", "setup_values", "signature", "attributes")
        if (value := getattr(version, name))
    }
    return ToolConfigRequest(
        name=(function.name if function else None) or version.name or version.path,
        description=(function.description if function else None) or version.description,
        parameters=function.parameters if function else None,
        strict=function.strict if function else None,
        source_code=version.source_code,
        other=other or None,
    )


def _agent(version: Version) -> AgentConfigRequest:
    # The tools of an agent have a v5 shape with links to files; they are kept as they are.
    tools: list[Json] = [*(version.tools or ())]
    other: dict[str, Json] = {
        "tools": tools,
        "max_iterations": version.max_iterations,
        "attributes": version.attributes,
    }
    bare = msgspec.structs.replace(version, tools=None, linked_tools=None)
    return AgentConfigRequest(
        name=version.name,
        description=version.description,
        agent_class="agent",
        model_config=_model(bare),
        other={name: value for name, value in other.items() if value} or None,
    )
