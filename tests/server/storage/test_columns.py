"""Column types: values come back from both databases as they were stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from sqlalchemy import insert, select

from humanloop_async.server.storage.database import Database
from humanloop_async.server.storage.schema import projects
from tests.server.served import on_both_databases

pytestmark = on_both_databases


async def test_times_are_read_in_utc_and_sorted_as_time(database: Database) -> None:
    times = {
        "aware": datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5))),
        "naive": datetime(2026, 1, 1, 8),
        "utc": datetime(2026, 1, 1, 9, 0, 0, 5, tzinfo=UTC),
    }
    async with database.write() as connection:
        await connection.execute(
            insert(projects),
            [{"id": name, "name": name, "created_at": at, "updated_at": at} for name, at in times.items()],
        )
    async with database.read() as connection:
        rows = (await connection.execute(select(projects.c.id, projects.c.created_at).order_by("created_at"))).all()
    assert [tuple(row) for row in rows] == [
        ("aware", datetime(2026, 1, 1, 7, tzinfo=UTC)),
        ("naive", datetime(2026, 1, 1, 8, tzinfo=UTC)),
        ("utc", datetime(2026, 1, 1, 9, 0, 0, 5, tzinfo=UTC)),
    ]
