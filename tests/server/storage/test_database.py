"""Opening databases: migrations, durability settings, values that must survive the way there and back."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, insert, select, text

from humanloop_async.server.storage import migrations
from humanloop_async.server.storage.database import Database, database_url
from humanloop_async.server.storage.errors import DatabaseError
from humanloop_async.server.storage.feedback import label_counts
from humanloop_async.server.storage.keys import add_key, any_key, generate_key, valid_key_id
from humanloop_async.server.storage.schema import api_keys, metadata, projects

_VERSIONS = Path(migrations.__file__).parent / "versions"


async def test_migrations_build_what_the_schema_says_and_run_once(tmp_path: Path) -> None:
    path = str(tmp_path / "new" / "folder" / "x.db")
    for _ in range(2):
        database = await Database.open(path)
        async with database.read() as connection:
            assert await connection.run_sync(_differences) == []
            versions = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalars().all()
            assert versions == [max(path.name[:4] for path in _VERSIONS.glob("0*.py"))]
        await database.aclose()


def _differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


def _downgrade(connection: Connection, version: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    command.downgrade(config, version)


async def test_migrations_can_be_undone(tmp_path: Path) -> None:
    database = await Database.open(str(tmp_path / "x.db"))

    async with database.write() as connection:
        await connection.run_sync(_downgrade, "base")
    async with database.read() as connection:
        tables = await connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'"))
        assert tables.scalars().all() == ["alembic_version"]
    await database.aclose()


async def test_feedback_from_before_is_counted_for_its_config(tmp_path: Path) -> None:
    database = await Database.open(str(tmp_path / "x.db"))
    now = "'2026-01-01 00:00:00'"
    rows = (
        f"projects (id, name, created_at, updated_at) VALUES ('pr_1', 'p', {now}, {now})",
        "model_configs (id, project_id, identity, type, name, parameters, created_at)"
        f" VALUES ('config_1', 'pr_1', 'i', 'model', 'n', '{{}}', {now})",
        "logs (id, project_id, config_id, status, save, created_at, updated_at)"
        f" VALUES ('data_1', 'pr_1', 'config_1', 'complete', 1, {now}, {now})",
        f"feedback (id, log_id, type, value, created_at) VALUES ('ann_1', 'data_1', 'rating', 'good', {now})",
    )
    async with database.write() as connection:
        await connection.run_sync(_downgrade, "0004")
        for row in rows:
            await connection.execute(text(f"INSERT INTO {row}"))
    await database.aclose()
    database = await Database.open(str(tmp_path / "x.db"))
    async with database.read() as connection:
        assert await label_counts(connection, ["config_1"]) == {"config_1": [("rating", "good", 1)]}
    await database.aclose()


async def test_many_may_open_one_new_database_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / "x.db")
    for database in await asyncio.gather(*(Database.open(path) for _ in range(5))):
        await database.aclose()


async def test_tables_of_a_later_version_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    await (await Database.open(str(path))).aclose()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseError, match="upgrade the server"):
        await Database.open(str(path))


async def test_what_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("This is a letter, not a database. " * 100)
    with pytest.raises(DatabaseError, match="file is not a database"):
        await Database.open(str(tmp_path / "x.db"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(DatabaseError, match="cannot open"):
        await Database.open(str(tmp_path / "folder"))


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("a/b.db", "sqlite+aiosqlite"),
        ("sqlite:///a/b.db", "sqlite+aiosqlite"),
        ("postgresql://u:p@127.0.0.1/x", "postgresql+asyncpg"),
        ("postgres://u:p@127.0.0.1/x", "postgresql+asyncpg"),
    ],
)
def test_paths_and_urls_are_understood(given: str, driver: str) -> None:
    assert database_url(given).drivername == driver


@pytest.mark.parametrize("given", [":memory:", "", "sqlite://", "mysql://u:secret@h/x", "://", "x y://z"])
def test_others_are_refused_without_showing_a_password(given: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        database_url(given)
    assert "secret" not in str(caught.value)


async def test_a_commit_is_on_the_disk_and_constraints_hold(tmp_path: Path) -> None:
    database = await Database.open(str(tmp_path / "x.db"))
    for opened in (database.read, database.write):
        async with opened() as connection:
            pragmas = [
                (await connection.execute(text(f"PRAGMA {name}"))).scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            ]
            assert pragmas == ["wal", 2, 1, 1000]  # 2 is FULL
    await database.aclose()


async def test_times_come_back_in_utc_and_sort_as_time(tmp_path: Path) -> None:
    database = await Database.open(str(tmp_path / "x.db"))
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
    await database.aclose()


async def test_keys_are_stored_as_digests_and_can_be_revoked(tmp_path: Path) -> None:
    database = await Database.open(str(tmp_path / "x.db"))
    key = generate_key()
    async with database.write() as connection:
        assert not await any_key(connection)
        await add_key(connection, key, "first")
        await add_key(connection, key, "again")
        assert await any_key(connection)
        assert await valid_key_id(connection, key)
        assert not await valid_key_id(connection, key + "x")
        rows = (await connection.execute(select(api_keys))).all()
        assert len(rows) == 1
        assert key not in str(rows)
        await connection.execute(api_keys.update().values(revoked_at=datetime.now(UTC)))
        assert not await valid_key_id(connection, key)
        assert not await any_key(connection)
    await database.aclose()


@pytest.mark.parametrize("cancels", [1, 2])
async def test_a_query_that_nobody_waits_for_any_more_ends(tmp_path: Path, cancels: int) -> None:
    database = await Database.open(str(tmp_path / "x.db"))
    threads = set(threading.enumerate())

    async def ask() -> None:
        async with database.read() as connection:
            endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
            await connection.execute(text(endless))

    asking = asyncio.create_task(ask())
    await asyncio.sleep(0.1)
    assert set(threading.enumerate()) > threads
    for _ in range(cancels):
        asking.cancel()
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await asyncio.wait([asking])
        await database.aclose()
        while len(asyncio.all_tasks()) > 1 or set(threading.enumerate()) > threads:  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(0.01)
    assert asking.cancelled()
