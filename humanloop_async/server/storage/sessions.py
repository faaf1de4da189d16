"""Queries on ``sessions``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import SessionProjectResponse, SessionResponse
from ..ids import new_id
from .columns import utc_now
from .log_contents import shown, with_contents
from .schema import logs, projects, sessions
from .statements import insert_or_ignore


async def session_exists(connection: AsyncConnection, session_id: str) -> bool:
    """Return whether a session exists."""
    return (await connection.execute(select(sessions.c.id).where(sessions.c.id == session_id))).first() is not None


async def session_id_by_reference(connection: AsyncConnection, reference_id: str) -> str | None:
    """Return the id of the session with the caller's reference."""
    return await connection.scalar(select(sessions.c.id).where(sessions.c.reference_id == reference_id))


async def session_reference(connection: AsyncConnection, session_id: str) -> str | None:
    """Return the caller's reference of a session, if it has one."""
    return await connection.scalar(select(sessions.c.reference_id).where(sessions.c.id == session_id))


async def add_session(connection: AsyncConnection, reference_id: str | None) -> str:
    """Create a session, unless there is one with that reference.

    Returns:
        An id, which belongs to the session only if it is new. For the id in either case, use
        `session_id_by_reference`.
    """
    now, session_id = utc_now(), new_id("sesh")
    values = {"id": session_id, "reference_id": reference_id, "created_at": now, "updated_at": now}
    await insert_or_ignore(connection, sessions, values)
    return session_id


async def page_of_sessions(
    connection: AsyncConnection, project_id: str, *, skip: int, size: int
) -> tuple[list[SessionResponse], int]:
    """Return a page of the sessions with logs of a project, newest first, and the number of all such sessions."""
    of_both = select(logs.c.id).where(logs.c.session_id == sessions.c.id, logs.c.project_id == project_id)
    has_logs = of_both.exists()
    total = (await connection.execute(select(func.count()).select_from(sessions).where(has_logs))).scalar_one()
    newest = select(sessions.c.id).where(has_logs).order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
    found = await connection.execute(newest.limit(size).offset(skip))
    return await sessions_by_id(connection, [*found.scalars()]), total


async def sessions_by_id(connection: AsyncConnection, ids: Sequence[str]) -> list[SessionResponse]:
    """Return sessions in the order of `ids`; those that do not exist are missing."""
    of_session = logs.c.session_id == sessions.c.id
    first = select(shown(logs.c.inputs)).select_from(with_contents).where(of_session)
    first = first.order_by(logs.c.created_at, logs.c.id).limit(1)
    last = select(logs.c.output).where(of_session).order_by(logs.c.created_at.desc(), logs.c.id.desc()).limit(1)
    query = select(
        sessions,
        first.scalar_subquery().label("first_inputs"),
        last.scalar_subquery().label("last_output"),
        select(func.count()).select_from(logs).where(of_session).scalar_subquery().label("datapoints_count"),
        select(func.max(logs.c.updated_at)).where(of_session).scalar_subquery().label("last_log_at"),
    ).where(sessions.c.id.in_(ids))
    rows = {row.id: row for row in await connection.execute(query)}
    projects_of = await _projects_of(connection, ids)
    return [
        SessionResponse(
            id=id,
            reference_id=row.reference_id,
            projects=projects_of.get(id, []),
            datapoints_count=row.datapoints_count,
            first_inputs=row.first_inputs,
            last_output=row.last_output,
            created_at=row.created_at,
            updated_at=max(row.updated_at, row.last_log_at or row.updated_at),
        )
        for id in ids
        if (row := rows.get(id)) is not None
    ]


async def _projects_of(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, list[SessionProjectResponse]]:
    query = (
        select(logs.c.session_id, projects.c.id, projects.c.name)
        .join_from(logs, projects, logs.c.project_id == projects.c.id)
        .where(logs.c.session_id.in_(ids))
        .distinct()
        .order_by(projects.c.name)
    )
    found: dict[str, list[SessionProjectResponse]] = {}
    for session_id, project_id, name in await connection.execute(query):
        # v4 has only this type; the field was added for its successor.
        project = SessionProjectResponse(id=project_id, name=name, type="prompt")
        found.setdefault(session_id, []).append(project)
    return found
