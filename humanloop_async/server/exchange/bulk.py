"""Insert many rows without SQLAlchemy's conversion of each value, which takes longer than the rest of an import."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from ..storage.columns import PlainText, ShortText, UtcTime, replace_nul, to_utc


class BulkInsert:
    """An insert of rows into a table; a row with a key that exists has no effect.

    Args:
        table: The table.
        names: The columns of the rows. JSON columns get texts.
    """

    def __init__(self, table: Table, names: Collection[str]) -> None:
        self.names = [*names]
        self._in_order: Callable[[Mapping[str, Any]], tuple[Any, ...]] = itemgetter(*self.names)
        columns = [table.c[name] for name in self.names]
        self._times = [index for index, column in enumerate(columns) if isinstance(column.type, UtcTime)]
        self._texts = [index for index, column in enumerate(columns) if isinstance(column.type, ShortText | PlainText)]
        quoted = ", ".join(f'"{name}"' for name in self.names)
        self._statement = f'INSERT INTO "{table.name}" ({quoted}) VALUES (%s) ON CONFLICT DO NOTHING'  # noqa: S608

    async def insert(self, connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows."""
        on_sqlite = connection.dialect.name == "sqlite"
        marks = ", ".join("?" if on_sqlite else f"${number}" for number in range(1, len(self.names) + 1))
        values = [self._values(row, on_sqlite=on_sqlite) for row in rows]
        await connection.exec_driver_sql(self._statement % marks, values)

    def _values(self, row: Mapping[str, Any], *, on_sqlite: bool) -> tuple[Any, ...]:
        values = [*self._in_order(row)]
        for index in self._texts:
            if (text := values[index]) is not None and "\0" in text:
                values[index] = replace_nul(text)
        for index in self._times:
            values[index] = _time(values[index], on_sqlite=on_sqlite)
        return tuple(values)


def _time(value: datetime, *, on_sqlite: bool) -> datetime | str:
    value = to_utc(value)
    return value.replace(tzinfo=None).isoformat(" ", "microseconds") if on_sqlite else value
