"""Queries on ``model_configs`` as far as they are about all types of configuration: logs may come with any of them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias, cast

import msgspec
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import (
    AgentConfigRequest,
    AgentConfigResponse,
    ConfigResponse,
    GenericConfigRequest,
    GenericConfigResponse,
    Json,
    ModelConfigResponse,
    ToolConfigRequest,
    ToolConfigResponse,
    ToolResponse,
)
from ...wire.requests import drop_nulls
from ..ids import new_id
from .configs import config_id_by_identity
from .database import insert_or_ignore
from .model_config import ModelConfig
from .schema import experiments, model_configs, trials

OtherConfig: TypeAlias = ToolConfigRequest | GenericConfigRequest | AgentConfigRequest

STATUS = "committed"
"""Of every configuration: there are no drafts here, and what is deleted is gone."""


async def config_of_other_type(connection: AsyncConnection, config: OtherConfig, project_id: str) -> str:
    """The id of a configuration that is not a model's, which is stored unless the project has it."""
    fields = drop_nulls(cast("dict[str, Json]", msgspec.to_builtins(config)))
    canonical = msgspec.json.encode([project_id, fields], order="deterministic")
    identity = hashlib.sha256(canonical).hexdigest()
    values = {
        "id": new_id("config"),
        "project_id": project_id,
        "identity": identity,
        "type": config.type,
        "name": config.name or (config.agent_class if isinstance(config, AgentConfigRequest) else config.type),
        "description": config.description,
        "parameters": config,
        "created_at": datetime.now(UTC),
    }
    await insert_or_ignore(connection, model_configs, values)
    config_id = await config_id_by_identity(connection, identity)
    assert config_id is not None
    return config_id


async def config_exists(connection: AsyncConnection, config_id: str) -> bool:
    """Whether there is a configuration of that id, of whatever type."""
    query = select(model_configs.c.id).where(model_configs.c.id == config_id)
    return (await connection.execute(query)).first() is not None


async def origin_of_trial(connection: AsyncConnection, trial_id: str) -> tuple[str, str] | None:
    """The ids of a trial's project and configuration."""
    query = select(experiments.c.project_id, trials.c.config_id).join_from(experiments, trials)
    row = (await connection.execute(query.where(trials.c.id == trial_id))).first()
    return (row[0], row[1]) if row else None


async def config_responses(connection: AsyncConnection, ids: Collection[str]) -> Mapping[str, ConfigResponse]:
    """Configurations of any type, as v4 answers them."""
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
    common: dict[str, Any] = {"id": row.id, "status": STATUS, "name": row.name, "description": row.description}
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


def model_config_response(config: ModelConfig, *, id: str, name: str, description: str | None) -> ModelConfigResponse:
    """A model's configuration, as v4 answers it. A tool of its own has no id, and goes by its name."""
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
