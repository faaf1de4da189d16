"""Queries on ``feedback``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Row, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import FeedbackResponse, FeedbackValue
from .schema import feedback, logs


class FeedbackRow(Struct, kw_only=True):
    """One value of feedback; the fields are columns of ``feedback``."""

    id: str
    log_id: str
    type: str
    value: str
    typed_value: FeedbackValue | None
    user: str | None
    created_at: datetime


_columns = [feedback.c[name] for name in FeedbackRow.__struct_fields__]


async def lock_logs(connection: AsyncConnection, log_ids: Collection[str]) -> Mapping[str, str]:
    """The project of each log that exists; feedback on them waits for the end of this transaction.

    That way feedback that races for one place ends as one, without a unique index over texts of any length.
    """
    query = select(logs.c.id, logs.c.project_id).where(logs.c.id.in_(log_ids))
    # In one order, so that two batches never wait for each other. SQLite has one writer and needs no lock.
    locked = query.order_by(logs.c.id).with_for_update(key_share=True)
    return {row.id: row.project_id for row in await connection.execute(locked)}


async def remove_feedback(
    connection: AsyncConnection, log_id: str, kind: str, user: str | None, values: Collection[str] | None
) -> list[FeedbackRow]:
    """Remove a user's feedback of a kind: those values, or all when they are None.

    Returns:
        What was removed, oldest first.
    """
    removal = delete(feedback).where(feedback.c.log_id == log_id, feedback.c.type == kind, feedback.c.user == user)
    if values is not None:
        removal = removal.where(feedback.c.value.in_(values))
    rows = (await connection.execute(removal.returning(*_columns))).all()
    return sorted((FeedbackRow(**row._mapping) for row in rows), key=lambda row: (row.created_at, row.id))


async def insert_feedback(connection: AsyncConnection, rows: Sequence[FeedbackRow]) -> None:
    """Store feedback, in place of what `remove_feedback` made room for."""
    await connection.execute(insert(feedback), [msgspec.structs.asdict(row) for row in rows])


async def feedback_of(connection: AsyncConnection, log_ids: Collection[str]) -> Mapping[str, list[FeedbackResponse]]:
    """The current feedback on logs, oldest first; a log without any is missing."""
    query = select(*_columns).where(feedback.c.log_id.in_(log_ids)).order_by(feedback.c.created_at, feedback.c.id)
    found: dict[str, list[FeedbackResponse]] = {}
    for row in await connection.execute(query):
        found.setdefault(row.log_id, []).append(_response(row))
    return found


def _response(row: Row[*tuple[Any, ...]]) -> FeedbackResponse:
    return FeedbackResponse(
        id=row.id,
        type=row.type,
        value=row.value if row.typed_value is None else row.typed_value,
        data_id=row.log_id,
        user=row.user,
        created_at=row.created_at,
    )
