"""Queries on imported snippet tools: projects of the tool's path, whose configurations hold the texts."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..templates.template import as_text
from .schema import deployments, model_configs, projects


class _Values(Struct):
    setup_values: dict[str, Any]
    tool_type: str = ""


class _Parameters(Struct):
    other: _Values


async def snippet_tools(connection: AsyncConnection, names: Collection[str]) -> dict[str, dict[str, str]]:
    """Return the texts of the snippet tools with these names, by key; tools that do not exist are missing.

    A tool is found by the last part of its path, as in v4's templates. A deployed version precedes the others, a newer
    one the older ones.
    """
    columns = projects.c.name, model_configs.c.parameters
    paths = [projects.c.name.in_(names), *(projects.c.name.endswith(f"/{name}", autoescape=True) for name in names)]
    query = (
        select(*columns)
        .join_from(projects, model_configs, model_configs.c.project_id == projects.c.id)
        .outerjoin(deployments, deployments.c.config_id == model_configs.c.id)
        .where(model_configs.c.type == "tool", or_(*paths))
        .order_by(deployments.c.config_id.is_(None), model_configs.c.created_at.desc(), projects.c.name)
    )
    tools: dict[str, dict[str, str]] = {}
    for row in await connection.execute(query):
        try:
            values = msgspec.convert(row.parameters, _Parameters).other
        except msgspec.ValidationError:  # a tool of another kind
            continue
        if values.tool_type == "snippet":
            texts = {key: as_text(value) for key, value in values.setup_values.items()}
            tools.setdefault(row.name.rpartition("/")[2], texts)
    return tools
