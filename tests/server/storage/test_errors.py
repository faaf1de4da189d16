"""Which errors of a statement mean that the database is unreachable."""

from __future__ import annotations

import asyncio
from select import select

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from humanloop_async.server.storage.database import Database
from humanloop_async.server.storage.errors import first_line, is_unreachable
from tests.postgres import Cluster
from tests.server.served import on_both_databases, rows


@on_both_databases
async def test_a_wrong_statement_does_not_mean_that_the_database_is_unreachable(database: Database) -> None:
    for statement in ("SELECT FROM nowhere WHERE", "SELECT * FROM no_such_table"):
        with pytest.raises(DBAPIError) as caught:
            async with database.read() as connection:
                await connection.execute(text(statement))
        assert not is_unreachable(caught.value)
        assert "\n" in str(caught.value)
        assert statement not in first_line(caught.value)


async def test_errors_of_postgresql_are_distinguished_from_errors_of_a_statement(postgres: Cluster) -> None:
    url = postgres.new_database()
    database = await Database.open(url, migrate=False)
    for statement, parameter, unreachable in (
        ("SELECT pg_terminate_backend(pg_backend_pid())", None, True),
        ("DO $$ BEGIN RAISE SQLSTATE '53300'; END $$", None, True),
        ("DO $$ BEGIN RAISE SQLSTATE '25006'; END $$", None, True),
        ("SELECT 1 / 0", None, False),
        ("SELECT CAST(:parameter AS integer)", 2**31, False),
    ):
        with pytest.raises(DBAPIError) as caught:
            async with database.read() as connection:
                await connection.execute(text(statement), {} if parameter is None else {"parameter": parameter})
        assert is_unreachable(caught.value) is unreachable
    await database.aclose()
    postgres.drop(url)


@pytest.mark.parametrize("in_transaction", [True, False])
async def test_a_connection_after_postgresqls_closing_message_is_unreachable(
    postgres: Cluster, *, in_transaction: bool
) -> None:
    """PostgreSQL's closing message arrives one turn of the event loop before the end of the connection."""
    url = postgres.new_database()
    database = await Database.open(url, migrate=False)
    block = database.write if in_transaction else database.read
    async with block() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        other = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar()
    rows(url, "SELECT pg_terminate_backend(?)", other)
    assert select([raw._transport.get_extra_info("socket")], [], [], 10)[0]
    for _ in range(2):  # this task runs before the callbacks of the selector
        await asyncio.sleep(0)
    assert not raw.is_closed()
    with pytest.raises(DBAPIError) as caught:
        async with block() as connection:
            await connection.execute(text("SELECT 1"))
    assert is_unreachable(caught.value)
    async with block() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar() == 1
    await database.aclose()
    postgres.drop(url)
