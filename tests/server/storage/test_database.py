"""Opening databases, transactions, and settings that make commits durable."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sqlalchemy import text

from humanloop_async.server.storage.database import CONNECTIONS, Database, database_url, display_url
from humanloop_async.server.storage.errors import DatabaseError
from tests.server.served import on_both_databases


async def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("This is a letter, not a database. " * 100)
    with pytest.raises(DatabaseError, match="file is not a database"):
        await Database.open(str(tmp_path / "x.db"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(DatabaseError, match="cannot open"):
        await Database.open(str(tmp_path / "folder"))


async def test_a_file_and_its_folders_are_created_only_to_migrate(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "x.db"
    with pytest.raises(DatabaseError, match="there is no such file"):
        await Database.open(str(path), migrate=False)
    assert not path.parent.exists()
    await (await Database.open(str(path))).aclose()
    await (await Database.open(str(path), migrate=False)).aclose()


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("a/b.db", "sqlite+aiosqlite"),
        ("sqlite:///a/b.db", "sqlite+aiosqlite"),
        ("postgresql://u:p@127.0.0.1/x", "postgresql+asyncpg"),
        ("postgres://u:p@127.0.0.1/x", "postgresql+asyncpg"),
    ],
)
def test_paths_and_urls_become_urls_of_sqlalchemy(given: str, driver: str) -> None:
    assert database_url(given).drivername == driver


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (":memory:", "give a file's path"),
        ("", "give a file's path"),
        ("sqlite://", "give a file's path"),
        ("mysql://u:secret@h/x", "mysql is not supported"),
        ("://", "invalid database URL"),
        ("x y://u:secret@z", "invalid database URL"),
    ],
)
def test_other_databases_are_rejected_without_showing_a_password(given: str, message: str) -> None:
    with pytest.raises(DatabaseError, match=message) as caught:
        database_url(given)
    assert "secret" not in str(caught.value)


def test_a_displayed_url_has_no_password_and_a_displayed_path_is_absolute() -> None:
    assert display_url("postgres://u:secret@h/x") == "postgresql://u:***@h/x"
    assert display_url("sqlite:///x.db") == display_url("x.db") == str(Path("x.db").absolute())


async def test_sqlite_commits_to_the_disk_and_checks_foreign_keys(tmp_path: Path) -> None:
    database = await Database.open(str(tmp_path / "x.db"))
    for opened in (database.read, database.write):
        async with opened() as connection:
            pragmas = [
                (await connection.execute(text(f"PRAGMA {name}"))).scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            ]
            assert pragmas == ["wal", 2, 1, 1000]  # 2 is FULL
    await database.aclose()


@on_both_databases
async def test_slow_reads_do_not_block_writes(database: Database) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(CONNECTIONS - CONNECTIONS // 3):  # all that are for reading
            await stack.enter_async_context(database.read())
        async with asyncio.timeout(10), database.write() as connection:
            assert (await connection.execute(text("SELECT 1"))).scalar() == 1


@on_both_databases
async def test_a_unit_of_work_commits_all_or_nothing(database: Database) -> None:
    insert = "INSERT INTO environments (id, name, created_at) VALUES (:id, :name, '2026-01-01 00:00:00')"

    async def names() -> list[str]:
        async with database.read() as connection:
            found = await connection.execute(
                text("SELECT name FROM environments WHERE name <> 'production' ORDER BY 1")
            )
            return list(found.scalars())

    async def add(name: str) -> None:
        async with database.write() as connection:
            await connection.execute(text(insert), {"id": name, "name": name})

    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - leaving the block is what is tested
        async with database.unit_of_work():
            await add("a")
            assert await names() == ["a"]
            raise ZeroDivisionError
    assert await names() == []
    async with database.unit_of_work():
        await add("b")
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - leaving the block is what is tested
            async with database.write():
                await add("c")
                raise ZeroDivisionError
        await add("d")
        assert await asyncio.create_task(names()) == []  # another task
    assert await names() == ["b", "d"]
