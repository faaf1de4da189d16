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
from .columns import replace_nul, utc_now
from .model_config import ModelConfig
from .schema import logs, model_configs, projects
from .statements import insert_or_ignore

OtherConfig: TypeAlias = ToolConfigRequest | GenericConfigRequest | AgentConfigRequest
"""A configuration of another type than ``model``; logs may come with one."""


class ConfigDetails(Struct, frozen=True):
    """A configuration's project, and the logs that used it."""

    id: str
    project_id: str
    project_name: str
    created_at: datetime
    last_used: datetime
    num_logs: int


async def config_by_id(connection: AsyncConnection, config_id: str) -> ModelConfig | None:
    """Return a model configuration, or None if there is none with that id and of type ``model``."""
    query = select(model_configs.c.parameters).where(model_configs.c.id == config_id, model_configs.c.type == "model")
    row = (await connection.execute(query)).first()
    return msgspec.convert(row.parameters, ModelConfig) if row else None


async def named_config_by_id(connection: AsyncConnection, config_id: str) -> tuple[ModelConfig, str, str | None] | None:
    """Return a model configuration with its name and description, or None as `config_by_id` does."""
    columns = model_configs.c.parameters, model_configs.c.name, model_configs.c.description
    query = select(*columns).where(model_configs.c.id == config_id, model_configs.c.type == "model")
    row = (await connection.execute(query)).first()
    return (msgspec.convert(row.parameters, ModelConfig), row.name, row.description) if row else None


async def config_exists(connection: AsyncConnection, config_id: str) -> bool:
    """Return whether a configuration of any type exists."""
    query = select(model_configs.c.id).where(model_configs.c.id == config_id)
    return (await connection.execute(query)).first() is not None


async def config_id_by_identity(connection: AsyncConnection, identity: str) -> str | None:
    """Return the id of the configuration with an identity."""
    query = select(model_configs.c.id).where(model_configs.c.identity == identity)
    return await connection.scalar(query)


async def add_config(
    connection: AsyncConnection,
    config: ModelConfig,
    *,
    project_id: str | None,
    name: str | None = None,
    description: str | None = None,
) -> None:
    """Insert a configuration unless the project has an equal one.

    The default name is the model and the start of the identity.
    """
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


def other_identity(config: OtherConfig, project_id: str) -> str:
    """Return a SHA-256 in hexadecimal, which is the same for equal configurations in one project."""
    fields = drop_nulls(cast("dict[str, Json]", msgspec.to_builtins(config)))
    return hashlib.sha256(msgspec.json.encode([project_id, fields], order="deterministic")).hexdigest()


async def get_or_create_other_config(connection: AsyncConnection, config: OtherConfig, project_id: str) -> str:
    """Return the id of a configuration that is not a model's; insert it unless the project has an equal one."""
    identity = other_identity(config, project_id)
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
    """Name a configuration that has the default name of `add_config`; another name stays."""
    default_name = model_configs.c.model + " " + func.substr(model_configs.c.identity, 1, 6)
    await connection.execute(
        update(model_configs)
        .where(model_configs.c.id == config_id, model_configs.c.name == default_name)
        .values(name=name, description=func.coalesce(replace_nul(description), model_configs.c.description))
    )


async def config_details(connection: AsyncConnection, config_ids: Collection[str]) -> dict[str, ConfigDetails]:
    """Return configurations by id; those that do not exist or belong to no project are missing."""
    return {config.id: config for config in await _details(connection, model_configs.c.id.in_(config_ids))}


async def project_configs(connection: AsyncConnection, project_id: str) -> Sequence[ConfigDetails]:
    """Return a project's configurations, newest first."""
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
    """Return the ids among `config_ids` that are model configurations of a project."""
    query = select(model_configs.c.id).where(
        model_configs.c.id.in_(config_ids), model_configs.c.project_id == project_id, model_configs.c.type == "model"
    )
    return set(await connection.scalars(query))


async def mark_registered(connection: AsyncConnection, project_id: str, config_id: str) -> bool:
    """Mark a configuration as registered, and return whether it is the project's first registered one."""
    others = select(model_configs.c.id).where(model_configs.c.project_id == project_id, model_configs.c.is_registered)
    is_first = (await connection.execute(select(~exists(others)))).scalar_one()
    await connection.execute(update(model_configs).where(model_configs.c.id == config_id).values(is_registered=True))
    return bool(is_first)
