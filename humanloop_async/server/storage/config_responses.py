"""Configurations of every type as v4 returns them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import (
    AgentConfigRequest,
    AgentConfigResponse,
    ConfigResponse,
    GenericConfigResponse,
    ModelConfigResponse,
    ToolConfigRequest,
    ToolConfigResponse,
    ToolResponse,
)
from .configs import OtherConfig
from .model_config import ModelConfig
from .schema import model_configs

_STATUS = "committed"
"""The status of every configuration: this server has no drafts, and deleting a configuration removes its row."""


async def config_responses(connection: AsyncConnection, ids: Collection[str]) -> Mapping[str, ConfigResponse]:
    """Return v4 responses for configurations of any type, by id."""
    query = select(
        model_configs.c.id,
        model_configs.c.type,
        model_configs.c.name,
        model_configs.c.description,
        model_configs.c.parameters,
    )
    rows = await connection.execute(query.where(model_configs.c.id.in_(ids)))
    return {row.id: _response(row) for row in rows}


def _response(row: Row[*tuple[Any, ...]]) -> ConfigResponse:
    if row.type == "model":
        config = msgspec.convert(row.parameters, ModelConfig)
        return model_config_response(config, id=row.id, name=row.name, description=row.description)
    common: dict[str, Any] = {"id": row.id, "status": _STATUS, "name": row.name, "description": row.description}
    match msgspec.convert(row.parameters, OtherConfig):
        case ToolConfigRequest() as tool:
            return ToolConfigResponse(
                **common,
                other=tool.other,
                source=tool.source,
                source_code=tool.source_code,
                parameters=tool.parameters,
                preset_name=tool.preset_name,
            )
        case AgentConfigRequest() as agent:
            return AgentConfigResponse(
                **common,
                agent_class=agent.agent_class,
                model_config=agent.model_config,
                other=agent.other,
                tools=agent.tools,
            )
        case generic:
            return GenericConfigResponse(**common, other=generic.other)


def model_config_response(
    config: ModelConfig, *, id: str, name: str | None, description: str | None
) -> ModelConfigResponse:
    """Return the v4 response for a model configuration. An inline tool has no id; its name stands in."""
    fields: dict[str, Any] = {field: getattr(config, field) for field in ModelConfig.__struct_fields__}
    if config.tools is not None:
        fields["tools"] = [
            ToolResponse(
                id=tool.id or tool.name or "",
                name=tool.name or tool.id or "",
                description=tool.description,
                parameters=tool.parameters,
                strict=tool.strict,
                source=tool.source,
                source_code=tool.source_code,
                other=tool.other,
                preset_name=tool.preset_name,
            )
            for tool in config.tools
        ]
    return ModelConfigResponse(id=id, name=name, description=description, **fields)
