"""Import datasets with all of their versions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..storage.columns import to_utc, utc_now
from ..storage.schema import datapoints, datasets, projects
from ..storage.statements import dialect_insert
from .reading import Damaged, decode, entries, lines, read_record
from .records import Datapoint, Dataset
from .report import Report, place
from .target import Target

BATCH = 500
"""Datapoints in one transaction."""

_datapoints = msgspec.json.Decoder(Datapoint)


class Datasets:
    """Imports datasets. Version n of a dataset is its nth oldest version in the export.

    A dataset of v4 belongs to a project: the one with the name of the dataset's folder, which is created if it is
    missing.

    Args:
        target: The database.
        report: Counts the records.
    """

    def __init__(self, target: Target, report: Report) -> None:
        self._target, self._report = target, report
        self.versions: dict[str, tuple[str, int]] = {}
        """The dataset and the number of each version that was imported."""

    async def add(self, folder: Path, read: Callable[[int], None]) -> None:
        """Import the folder of a dataset.

        Args:
            folder: The folder.
            read: Called with the number of bytes of each datapoint.
        """
        versions = self._versions(folder)
        if not versions:
            return
        newest = versions[-1]
        self._report.found("datasets")
        for number, version in enumerate(versions, 1):
            self.versions[version.version_id] = newest.id, number
        is_new, is_complete = await self._target.run(lambda connection: self._add_dataset(connection, newest, versions))
        (self._report.imported if is_new else self._report.present)("datasets")
        if is_complete:
            await self._count_present(newest.id)
            return
        current: dict[str, tuple[int, bytes]] = {}
        positions: dict[str, int] = {}
        for number, version in enumerate(versions, 1):
            current = await self._add_version(folder, version, number, current, positions, read)

        async def complete(connection: AsyncConnection) -> None:
            if not self._target.dry_run:
                statement = update(datasets).where(datasets.c.id == newest.id, datasets.c.version == 0)
                await connection.execute(statement.values(version=len(versions)))

        await self._target.run(complete)

    async def _count_present(self, dataset_id: str) -> None:
        query = select(func.count()).select_from(datapoints).where(datapoints.c.dataset_id == dataset_id)
        number = await self._target.read(lambda connection: connection.scalar(query)) or 0
        self._report.found("datapoints", number)
        self._report.present("datapoints", number)

    def _versions(self, folder: Path) -> list[Dataset]:
        """Return the versions, oldest first."""
        found: dict[str, Dataset] = {}
        for path in [*entries(folder / "versions", self._report.unreadable), folder / "file.json"]:
            try:
                version = read_record(path, Dataset)
            except Damaged as exc:
                self._report.skip("datasets", place(path), "damaged", str(exc))
            else:
                if version.version_id:
                    found.setdefault(version.version_id, version)
        return sorted(found.values(), key=lambda version: (to_utc(version.created_at or utc_now()), version.version_id))

    async def _add_dataset(
        self, connection: AsyncConnection, newest: Dataset, versions: Sequence[Dataset]
    ) -> tuple[bool, bool]:
        """Insert a dataset with version 0, unless it is present; return whether it is new, and whether it is whole."""
        found = await self._target.present(connection, datasets.c.id, [newest.id], datasets.c.version)
        if newest.id in found:
            return False, (row := found[newest.id]) is None or row.version > 0
        project, _, name = newest.path.rpartition("/")
        created_at = to_utc(versions[0].created_at or utc_now())
        updated_at = to_utc(newest.updated_at or created_at)
        new = {
            "id": newest.id,
            "project_id": await self._project(connection, project or name, created_at),
            "name": newest.name or name,
            "description": newest.description or "",
            "version": 0,
            "created_at": created_at,
            "updated_at": max(created_at, updated_at),
        }
        await self._target.insert(connection, datasets, [new])
        return True, False

    async def _project(self, connection: AsyncConnection, name: str, created_at: datetime) -> str:
        found = await self._target.present(connection, projects.c.name, [name], projects.c.id)
        if name in found:
            return row.id if (row := found[name]) is not None else ""
        # The same id when an interrupted import is repeated.
        id = f"pr_{hashlib.sha256(f'datasets {name}'.encode()).hexdigest()[:21]}"
        new = {"id": id, "name": name, "created_at": created_at, "updated_at": created_at}
        await self._target.insert(connection, projects, [new])
        return id

    async def _add_version(
        self,
        folder: Path,
        version: Dataset,
        number: int,
        before: dict[str, tuple[int, bytes]],
        positions: dict[str, int],
        read: Callable[[int], None],
    ) -> dict[str, tuple[int, bytes]]:
        """Insert the datapoints that are new or changed in a version, and end those that are changed or gone.

        Returns:
            The rows of the version by the datapoint's id: the first version and a digest of each.
        """
        after: dict[str, tuple[int, bytes]] = {}
        new: list[dict[str, Any]] = []
        created_at = version.created_at or utc_now()
        for path in entries(folder / "datapoints" / version.version_id, self._report.unreadable):
            for line_number, line in lines(path):
                where = place(path, line_number)
                try:
                    if isinstance(line, Damaged):
                        raise line
                    point = decode(line, _datapoints)
                    digest = _digest(point)
                except Damaged as exc:
                    self._report.found("datapoints")
                    self._report.skip("datapoints", where, "damaged", str(exc))
                    continue
                read(len(line) + 1)
                if point.id in after:
                    continue
                if (known := before.get(point.id)) is not None and known[1] == digest:
                    after[point.id] = known
                    continue
                after[point.id] = number, digest
                position = positions.setdefault(point.id, len(positions) + 1)
                new.append(_row(point, version.id, number, position, created_at))
                if len(new) >= BATCH:
                    await self._insert(new, folder)
                    new = []
        await self._insert(new, folder)
        ended = [id for id, row in before.items() if after.get(id) != row]
        for start in range(0, len(ended), BATCH):
            await self._end(version.id, {id: before[id][0] for id in ended[start : start + BATCH]}, number)
        return after

    async def _insert(self, rows: Sequence[dict[str, Any]], folder: Path) -> None:
        if not rows:
            return
        column = datapoints.c

        async def insert(connection: AsyncConnection) -> tuple[int, int, list[str]]:
            query = select(column.id, column.version, column.dataset_id).where(
                column.id.in_([row["id"] for row in rows])
            )
            stored = {(row.id, row.version): row.dataset_id for row in await connection.execute(query)}
            foreign = {id for (id, _), dataset_id in stored.items() if dataset_id != rows[0]["dataset_id"]}
            own = [row for row in rows if row["id"] not in foreign]
            new = [row for row in own if (row["id"], row["version"]) not in stored]
            if new and not self._target.dry_run:
                await connection.execute(dialect_insert(connection, datapoints).on_conflict_do_nothing(), new)
            return len(new), len(own) - len(new), sorted(foreign)

        imported, present, foreign = await self._target.run(insert)
        self._report.found("datapoints", len(rows))
        self._report.imported("datapoints", imported)
        self._report.present("datapoints", present)
        for id in foreign:
            self._report.skip("datapoints", str(folder), "the id belongs to another dataset", id)

    async def _end(self, dataset_id: str, rows: dict[str, int], until: int) -> None:
        """End rows, given by id and first version, with a version that does not have them."""
        column = datapoints.c
        statement = (
            update(datapoints)
            .where(column.id == bindparam("point"), column.version == bindparam("first"))
            .where(column.dataset_id == dataset_id, column.until.is_(None))
            .values(until=until)
        )

        async def end(connection: AsyncConnection) -> None:
            if not self._target.dry_run:
                await connection.execute(statement, [{"point": id, "first": first} for id, first in rows.items()])

        await self._target.run(end)


def _digest(point: Datapoint) -> bytes:
    """Return a digest of the contents of a datapoint.

    Raises:
        Damaged: A value cannot be encoded.
    """
    try:
        encoded = msgspec.json.encode([point.inputs, point.messages, point.target], order="sorted")
    except (msgspec.MsgspecError, OverflowError, ValueError) as exc:
        raise Damaged(str(exc)) from exc
    return hashlib.blake2b(encoded, digest_size=16).digest()


def _row(point: Datapoint, dataset_id: str, version: int, position: int, created_at: datetime) -> dict[str, Any]:
    return {
        "id": point.id,
        "version": version,
        "dataset_id": dataset_id,
        "position": position,
        "inputs": point.inputs,
        "messages": point.messages,
        "target": point.target,
        "created_at": created_at,
        "updated_at": created_at,
    }
