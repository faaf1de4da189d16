"""The rows of tables as JSON lines: the part of an export that makes it complete.

The layout of Humanloop's export tool has no place for experiments, sessions, kinds of feedback and other things of v4,
so that an export also has the folder ``tables``. An import of such a folder reads everything but the logs from there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy import Boolean, Column, Date, Float, Integer, Table, insert, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ..storage.columns import JsonText, PlainText, UtcTime
from ..storage.configs import OtherConfig
from ..storage.model_config import ModelConfig
from ..storage.schema import (
    api_keys,
    environments,
    idempotency,
    log_contents,
    log_counts,
    logs,
    metadata,
    model_configs,
    projects,
    servers,
)
from .reading import Damaged, decode, lines
from .records import Count, Id
from .report import Report, place
from .target import Target

BATCH = 500
"""Rows in one transaction."""

EXPORTED = [
    table
    for table in metadata.sorted_tables
    # No secrets, no state of servers, and no logs, which are in `files`.
    if table not in {api_keys, idempotency, log_contents, log_counts, logs, servers}
]
"""The tables in the folder, in an order in which rows come after those that they refer to."""

OF_LOGS = [table for table in EXPORTED if any(key.column.table is logs for key in table.foreign_keys)]
"""The tables whose rows refer to logs."""

OMITTED = {"owner"}
"""Columns with the state of servers."""


class TableImport:
    """Imports the rows of tables.

    Args:
        target: The database.
        report: Counts the rows.
        folder: The folder with the files of the tables.
    """

    def __init__(self, target: Target, report: Report, folder: Path) -> None:
        self._target, self._report, self._folder = target, report, folder
        self._environments: dict[str, str] = {}  # ids in the database by those in the export, if they differ

    async def add(self, tables: Sequence[Table], read: Callable[[int], None]) -> None:
        """Import tables, in this order.

        Args:
            tables: The tables.
            read: Called with the number of bytes of each row.
        """
        for table in tables:
            path = self._folder / f"{table.name}.jsonl"
            if not path.exists():
                continue
            decoder = msgspec.json.Decoder(row_type(table))
            batch: list[tuple[str, dict[str, Any]]] = []
            for number, line in lines(path):
                where, kind = place(path, number), kind_of(table)
                self._report.found(kind)
                try:
                    if isinstance(line, Damaged):
                        raise line
                    row = msgspec.structs.asdict(decode(line, decoder))
                    _check(table, row)
                except Damaged as exc:
                    self._report.skip(kind, where, "damaged", str(exc))
                    continue
                read(len(line) + 1)
                batch.append((where, row))
                if len(batch) == BATCH:
                    await self._add(table, batch)
                    batch = []
            await self._add(table, batch)

    async def _add(self, table: Table, batch: Sequence[tuple[str, dict[str, Any]]]) -> None:
        kind = kind_of(table)
        try:
            imported = await self._insert(table, [row for _, row in batch])
        except IntegrityError:
            # A row refers to a row that is missing, or has a value that must be unique. Find it, row by row.
            imported = 0
            for where, row in batch:
                try:
                    inserted = await self._insert(table, [row])
                except IntegrityError as exc:
                    reason = str(exc.orig).partition("\n")[0]
                    self._report.skip(kind, where, "it contradicts the database", reason)
                else:
                    imported += inserted
                    self._report.present(kind, 1 - inserted)
        else:
            self._report.present(kind, len(batch) - imported)
        self._report.imported(kind, imported)

    async def _insert(self, table: Table, rows: Sequence[dict[str, Any]]) -> int:
        """Insert the rows that are missing, and return their number."""
        key = [*table.primary_key.columns]

        async def insert_missing(connection: AsyncConnection) -> int:
            adapted = [row for row in [await self._adapt(connection, table, row) for row in rows] if row is not None]
            keys = [tuple(row[column.name] for column in key) for row in adapted]
            stored = {tuple(row) for row in await connection.execute(select(*key).where(tuple_(*key).in_(keys)))}
            new = [row for row, values in zip(adapted, keys, strict=True) if values not in stored]
            if new and not self._target.dry_run:
                await connection.execute(insert(table), new)
            return len(new)

        return await self._target.run(insert_missing) if rows else 0

    async def _adapt(self, connection: AsyncConnection, table: Table, row: dict[str, Any]) -> dict[str, Any] | None:
        """Return a row as this database needs it, or None if the database has another row in its place.

        Environments keep the ids that a server has given them. A project whose name is taken gets its id as a part of
        its name, and a configuration that is equal to another one gets another identity.
        """
        if (environment_id := row.get("environment_id")) in self._environments:
            return row | {"environment_id": self._environments[environment_id]}
        if table not in _UNIQUE:
            return row
        column = table.c[_UNIQUE[table]]
        other = await connection.scalar(select(table.c.id).where(column == row[column.name], table.c.id != row["id"]))
        if other is None:
            return row
        if table is environments:
            self._environments[row["id"]] = other
            return None
        value = f"{row[column.name]} ({row['id']})"
        if table is model_configs:
            return row | {"identity": hashlib.sha256(value.encode()).hexdigest()}
        if not await connection.scalar(select(table.c.id).where(table.c.id == row["id"])):
            self._report.rename(str(self._folder / f"{table.name}.jsonl"), row["name"], value)
        return row | {"name": value}


_UNIQUE = {projects: "name", environments: "name", model_configs: "identity"}


def kind_of(table: Table) -> str:
    """Return the name of a table in a report."""
    return table.name.replace("_", " ")


def row_type(table: Table) -> type[msgspec.Struct]:
    """Return the type of a table's rows in JSON."""
    fields: list[Any] = []
    for column in table.columns:
        if column.name not in OMITTED:
            kind: Any = _type(column)
            fields.append((str(column.name), kind | None, None) if column.nullable else (str(column.name), kind))
    return msgspec.defstruct(str(table.name), fields, kw_only=True)


def _type(column: Column[Any]) -> Any:
    match column.type:
        case JsonText():
            return Any
        case UtcTime():
            return datetime
        case Date():
            return date
        case Boolean():
            return bool
        case Integer():
            return Count
        case Float():
            return float
        case PlainText():
            return str
        case _ if column.name == "id" or column.name.endswith("_id"):
            return Id
        case _:
            return Annotated[str, Meta(max_length=255)]


def _check(table: Table, row: Mapping[str, Any]) -> None:
    """Check the values that the server decodes.

    Raises:
        Damaged: The server could not decode a value.
    """
    try:
        if table is model_configs:
            msgspec.convert(row["parameters"], ModelConfig if row["type"] == "model" else OtherConfig)
    except msgspec.ValidationError as exc:
        raise Damaged(str(exc)) from exc
