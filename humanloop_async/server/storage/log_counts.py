"""Queries on ``log_counts``: the number of a project's logs by day, which saves counting them for each list.

Every writer updates the current day's row, which PostgreSQL locks until commit. Updating it last and sorted keeps the
lock short and prevents deadlocks.
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


class PageStart(Struct, frozen=True):
    """The day and the offset in it at which a page of a project's logs begins; the day is None past the end."""

    day: date | None
    skip: int
    total: int


async def count_logs(connection: AsyncConnection, logs: Iterable[tuple[str, datetime]], step: int = 1) -> None:
    """Add logs to the counts, or subtract them with a `step` of -1. This must be the transaction's last statement.

    Each log is given as its project and its time, in UTC.
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


async def page_start(connection: AsyncConnection, project_id: str, position: int, *, newest_first: bool) -> PageStart:
    """Find the day of the log at a position, from 0, and the total number of logs."""
    query = select(log_counts.c.day, log_counts.c.count).where(log_counts.c.project_id == project_id)
    day = log_counts.c.day
    rows = (await connection.execute(query.order_by(day.desc() if newest_first else day.asc()))).all()
    return _page_start([(day, count) for day, count in rows], position)


def _page_start(days: Sequence[tuple[date, int]], position: int) -> PageStart:
    total = sum(count for _, count in days)
    for day, count in days:
        if position < count:
            return PageStart(day, position, total)
        position -= count
    return PageStart(None, 0, total)
