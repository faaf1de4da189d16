"""Migrations: they create the tables of the schema, can be undone, and leave newer tables alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from humanloop_async.server.storage import migrations
from humanloop_async.server.storage.database import Database
from humanloop_async.server.storage.errors import DatabaseError
from humanloop_async.server.storage.schema import metadata
from tests.server.served import CHAT, Api, on_both_databases
from tests.server.storage.log_lists import project_id

pytestmark = on_both_databases


def differences(connection: Connection) -> list[object]:
    """Return what a migration would have to change to get from the tables to the schema, as far as Alembic can tell."""
    return list(
        compare_metadata(MigrationContext.configure(connection, opts={"compare_server_default": True}), metadata)
    )


def tables(connection: Connection) -> dict[str, Any]:
    """Describe all tables but Alembic's: their columns, constraints and indexes, each sorted."""
    inspector = inspect(connection)
    found: dict[str, Any] = {}
    for name in sorted(set(inspector.get_table_names()) - {"alembic_version"}):
        columns = [{**column, "type": str(column["type"])} for column in inspector.get_columns(name)]
        constraints = (
            [inspector.get_pk_constraint(name)],
            [{**key, "name": foreign_key_name(connection, key)} for key in inspector.get_foreign_keys(name)],
            inspector.get_unique_constraints(name),
            inspector.get_check_constraints(name),
            [{**index, "dialect_options": options(index)} for index in inspector.get_indexes(name)],
        )
        found[name] = [sorted(map(str, group)) for group in (columns, *constraints)]
    return found


def foreign_key_name(connection: Connection, key: Any) -> str | None:
    """Return the name of a foreign key. On SQLite SQLAlchemy does not see the names of those of added columns."""
    return None if connection.dialect.name == "sqlite" else key["name"]


def options(index: Any) -> dict[str, str]:
    """Return the options of an index, such as the condition of a partial one, as texts, which can be compared."""
    return {name: str(option) for name, option in index.get("dialect_options", {}).items()}


def downgrade(connection: Connection, version: str = "base") -> None:
    """Undo the migrations after a version, by default all."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    command.downgrade(config, version)


async def test_migrations_create_the_tables_of_the_schema_and_can_be_undone(database: Database) -> None:
    async with database.write() as connection:
        assert await connection.run_sync(differences) == []
        migrated = await connection.run_sync(tables)
        await connection.run_sync(downgrade)
        assert await connection.run_sync(tables) == {}
        await connection.run_sync(metadata.create_all)
        assert await connection.run_sync(tables) == migrated
    assert migrated.keys() == metadata.tables.keys()


async def test_a_column_that_the_migrations_lack_is_found(database: Database) -> None:
    """The comparison of the test before can fail."""
    async with database.write() as connection:
        migrated = await connection.run_sync(tables)
        await connection.execute(text("ALTER TABLE projects DROP COLUMN directory_id"))
        assert len(await connection.run_sync(differences)) == 1
        assert await connection.run_sync(tables) != migrated


async def test_shared_contents_return_to_their_logs_when_their_migration_is_undone(
    api: Api, database: Database
) -> None:
    await api.post("/chat", {**CHAT, "num_samples": 2, "inputs": {"a": "Ä"}, "metadata": {"b": "c"}})
    await api.post("/chat", CHAT)
    _, before = await api.call("GET", "/logs", query={"project_id": await project_id(api)})
    async with database.write() as connection:
        await connection.run_sync(downgrade, "0001")
        assert not {"log_contents"} & {*await connection.run_sync(tables)}
    first, second, single = api.logs()
    for row in first, second:
        assert (row["inputs"], row["inputs_folded"], row["metadata"]) == ('{"a":"Ä"}', '{"a":"ä"}', '{"b":"c"}')
        assert row["messages"] == single["messages"]
    async with database.write() as connection:
        await connection.run_sync(migrations.upgrade)
    assert (await api.call("GET", "/logs", query={"project_id": await project_id(api)}))[1] == before


async def test_opening_a_database_again_changes_nothing(database: Database, database_address: str) -> None:
    async def state(database: Database) -> tuple[str | None, dict[str, Any]]:
        async with database.read() as connection:
            return await connection.run_sync(migrations.version), await connection.run_sync(tables)

    before = await state(database)
    assert before[0] == migrations.latest_version()
    again = await Database.open(database_address)
    assert await state(again) == before
    await again.aclose()


async def test_several_processes_may_migrate_a_new_database_at_once(database: Database, database_address: str) -> None:
    async with database.write() as connection:
        await connection.run_sync(downgrade)
    for opened in await asyncio.gather(*(Database.open(database_address) for _ in range(5))):
        async with opened.read() as connection:
            assert await connection.run_sync(migrations.version) == migrations.latest_version()
        await opened.aclose()


async def test_tables_of_a_newer_version_are_left_alone(database: Database, database_address: str) -> None:
    async with database.write() as connection:
        before = await connection.run_sync(tables)
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert not migrations.is_known("9999")
    with pytest.raises(DatabaseError, match="upgrade the server"):
        await Database.open(database_address)
    async with database.write() as connection:
        assert await connection.run_sync(tables) == before
        assert await connection.run_sync(migrations.version) == "9999"


async def test_a_database_of_two_versions_is_an_error(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(text("INSERT INTO alembic_version VALUES ('0003')"))
        with pytest.raises(DatabaseError, match="must have one row"):
            await connection.run_sync(migrations.version)
