"""Records in the shapes of Humanloop's v5 API, built from the rows of our tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from ...types import AgentConfigRequest, GenericConfigRequest, Json, ModelConfigTool, ToolConfigRequest
from ..storage.configs import OtherConfig
from ..storage.model_config import ModelConfig
from .records import FileType

Record = dict[str, Any]


class File(Struct, kw_only=True):
    """The fields that all versions of a file share.

    Attributes:
        path: Path of the file; its last part is its name.
        logs: Number of its logs.
    """

    id: str
    path: str
    type: FileType
    description: str | None = None
    directory_id: str | None = None
    created_at: datetime
    updated_at: datetime
    logs: int = 0


def time(value: datetime | None) -> str | None:
    """Return a time as the export tool writes it: in UTC, without a zone."""
    return None if value is None else value.astimezone(UTC).replace(tzinfo=None).isoformat()


def head(file: File, version_id: str, created_at: datetime, environments: Sequence[Record] = ()) -> Record:
    """Return the fields that a version of any type has."""
    return {
        "path": file.path,
        "id": file.id,
        "directory_id": file.directory_id,
        "name": file.path.rpartition("/")[2] or file.path,
        "description": file.description,
        "readme": None,
        "tags": [],
        "version_id": version_id,
        "version_name": None,
        "version_description": None,
        "type": file.type,
        "environments": [*environments],
        "created_at": time(created_at),
        "updated_at": time(max(created_at, file.updated_at)),
        "created_by": None,
        "last_used_at": time(file.updated_at),
        "attributes": {},
    }


def with_logs(record: Record, file: File, version_logs: int = 0) -> Record:
    """Add the fields of the types that have logs."""
    counts = {"version_logs_count": version_logs, "total_logs_count": file.logs}
    return record | counts | {"inputs": [], "evaluators": [], "evaluator_aggregates": []}


def config_version(record: Record, config: ModelConfig | OtherConfig | None) -> Record:
    """Add the parameters of a configuration to a version; a project without configurations has none."""
    match record["type"], config:
        case "prompt", ModelConfig():
            return record | model_fields(config)
        case "prompt", None:
            return record | {"model": ""}
        case "prompt", _:
            return record | {"model": "", "attributes": _plain(config)}
        case "agent", AgentConfigRequest():
            model = msgspec.convert(_plain(config.model_config), ModelConfig, strict=False)
            tools = (config.other or {}).get("tools") or []
            return record | model_fields(model) | {"tools": tools, "status": "committed"}
        case "agent", _:
            return record | {"model": "", "tools": [], "status": "committed", "attributes": _plain(config)}
        case "tool", ToolConfigRequest():
            return record | _tool_fields(config)
        case "flow", None:
            return record
        case "flow", GenericConfigRequest():
            return record | {"attributes": config.other or {}}
        case _:
            return record | {"attributes": _plain(config)}


def model_fields(config: ModelConfig) -> Record:
    """Return the parameters of a model configuration."""
    plain: Record = _plain(config)
    del plain["prompt_template"], plain["chat_template"]
    tools = config.tools or []
    plain["template"] = config.prompt_template if config.chat_template is None else _plain(config.chat_template)
    plain["tools"] = [_function(tool) for tool in tools if not _is_linked(tool)]
    plain["linked_tools"] = [
        _function(tool) | {"id": tool.id, "version_id": str((tool.other or {}).get("version_id") or tool.id)}
        for tool in tools
        if _is_linked(tool)
    ]
    return plain


def _is_linked(tool: ModelConfigTool) -> bool:
    return tool.id is not None and tool.source == "organization"


def _function(tool: ModelConfigTool) -> Record:
    return {
        "name": tool.name or tool.id or "",
        "description": tool.description or "",
        "strict": tool.strict,
        "parameters": tool.parameters,
    }


def _tool_fields(tool: ToolConfigRequest) -> Record:
    other = tool.other or {}
    function = None
    if tool.parameters is not None:
        function = {
            "name": tool.name,
            "description": tool.description or "",
            "strict": tool.strict,
            "parameters": tool.parameters,
        }
    return {
        "function": function,
        "source_code": tool.source_code,
        "setup_values": other.get("setup_values"),
        "tool_type": other.get("tool_type"),
        "signature": other.get("signature"),
        "attributes": other.get("attributes") or {},
    }


def evaluator_spec(row: Mapping[Any, Any], config: ModelConfig | None) -> Record:
    """Return the definition of an evaluator.

    Args:
        row: The columns of ``evaluators`` and ``evaluator_versions``.
        config: The configuration of an evaluator of the type "llm".
    """
    spec: Record = {
        "arguments_type": row["arguments_type"],
        "return_type": row["return_type"],
        "evaluator_type": row["type"],
    }
    if row["options"]:
        spec["options"] = [{"name": str(option)} for option in row["options"]]
    if row["type"] == "python":
        spec["code"] = row["code"] or ""
    if config is not None:
        spec["prompt"] = model_fields(config) | {"linked_tools": None}
    return spec


def datapoint(row: Mapping[Any, Any]) -> Record:
    """Return a datapoint. Targets of v5 are not null."""
    target: dict[str, Json] = row["target"] or {}
    return {
        "id": row["id"],
        "inputs": row["inputs"] or {},
        "messages": row["messages"] or [],
        "target": {name: value for name, value in target.items() if value is not None},
    }


def judgment(
    id: str, evaluator: msgspec.Raw, log_id: str, value: Json, error: str | None, created_at: datetime
) -> Record:
    """Return the log of an evaluator: its judgment on a log."""
    return {
        "id": id,
        "evaluator": evaluator,
        "judgment": value,
        "error": error,
        "created_at": time(created_at),
        "evaluator_logs": [],
        "parent_id": log_id,
        "log_status": "complete",
    }


def _plain(value: object) -> Any:
    return msgspec.to_builtins(value)
