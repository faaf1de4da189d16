"""A model configuration as the server stores it: its parameters, and their identity."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal, Self, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ...types import (
    ChatMessage,
    Json,
    ModelConfigFields,
    ModelConfigTool,
    ReasoningEffort,
    ResponseFormat,
)
from ...wire.requests import drop_nulls


class ModelConfig(Struct, frozen=True, kw_only=True):
    """All parameters of a completion or chat configuration; `stop` is always a list."""

    model: str
    provider: str = "openai"
    endpoint: Literal["complete", "chat", "edit"]
    prompt_template: str | None = None
    chat_template: list[ChatMessage] | None = None
    max_tokens: int = -1
    temperature: float = 1
    top_p: float = 1
    stop: list[str] | None = None
    presence_penalty: float = 0
    frequency_penalty: float = 0
    other: dict[str, Json] = {}
    seed: int | None = None
    response_format: ResponseFormat | None = None
    tools: list[ModelConfigTool] | None = None
    reasoning_effort: ReasoningEffort | None = None
    template_language: Literal["default", "jinja"] = "default"

    @classmethod
    def from_request(cls, request: ModelConfigFields) -> Self:
        """Convert a request's configuration.

        An inline tool loses the id and source that responses add to it, so that a configuration from a response is
        equal to the original.
        """
        fields: dict[str, Any] = {
            name: getattr(request, name) for name in cls.__struct_fields__ if hasattr(request, name)
        }
        stop = [request.stop] if isinstance(request.stop, str) else request.stop
        fields["stop"] = stop or None
        fields["chat_template"] = fields.get("chat_template") or None
        tools: list[ModelConfigTool] = fields.get("tools") or []
        fields["tools"] = [
            tool if tool.source == "organization" or tool.name is None else replace(tool, id=None, source=None)
            for tool in tools
        ] or None
        return cls(**fields)

    def identity(self, project_id: str | None) -> str:
        """Return a SHA-256 in hexadecimal, which is the same for equal parameters in one project.

        It ignores names and descriptions, and the notation of numbers: 1 equals 1.0. Defaults are left out, so that a
        parameter added in a later version changes no identity.
        """
        fields = {
            name: value
            for name, value in cast("dict[str, Json]", msgspec.to_builtins(self)).items()
            if name not in _DEFAULTS or value != _DEFAULTS[name]
        }
        for name in ("chat_template", "tools"):
            if isinstance(items := fields.get(name), list):
                fields[name] = [drop_nulls(cast("Mapping[str, Json]", item)) for item in items]
        canonical = msgspec.json.encode([project_id, _plain(fields)], order="deterministic")
        return hashlib.sha256(canonical).hexdigest()


_DEFAULTS = cast("dict[str, Json]", msgspec.to_builtins(ModelConfig(model="", endpoint="complete")))
del _DEFAULTS["model"], _DEFAULTS["endpoint"]  # they have no defaults


def _plain(value: Json) -> Json:
    """Convert whole floats in a JSON value to integers."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value
