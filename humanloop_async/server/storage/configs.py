"""Queries on ``model_configs``."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..ids import new_id
from ..model_config import ModelConfig
from .database import insert_missing
from .schema import model_configs


async def config_by_id(connection: AsyncConnection, config_id: str) -> ModelConfig | None:
    """The parameters of the configuration of that id."""
    query = select(model_configs.c.parameters).where(model_configs.c.id == config_id)
    row = (await connection.execute(query)).first()
    return msgspec.convert(row.parameters, ModelConfig) if row else None


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
    """Keep a configuration unless the project has it; the first name given to it stays."""
    identity = config.identity(project_id)
    values = {
        "id": new_id("config"),
        "project_id": project_id,
        "identity": identity,
        "name": name or f"{config.model} {identity[:6]}",
        "description": description,
        "parameters": config,
        "created_at": datetime.now(UTC),
    }
    await insert_missing(connection, model_configs, values)
