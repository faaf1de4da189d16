"""Queries on ``datasets`` and ``datapoints``.

A dataset has numbered versions. A row of ``datapoints`` belongs to the versions from its `version` up to, and without,
its `until`. A change ends a row and adds another one with the same id, so that every earlier version stays readable.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Row, and_, delete, exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import ChatMessage, DatapointFields, DatapointResponse, DatasetResponse, Json
from ..ids import new_id
from .columns import utc_now
from .schema import datapoints, datasets, evaluations


class Dataset(Struct, frozen=True):
    """A dataset's id, project and current version."""

    id: str
    project_id: str
    version: int


class NewDatapoint(DatapointFields, kw_only=True):
    """The contents of a new datapoint, and the log that they are from."""

    source_log_id: str | None = None


_dataset = select(datasets.c.id, datasets.c.project_id, datasets.c.version).where(datasets.c.deleted_at.is_(None))
_is_current = datapoints.c.until.is_(None)
_CONTENT = DatapointFields.__struct_fields__


async def add_dataset(connection: AsyncConnection, project_id: str, name: str, description: str) -> str:
    """Create an empty dataset and return its id. Its first version is 1."""
    now = utc_now()
    dataset_id = new_id("evts")
    values = {"id": dataset_id, "project_id": project_id, "name": name, "description": description, "version": 1}
    await connection.execute(insert(datasets).values(**values, created_at=now, updated_at=now))
    return dataset_id


async def dataset_by_id(connection: AsyncConnection, dataset_id: str) -> Dataset | None:
    """Return a dataset, or None if it does not exist."""
    row = (await connection.execute(_dataset.where(datasets.c.id == dataset_id))).first()
    return Dataset(*row) if row else None


async def lock_datasets(connection: AsyncConnection, dataset_ids: Collection[str]) -> list[Dataset]:
    """Return the datasets that exist, and lock them until the transaction ends, so that each version is made once."""
    query = _dataset.where(datasets.c.id.in_(dataset_ids)).order_by(datasets.c.id).with_for_update(key_share=True)
    return [Dataset(*row) for row in await connection.execute(query)]


async def dataset_responses(
    connection: AsyncConnection,
    *,
    ids: Collection[str] | None = None,
    project_id: str | None = None,
    deleted: bool = False,
) -> list[DatasetResponse]:
    """Return datasets as in v4's responses, newest first: all, those of a project, or some, maybe deleted ones, too."""
    count = select(func.count()).where(datapoints.c.dataset_id == datasets.c.id, _is_current).scalar_subquery()
    columns = [column for column in datasets.columns if column.name != "deleted_at"]
    query = select(*columns, count.label("datapoint_count"))
    if not deleted:
        query = query.where(datasets.c.deleted_at.is_(None))
    if ids is not None:
        query = query.where(datasets.c.id.in_(ids))
    if project_id is not None:
        query = query.where(datasets.c.project_id == project_id)
    rows = await connection.execute(query.order_by(datasets.c.created_at.desc(), datasets.c.id.desc()))
    return [DatasetResponse(**row._mapping) for row in rows]


async def update_dataset(connection: AsyncConnection, dataset_id: str, values: Mapping[str, object]) -> None:
    """Change columns of a dataset, and `updated_at`."""
    await connection.execute(update(datasets).where(datasets.c.id == dataset_id).values(**values, updated_at=utc_now()))


async def has_evaluations(connection: AsyncConnection, dataset_id: str) -> bool:
    """Return whether evaluations use a dataset."""
    return bool(await connection.scalar(select(exists().where(evaluations.c.dataset_id == dataset_id))))


async def delete_dataset(connection: AsyncConnection, dataset: Dataset) -> None:
    """Delete a locked dataset with all versions of its datapoints.

    If evaluations use it, it is only hidden, and its current datapoints end: evaluations keep reading their version.
    """
    this = datasets.c.id == dataset.id
    if not await has_evaluations(connection, dataset.id):
        await connection.execute(delete(datasets).where(this))
        return
    version = await _next_version(connection, dataset)
    await connection.execute(update(datasets).where(this).values(deleted_at=utc_now()))
    current = datapoints.c.dataset_id == dataset.id, _is_current
    await connection.execute(update(datapoints).where(*current).values(until=version))


