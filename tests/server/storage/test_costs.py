"""What the lists of the web page cost does not grow with the number of a project's logs."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks.bench_logs import SPACING, START, fill
from humanloop_async.server.storage.database import Database
from humanloop_async.server.storage.evaluations import aggregates_of_configs
from humanloop_async.server.storage.log_reading import page_of_logs
from humanloop_async.server.storage.projects import project_details, project_page
from humanloop_async.types import ListLogsQuery, ListProjectsQuery

Read = Callable[[AsyncConnection, str, int], Awaitable[object]]


async def first_page(connection: AsyncConnection, project_id: str, count: int) -> object:
    return await page_of_logs(connection, ListLogsQuery(project_id=project_id))


async def deep_page(connection: AsyncConnection, project_id: str, count: int) -> object:
    return await page_of_logs(connection, ListLogsQuery(project_id=project_id, page=2))


async def new_logs(connection: AsyncConnection, project_id: str, count: int) -> object:
    newest = (START + (count - 1) * SPACING).isoformat()
    return await page_of_logs(connection, ListLogsQuery(project_id=project_id, start_date=newest))


async def new_logs_with_a_search(connection: AsyncConnection, project_id: str, count: int) -> object:
    newest = (START + (count - 1) * SPACING).isoformat()
    return await page_of_logs(connection, ListLogsQuery(project_id=project_id, start_date=newest, search="absent"))


async def no_logs_of_a_model(connection: AsyncConnection, project_id: str, count: int) -> object:
    return await page_of_logs(connection, ListLogsQuery(project_id=project_id, model_filter=["absent"]))


async def projects(connection: AsyncConnection, project_id: str, count: int) -> object:
    await project_page(connection, ListProjectsQuery())
    return await project_details(connection, [project_id])


async def means_of_evaluators(connection: AsyncConnection, project_id: str, count: int) -> object:
    return await aggregates_of_configs(connection, project_id)


READS = [
    *(first_page, deep_page, new_logs, new_logs_with_a_search, no_logs_of_a_model),
    *(projects, means_of_evaluators),
]


async def steps(path: Path, count: int, read: Read) -> int:
    """Return the number of instructions that SQLite executes for a read of a project with so many logs."""
    executed = 0

    def step() -> None:
        nonlocal executed
        executed += 1

    database = await Database.open(str(path))
    try:
        project_id = await fill(database, count)
        async with database.read() as connection:
            await read(connection, project_id, count)  # reads the schema
            opened = (await connection.get_raw_connection()).driver_connection
            assert opened is not None
            watch: Callable[[sqlite3.Connection], None] = lambda raw: raw.set_progress_handler(step, 1)  # noqa: E731
            await opened.run(watch)
            await read(connection, project_id, count)
            await opened.run(lambda raw: raw.set_progress_handler(None, 0))
    finally:
        await database.aclose()
    return executed


@pytest.mark.parametrize("read", READS)
async def test_a_list_costs_one_page(read: Read, tmp_path: Path) -> None:
    few = await steps(tmp_path / "few.db", 200, read)
    many = await steps(tmp_path / "many.db", 2000, read)
    assert many < few * 1.2
