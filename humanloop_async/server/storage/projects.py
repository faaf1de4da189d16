"""Queries on ``projects``."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..ids import new_id
from .database import insert_missing
from .schema import projects


class Project(Struct, frozen=True):
    """A project's row, as far as generation needs it."""

    id: str
    name: str


_columns = select(projects.c.id, projects.c.name)


async def project_by_id(connection: AsyncConnection, project_id: str) -> Project | None:
    """The project of that id."""
    row = (await connection.execute(_columns.where(projects.c.id == project_id))).first()
    return Project(*row) if row else None


async def project_by_name(connection: AsyncConnection, name: str) -> Project | None:
    """The project of that name."""
    row = (await connection.execute(_columns.where(projects.c.name == name))).first()
    return Project(*row) if row else None


async def add_project(connection: AsyncConnection, name: str) -> None:
    """Make a project of that name unless there is one."""
    now = datetime.now(UTC)
    await insert_missing(connection, projects, {"id": new_id("pr"), "name": name, "created_at": now, "updated_at": now})