async def page_of_datapoints(
    connection: AsyncConnection, dataset: Dataset, version: int, *, skip: int, size: int
) -> tuple[list[DatapointResponse], int]:
    """Return some datapoints of a version of a dataset, in the order of their addition, and the number of all."""
    wanted = [datapoints.c.dataset_id == dataset.id, in_version(version)]
    query = select(datapoints).where(*wanted).order_by(datapoints.c.position).limit(size).offset(skip)
    found = [_response(row) for row in await connection.execute(query)]
    total = (await connection.execute(select(func.count()).select_from(datapoints).where(*wanted))).scalar_one()
    return found, total


async def datapoints_by_id(
    connection: AsyncConnection, ids: Sequence[str], version: int | None = None
) -> list[DatapointResponse]:
    """Return datapoints of the current version, or of another one, in the order of `ids`.

    Those that do not exist in that version are missing.
    """
    query = select(datapoints).where(datapoints.c.id.in_(ids), _is_current if version is None else in_version(version))
    found = {row.id: _response(row) for row in await connection.execute(query)}
    return [found[id] for id in ids if id in found]


async def add_datapoints(connection: AsyncConnection, dataset: Dataset, new: Sequence[NewDatapoint]) -> list[str]:
    """Add datapoints to a locked dataset, as its next version, and return their ids."""
    if not new:
        return []
    version = await _next_version(connection, dataset)
    last = select(func.max(datapoints.c.position)).where(datapoints.c.dataset_id == dataset.id)
    position = (await connection.execute(last)).scalar_one() or 0
    now = utc_now()
    rows = [
        {
            "id": new_id("evtc"),
            "dataset_id": dataset.id,
            "version": version,
            "position": position + number,
            "created_at": now,
            "updated_at": now,
            **msgspec.structs.asdict(datapoint),
        }
        for number, datapoint in enumerate(new, 1)
    ]
    await connection.execute(insert(datapoints), rows)
    return [cast("str", row["id"]) for row in rows]


async def change_datapoint(
    connection: AsyncConnection, dataset: Dataset, datapoint_id: str, changes: Mapping[str, object]
) -> None:
    """Change the contents of a datapoint, in the next version of its dataset, which is locked.

    Changes to the present values create no version.
    """
    current = and_(datapoints.c.id == datapoint_id, _is_current)
    row = (await connection.execute(select(datapoints).where(current))).first()
    if row is None:
        return
    values = {**row._mapping, **cast("dict[str, Json]", msgspec.to_builtins(changes))}
    if all(values[name] == row._mapping[name] for name in _CONTENT):
        return
    version = await _next_version(connection, dataset)
    await connection.execute(update(datapoints).where(current).values(until=version))
    await connection.execute(insert(datapoints).values(values | {"version": version, "updated_at": utc_now()}))


async def dataset_ids_of(connection: AsyncConnection, datapoint_ids: Collection[str]) -> Collection[str]:
    """Return the ids of the datasets that have these datapoints in their current version."""
    query = select(datapoints.c.dataset_id).where(datapoints.c.id.in_(datapoint_ids), _is_current).distinct()
    return set(await connection.scalars(query))


async def delete_datapoints(connection: AsyncConnection, dataset: Dataset, ids: Collection[str]) -> None:
    """Delete the datapoints among `ids` that belong to a locked dataset, in its next version."""
    found = datapoints.c.id.in_(ids), datapoints.c.dataset_id == dataset.id, _is_current
    if await connection.scalar(select(datapoints.c.id).where(*found).limit(1)) is not None:
        version = await _next_version(connection, dataset)
        await connection.execute(update(datapoints).where(*found).values(until=version))


async def _next_version(connection: AsyncConnection, dataset: Dataset) -> int:
    await update_dataset(connection, dataset.id, {"version": dataset.version + 1})
    return dataset.version + 1


def in_version(version: int) -> ColumnElement[bool]:
    """Return the condition of the datapoints in a version of their dataset."""
    return and_(datapoints.c.version <= version, or_(_is_current, datapoints.c.until > version))


def _response(row: Row[*tuple[Any, ...]]) -> DatapointResponse:
    return DatapointResponse(
        id=row.id,
        dataset_id=row.dataset_id,
        inputs=row.inputs,
        messages=msgspec.convert(row.messages, list[ChatMessage] | None),
        target=row.target,
        created_at=row.created_at,
        updated_at=row.updated_at,
        source_project_data_id=row.source_log_id,
    )
