"""Export a database to a folder: the order of the steps, and the tables."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Column, Table, Text, func, select, tuple_, type_coerce

from ..storage.columns import JsonText, utc_now
from ..storage.database import Database
from ..storage.schema import evaluation_datapoints, evaluation_results, log_counts
from .export_files import Exporter
from .reading import new_folder
from .tables import EXPORTED, OMITTED, kind_of

PAGE = 1000
"""Rows that one statement reads."""


async def export_folder(
    database: Database, folder: Path, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> Mapping[str, int]:
    """Export all data but the API keys.

    Each statement reads a page of rows, so that a server can use the database at the same time. The export has no
    record that was created after its page was read.

    Args:
        database: The database.
        folder: The folder to create; it must be empty or missing.
        progress: Called with the number of logs that have been written, and the number of all.

    Returns:
        The number of records by kind.

    Raises:
        FolderError: The folder is not empty.
        OSError: The folder cannot be written to.
    """
    new_folder(folder)
    (folder / "tables").mkdir()
    (folder / "files").mkdir()
    counts: dict[str, int] = {}
    for table in EXPORTED:
        counts[kind_of(table)] = await _export_table(database, table, folder / "tables" / f"{table.name}.jsonl")
    async with database.read() as connection:
        total = (await connection.execute(select(func.coalesce(func.sum(log_counts.c.count), 0)))).scalar_one()
    exporter = Exporter(database, folder / "files", lambda done: progress(done, total))
    counts["logs"] = await exporter.write()
    (folder / "export.log").write_text(f"{utc_now():%Y-%m-%d %H:%M:%S} | INFO | Exported {counts['logs']} logs\n")
    return {kind: number for kind, number in counts.items() if number}


async def _export_table(database: Database, table: Table, path: Path) -> int:
    number = 0
    with path.open("wb") as file:
        async for row in pages(database, table):
            if table in _STEPS and row["status"] == "running":
                row["status"] = "pending"  # the server that runs the step does not know the new database
            file.write(msgspec.json.encode(row) + b"\n")
            number += 1
    return number


_STEPS = {evaluation_datapoints, evaluation_results}


async def pages(database: Database, table: Table) -> AsyncIterator[dict[str, Any]]:
    """Yield all rows of a table as JSON values, in the order of the primary key."""
    names = [column.name for column in table.columns if column.name not in OMITTED]
    columns = [_as_text(table.c[name]) for name in names]
    key = [*table.primary_key.columns]
    last: tuple[Any, ...] | None = None
    while True:
        query = select(*columns).order_by(*key).limit(PAGE)
        if last is not None:
            query = query.where(tuple_(*key) > tuple_(*last))
        async with database.read() as connection:
            rows = (await connection.execute(query)).all()
        for row in rows:
            yield {name: _json(table.c[name], value) for name, value in zip(names, row, strict=True)}
        if len(rows) < PAGE:
            return
        last = tuple(rows[-1][names.index(column.name)] for column in key)


def _as_text(column: Column[Any]) -> Any:
    # JSON goes from the database into the file without being decoded and encoded again.
    return type_coerce(column, Text).label(column.name) if isinstance(column.type, JsonText) else column


def _json(column: Column[Any], value: Any) -> Any:
    return msgspec.Raw(value.encode()) if isinstance(column.type, JsonText) and value is not None else value
