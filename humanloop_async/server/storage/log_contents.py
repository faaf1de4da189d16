"""Queries on ``log_contents``: what the logs of a call with several samples have in common, stored once.

The row of such a log has a `content_id`, and NULL in the `SHARED` columns. The row of any other log has no `content_id`
and all contents. Read logs with `shown_columns` and `with_contents`, which hide the difference.

PostgreSQL locks the rows of contents after those of logs, sorted by id. A log that is stored with contents that exist
locks them, too, through its foreign key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType
from sqlalchemy import Column, ColumnElement, Text, and_, delete, exists, func, insert, select, type_coerce, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import ChatMessage, Json, ToolResultResponse
from .columns import JsonText
from .schema import log_contents, logs
from .search import contains, folded_json

SHARED = [str(column.name) for column in log_contents.columns if column.name not in ("id", "project_id")]
"""The columns that ``log_contents`` and ``logs`` have in common."""

NOT_SHARED: dict[str, Any] = dict.fromkeys(SHARED)
"""The values of these columns in the row of a log with a `content_id`."""

with_contents = logs.outerjoin(log_contents, logs.c.content_id == log_contents.c.id)
"""What to select `shown` columns from."""


class ContentChange(Struct, kw_only=True):
    """A change of contents that happens while the call runs. The fields are columns; those that are UNSET stay."""

    id: str
    messages: list[ChatMessage] | UnsetType | None = UNSET
    provider_request: dict[str, Json] | UnsetType | None = UNSET
    provider_response: Json | UnsetType = UNSET
    tools: list[ToolResultResponse] | UnsetType | None = UNSET


def shown(column: Column[Any]) -> ColumnElement[Any]:
    """Return a column of a log, in its row or in the contents that it shares."""
    if column.name not in SHARED:
        return column
    return func.coalesce(column, log_contents.c[column.name]).label(column.name)


def shown_columns() -> list[ColumnElement[Any]]:
    """Return all columns of a log. JSON remains text, which goes into a response without being decoded."""
    return [_as_text(shown(column)) for column in logs.columns]


def shared_contains(name: str, text: str, project_id: str, *, on_sqlite: bool) -> ColumnElement[bool]:
    """Return the condition that a log shares contents that have a text in a column, which has a folded copy.

    With `IS NOT NULL` PostgreSQL knows how few logs need that. It searches all contents of the project once, because a
    subquery for each log would keep it from using several processes. SQLite looks at the contents of each log it reads.
    """
    columns = log_contents.c[name], log_contents.c[f"{name}_folded"]
    found = select(log_contents.c.id).where(
        log_contents.c.project_id == project_id, contains(*columns, text, on_sqlite=on_sqlite)
    )
    if on_sqlite:
        found = found.where(log_contents.c.id == logs.c.content_id)
    return and_(logs.c.content_id.is_not(None), logs.c.content_id.in_(found))


async def insert_contents(connection: AsyncConnection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert the contents that new logs share, before the logs.

    Args:
        connection: The connection.
        rows: The columns of the logs, with the `SHARED` ones, but without the copies for searches.
    """
    if contents := {row["content_id"]: row for row in rows if row["content_id"] is not None}:
        await connection.execute(insert(log_contents), [_content(row) for row in contents.values()])


async def stored_contents(connection: AsyncConnection, ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the columns of the contents that exist, by id, and keep them from being deleted. JSON remains text."""
    if not ids:
        return {}
    query = select(*map(_as_text, log_contents.columns)).where(log_contents.c.id.in_(ids)).order_by(log_contents.c.id)
    rows = await connection.execute(query.with_for_update(read=True, key_share=True))
    return {row.id: dict(row._mapping) for row in rows}


async def change_contents(connection: AsyncConnection, changes: Mapping[str, ContentChange]) -> None:
    """Change contents, by id."""
    for id, change in sorted(changes.items()):
        values = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET}
        await connection.execute(update(log_contents).where(log_contents.c.id == id).values(values))


async def delete_unused(connection: AsyncConnection, ids: Collection[str]) -> None:
    """Delete those of the contents that no log has any more."""
    if not ids:
        return
    wanted = log_contents.c.id.in_(ids)
    # Two transactions that delete the last two logs do not see each other's deletions. With the lock, one waits here,
    # and its next statement sees what the other one has deleted.
    await connection.execute(select(log_contents.c.id).where(wanted).order_by(log_contents.c.id).with_for_update())
    await connection.execute(delete(log_contents).where(wanted, _is_unused))


async def unused_contents(connection: AsyncConnection, limit: int) -> Sequence[str]:
    """Return ids of contents that no log has. Servers of version 0.1 leave them when they delete logs."""
    return (await connection.scalars(select(log_contents.c.id).where(_is_unused).limit(limit))).all()


_is_unused = ~exists().where(logs.c.content_id == log_contents.c.id)


def _as_text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return type_coerce(column, Text).label(column.key) if isinstance(column.type, JsonText) else column


def _content(row: Mapping[str, Any]) -> dict[str, Any]:
    content = {name: row.get(name) for name in SHARED}
    copies = {name: folded_json(row[name.removesuffix("_folded")]) for name in SHARED if name.endswith("_folded")}
    return {**content, **copies, "id": row["content_id"], "project_id": row["project_id"]}
