"""Queries on ``projects``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import ListProjectsQuery
from ..ids import new_id
from .columns import utc_now
from .idempotency import invalidate
from .schema import log_counts, logs, model_configs, projects
from .statements import insert_or_ignore


class Project(Struct, frozen=True):
    """A project's id and name."""

    id: str
    name: str


class ProjectDetails(Struct, frozen=True):
    """A project's row, the number of its logs, and whether it has configurations."""

    id: str
    name: str
    directory_id: str | None
    created_at: datetime
    updated_at: datetime
    data_count: int
    has_configs: bool


_columns = select(projects.c.id, projects.c.name)


async def project_by_id(connection: AsyncConnection, project_id: str) -> Project | None:
    """Return a project, or None if it does not exist."""
    row = (await connection.execute(_columns.where(projects.c.id == project_id))).first()
    return Project(*row) if row else None


async def project_for_update(connection: AsyncConnection, project_id: str) -> Project | None:
    """Return a project and lock it until the transaction ends, against deletion and other callers of this function.

    The lock does not block the log writer. On SQLite, whose write transactions exclude each other, it is not needed.
    """
    query = _columns.where(projects.c.id == project_id).with_for_update(key_share=True)
    row = (await connection.execute(query)).first()
    return Project(*row) if row else None


async def project_by_name(connection: AsyncConnection, name: str) -> Project | None:
    """Return a project by name, or None if it does not exist."""
    row = (await connection.execute(_columns.where(projects.c.name == name))).first()
    return Project(*row) if row else None


async def add_project(connection: AsyncConnection, name: str, *, directory_id: str | None = None) -> str | None:
    """Create a project and return its id, or None if there is one of that name."""
    now = utc_now()
    project_id = new_id("pr")
    values = {"id": project_id, "name": name, "directory_id": directory_id, "created_at": now, "updated_at": now}
    return project_id if await insert_or_ignore(connection, projects, values) else None


async def update_project(connection: AsyncConnection, project_id: str, values: Mapping[str, object]) -> None:
    """Change columns of a project, and `updated_at`.

    Raises:
        IntegrityError: Another project has the new name.
    """
    await connection.execute(update(projects).where(projects.c.id == project_id).values(**values, updated_at=utc_now()))


async def delete_project(connection: AsyncConnection, project_id: str) -> bool:
    """Delete a project with its configurations, experiments, deployments and logs; return whether it existed."""
    # The lock keeps new logs out, so this invalidates the calls of all logs that will be deleted.
    if (await connection.execute(select(projects.c.id).where(projects.c.id == project_id).with_for_update())).first():
        calls = select(logs.c.call_id).where(logs.c.project_id == project_id, logs.c.call_id.is_not(None))
        await invalidate(connection, calls)
    return (await connection.execute(delete(projects).where(projects.c.id == project_id))).rowcount == 1


async def project_page(connection: AsyncConnection, query: ListProjectsQuery) -> tuple[Sequence[str], int]:
    """Return the ids of a page of projects, in order, and the number of projects on all pages."""
    found = select(projects.c.id)
    if query.filter:
        found = found.where(projects.c.name.icontains(query.filter, autoescape=True))
    column = projects.c[query.sort_by]
    order = (column.asc(), projects.c.id.asc()) if query.order == "asc" else (column.desc(), projects.c.id.desc())
    total = (await connection.execute(select(func.count()).select_from(found.subquery()))).scalar_one()
    ids = await connection.execute(found.order_by(*order).limit(query.size).offset(query.page * query.size))
    return ids.scalars().all(), total


async def project_details(connection: AsyncConnection, project_ids: Collection[str]) -> Sequence[ProjectDetails]:
    """Return projects in the order of `project_ids`; those that do not exist are missing."""
    query = select(
        projects.c.id,
        projects.c.name,
        projects.c.directory_id,
        projects.c.created_at,
        projects.c.updated_at,
        select(func.coalesce(func.sum(log_counts.c.count), 0))
        .where(log_counts.c.project_id == projects.c.id)
        .scalar_subquery(),
        exists().where(model_configs.c.project_id == projects.c.id),
    ).where(projects.c.id.in_(project_ids))
    found = {row[0]: ProjectDetails(*row) for row in await connection.execute(query)}
    return [found[project_id] for project_id in project_ids if project_id in found]
