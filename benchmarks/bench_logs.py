"""Measure how long pages of ``GET /logs`` take when a project has many logs.

The program fills a database with the server's statements, unless the database has enough logs, and then reads pages as
the server does. The times are those of the database and of building the response, without HTTP and JSON encoding.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from humanloop_async.server.ids import new_id
from humanloop_async.server.records.feedback import record_feedback
from humanloop_async.server.storage.configs import add_config, config_id_by_identity
from humanloop_async.server.storage.database import Database, display_url
from humanloop_async.server.storage.feedback import Origin
from humanloop_async.server.storage.log_counts import count_logs
from humanloop_async.server.storage.log_reading import page_of_logs
from humanloop_async.server.storage.logs import NewLog, insert_logs
from humanloop_async.server.storage.model_config import ModelConfig
from humanloop_async.server.storage.projects import add_project, project_by_name
from humanloop_async.server.storage.schema import logs, sessions
from humanloop_async.server.storage.sessions import page_of_sessions
from humanloop_async.types import FeedbackRequest, ListLogsQuery

PROJECT = "bench"
MODELS = ("small", "medium", "large", "rare")
START = datetime(2026, 1, 1, tzinfo=UTC)
SPACING = timedelta(seconds=10)  # between two logs
WORDS = ("the", "model", "answered", "a", "question", "about", "boats", "cities", "rivers", "music", "bread", "winter")
RATED = 0.01  # of the logs
SESSION = 10  # logs
BATCH = 10_000


def _rows(count: int, project_id: str, config_ids: list[str], chance: random.Random) -> Iterator[NewLog]:
    session_id = ""
    for number in range(count):
        if number % SESSION == 0:
            session_id = new_id("sesh")
        words = " ".join(chance.choices(WORDS, k=80))
        if number % 100_000 == 77:
            words += " needle"
        yield NewLog(
            id=new_id("data"),
            project_id=project_id,
            config_id=chance.choices(config_ids, weights=(60, 30, 9.9, 0.1))[0],
            session_id=session_id,
            parent_id=None,
            status="complete",
            save=True,
            inputs={"question": words[:200]},
            output=words[100:],
            source=chance.choices(("app", "batch", "test"), weights=(90, 9.9, 0.1))[0],
            metadata={"number": number},
            prompt_tokens=50,
            output_tokens=60,
            created_at=START + number * SPACING,
        )


async def fill(database: Database, count: int) -> str:
    """Add logs until the project has `count` of them; return its id."""
    chance = random.Random(1)
    async with database.write() as connection:
        await add_project(connection, PROJECT)
        project = await project_by_name(connection, PROJECT)
        assert project is not None
        config_ids: list[str] = []
        for model in MODELS:
            config = ModelConfig(model=model, endpoint="complete")
            await add_config(connection, config, project_id=project.id)
            config_ids.append(await config_id_by_identity(connection, config.identity(project.id)) or "")
    async with database.read() as connection:
        existing = await connection.execute(
            select(func.count()).select_from(logs).where(logs.c.project_id == project.id)
        )
        if existing.scalar_one() >= count:
            return project.id
    rows = _rows(count, project.id, config_ids, chance)
    started = time.perf_counter()
    for _ in range(0, count, BATCH):
        batch = [row for _, row in zip(range(BATCH), rows, strict=False)]
        rated = {row.id: Origin(row.project_id, row.config_id) for row in batch if chance.random() < RATED}
        async with database.write() as connection:
            starts = {row.session_id: row.created_at for row in reversed(batch)}
            begun = [{"id": id, "created_at": at, "updated_at": at} for id, at in starts.items()]
            await connection.execute(insert(sessions), begun)
            await insert_logs(connection, batch)
            values = chance.choices(("good", "bad"), k=len(rated))
            given: dict[tuple[str | int, ...], FeedbackRequest] = {
                (id,): FeedbackRequest(type="rating", value=v, data_id=id) for id, v in zip(rated, values, strict=True)
            }
            await record_feedback(connection, rated, given)
            await count_logs(connection, [(row.project_id, row.created_at) for row in batch])
    seconds = time.perf_counter() - started
    print(f"filled in {seconds:.0f} s: {count / seconds:,.0f} logs per second")
    async with database.read() as connection:
        if connection.dialect.name == "postgresql":  # autovacuum would run a minute later
            await connection.execute(text("VACUUM ANALYZE"))
    return project.id


def queries(project_id: str, count: int) -> Iterator[tuple[str, ListLogsQuery]]:
    """Yield the pages to read, with their names."""

    def page(**fields: object) -> ListLogsQuery:
        return ListLogsQuery(project_id=project_id, **fields)  # type: ignore[arg-type]

    day = (START + count // 2 * SPACING).date().isoformat()
    yield "first page", page()
    yield "a quarter in", page(page=count // 200)
    yield "middle page", page(page=count // 100)
    yield "last page", page(page=count // 50 - 1)
    yield "first page of 1,000 logs", page(size=1000)
    yield "one day", page(start_date=day, end_date=day)
    yield "model of 10 %", page(model_filter=["large"])
    yield "model of 0.1 %", page(model_filter=["rare"])
    yield "source of 10 %", page(source_filter=["batch"])
    yield "source of 0.1 %", page(source_filter=["test"])
    yield "rated good (0.5 %)", page(feedback_filter={"rating": ["good"]})
    yield "search, in every log", page(search="BREAD")
    yield "search, in 0.001 %", page(search="Needle")
    yield "search the metadata", page(metadata_search=":12345}")
    yield "oldest first", page(sort=["timestamp.asc"])
    yield "sorted by model", page(sort=["model.asc"])
    yield "sorted by rating", page(sort=["feedback-rating.desc"])


async def measure(database: Database, project_id: str, count: int, rounds: int) -> None:
    """Read each page several times and print the median."""

    async def read(name: str, page: Callable[[AsyncConnection], Awaitable[tuple[object, int]]]) -> None:
        times: list[float] = []
        total = 0
        for _ in range(rounds):
            started = time.perf_counter()
            async with database.read() as connection:
                _, total = await page(connection)
            times.append(time.perf_counter() - started)
        print(f"{name:28} {statistics.median(times) * 1000:9.1f} ms   of {total:,}", flush=True)

    for name, query in queries(project_id, count):
        await read(name, partial(page_of_logs, query=query))
    for name, skip in (("sessions, first page", 0), ("sessions, middle page", count // SESSION // 2)):
        await read(name, partial(page_of_sessions, project_id=project_id, skip=skip, size=10))


async def run(address: str, count: int, rounds: int) -> None:
    """Fill and measure one database."""
    print(f"{display_url(address)}, {count:,} logs, median of {rounds}")
    database = await Database.open(address)
    try:
        await measure(database, await fill(database, count), count, rounds)
    finally:
        await database.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_logs", description=__doc__)
    parser.add_argument("--logs", type=int, default=1_000_000, help="number of logs (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="times to read each page (default: %(default)s)")
    parser.add_argument("--db", help="SQLite file or postgresql:// URL to fill and keep (default: temporary file)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-logs-") as folder:
        asyncio.run(run(chosen.db or str(Path(folder) / "logs.db"), chosen.logs, chosen.rounds))


if __name__ == "__main__":
    main()
