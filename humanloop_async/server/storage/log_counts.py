"""Queries on ``log_counts``: how many logs a project has of each day, so that nobody needs to count them.

Every transaction that adds or deletes logs counts them as its last step: rows of the current day are everybody's, and
are locked on PostgreSQL until the commit. Always last is also always in one order, so that no two wait for each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from .schema import log_counts
from .statements import dialect_insert


class Place(Struct, frozen=True):
    """A place in a project's logs in order of time: `skip` logs into a day. The day is None past the end."""

    day: date | None
    skip: int
    total: int


async def count_logs(connection: AsyncConnection, logs: Iterable[tuple[str, datetime]], step: int = 1) -> None:
    """Count logs that were added, or, with a `step` of -1, deleted; nothing may follow in the transaction.

    Args:
        logs: The project and the time of each, in UTC.
    """
    days = Counter((project_id, created_at.date()) for project_id, created_at in logs)
    if not days:
        return
    statement = dialect_insert(connection, log_counts)
    more = {"count": log_counts.c.count + statement.excluded.count}
    await connection.execute(
        statement.on_conflict_do_update(index_elements=log_counts.primary_key, set_=more),
        [
            {"project_id": project_id, "day": day, "count": number * step}
            for (project_id, day), number in sorted(days.items())
        ],
    )


async def place_of(connection: AsyncConnection, project_id: str, position: int, *, newest_first: bool) -> Place:
    """Where the log at a position is, from 0, and how many there are."""
    query = select(log_counts.c.day, log_counts.c.count).where(log_counts.c.project_id == project_id)
    day = log_counts.c.day
    rows = (await connection.execute(query.order_by(day.desc() if newest_first else day.asc()))).all()
    return _place([(day, count) for day, count in rows], position)


def _place(days: Sequence[tuple[date, int]], position: int) -> Place:
    total = sum(count for _, count in days)
    for day, count in days:
        if position < count:
            return Place(day, position, total)
        position -= count
    return Place(None, 0, total)
