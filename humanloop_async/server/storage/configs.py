"""Queries on ``model_configs``."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TypeAlias, cast

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import AgentConfigRequest, GenericConfigRequest, Json, ToolConfigRequest
from ...wire.requests import drop_nulls
from ..ids import new_id
from .columns import utc_now
from .model_config import ModelConfig
from .schema import logs, model_configs, projects
from .statements import insert_or_ignore

OtherConfig: TypeAlias = ToolConfigRequest | GenericConfigRequest | AgentConfigRequest
"""A configuration of another type than ``model``; logs may come with one."""


class ConfigDetails(Struct, frozen=True):
    """Where a configuration belongs, and how it has been used."""

    id: str
    project_id: str
    project_name: str
    created_at: datetime
    last_used: datetime
    num_logs: int


async def config_by_id(connection: AsyncConnection, config_id: str) -> ModelConfig | None:
    """The parameters of the model configuration of that id; other types only come with logs."""
    query = select(model_configs.c.parameters).where(model_configs.c.id == config_id, model_configs.c.type == "model")
    row = (await connection.execute(query)).first()
    return msgspec.convert(row.parameters, ModelConfig) if row else None


async def config_exists(connection: AsyncConnection, config_id: str) -> bool:
    """Whether there is a configuration of that id, of whatever type."""
    query = select(model_configs.c.id).where(model_configs.c.id == config_id)
    return (await connection.execute(query)).first() is not None


async def config_id_by_identity(connection: AsyncConnection, identity: str) -> str | None:
    """The id of the configuration with that identity."""
    query = select(model_configs.c.id).where(model_configs.c.identity == identity)
    return (await connection.execute(query)).scalar()


async def add_config(
    connection: AsyncConnection,
    config: ModelConfig,
    *,
    project_id: str | None,
    name: str | None = None,
    description: str | None = None,
) -> None:
    """Keep a configuration unless the project has it. Without a name it gets one; see `name_config`."""
    identity = config.identity(project_id)
    values = {
        "id": new_id("config"),
        "project_id": project_id,
        "identity": identity,
        "type": "model",
        "model": config.model,
        "name": name or f"{config.model} {identity[:6]}",
        "description": description,
        "parameters": config,
        "created_at": utc_now(),
    }
    await insert_or_ignore(connection, model_configs, values)


async def get_or_create_other_config(connection: AsyncConnection, config: OtherConfig, project_id: str) -> str:
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
        "created_at": utc_now(),
    }
    await insert_or_ignore(connection, model_configs, values)
    config_id = await config_id_by_identity(connection, identity)
    assert config_id is not None
    return config_id


async def name_config(connection: AsyncConnection, config_id: str, name: str, description: str | None) -> None:
    """Give a configuration its first name, in place of one that was made for it; one that was given stays."""
    made = model_configs.c.model + " " + func.substr(model_configs.c.identity, 1, 6)
    await connection.execute(
        update(model_configs)
        .where(model_configs.c.id == config_id, model_configs.c.name == made)
        .values(name=name, description=func.coalesce(description, model_configs.c.description))
    )


async def config_details(connection: AsyncConnection, config_ids: Collection[str]) -> dict[str, ConfigDetails]:
    """The configurations of these ids that belong to projects, by id."""
    found = await _details(connection, model_configs.c.id.in_(config_ids))
    return {config.id: config for config in found}


async def project_configs(connection: AsyncConnection, project_id: str) -> Sequence[ConfigDetails]:
    """A project's configurations, newest first."""
    return await _details(connection, model_configs.c.project_id == project_id)


async def _details(connection: AsyncConnection, condition: ColumnElement[bool]) -> Sequence[ConfigDetails]:
    uses = logs.c.config_id == model_configs.c.id
    query = (
        select(
            model_configs.c.id,
            model_configs.c.project_id,
            projects.c.name,
            model_configs.c.created_at,
            func.coalesce(
                select(func.max(logs.c.created_at)).where(uses).scalar_subquery(), model_configs.c.created_at
            ),
            select(func.count()).where(uses).scalar_subquery(),
        )
        .join(projects, projects.c.id == model_configs.c.project_id)
        .where(condition)
        .order_by(model_configs.c.created_at.desc(), model_configs.c.id.desc())
    )
    return [ConfigDetails(*row) for row in await connection.execute(query)]


async def existing_model_configs(
    connection: AsyncConnection, project_id: str, config_ids: Collection[str]
) -> Collection[str]:
    """Which of these are model configurations of the project."""
    query = select(model_configs.c.id).where(
        model_configs.c.id.in_(config_ids), model_configs.c.project_id == project_id, model_configs.c.type == "model"
    )
    return set((await connection.execute(query)).scalars())


async def mark_registered(connection: AsyncConnection, project_id: str, config_id: str) -> bool:
    """Remember that a configuration was registered; whether it is the project's first one that was."""
    others = select(model_configs.c.id).where(model_configs.c.project_id == project_id, model_configs.c.is_registered)
    is_first = (await connection.execute(select(~exists(others)))).scalar_one()
    await connection.execute(update(model_configs).where(model_configs.c.id == config_id).values(is_registered=True))
    return bool(is_first)
