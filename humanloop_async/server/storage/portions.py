"""Delete many rows in short transactions, so that other calls do not wait for one long transaction."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeAlias

from sqlalchemy import ColumnElement, delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from .database import Database, retry_transaction
from .log_contents import delete_unused, unused_contents
from .logs import delete_logs
from .schema import datapoints, datasets, experiments, logs, trials

PORTION = 500
"""Most rows in one transaction."""

_Portion: TypeAlias = Callable[[AsyncConnection], Awaitable[int]]


async def delete_old_logs(database: Database, before: datetime, project_id: str | None = None) -> int:
    """Delete the logs created before a time, with their feedback, and return their number.

    Logs of running generations stay.

    Args:
        database: The database.
        before: The time.
        project_id: The project of the logs; None means all projects.
    """
    conditions = [logs.c.created_at < before, logs.c.status != "running"]
    if project_id is not None:
        conditions.append(logs.c.project_id == project_id)
    deleted = await _in_portions(database, lambda connection: _delete_logs(connection, conditions))
    await _in_portions(database, _delete_unused_contents)
    return deleted


async def delete_contents(database: Database, project_id: str, before: datetime) -> None:
    """Delete a project's logs, datapoints and trials from before a time, as far as possible without locking it."""
    old_logs = [logs.c.project_id == project_id, logs.c.created_at < before]
    await _in_portions(database, lambda connection: _delete_logs(connection, old_logs))
    await _delete_datapoints(database, datasets.c.project_id == project_id)
    await _delete_trials(database, experiments.c.project_id == project_id)


async def delete_datapoints(database: Database, dataset_id: str) -> None:
    """Delete the datapoints of a dataset, all versions of each."""
    await _delete_datapoints(database, datasets.c.id == dataset_id)


async def delete_trials(database: Database, experiment_id: str) -> None:
    """Delete the trials of an experiment."""
    await _delete_trials(database, experiments.c.id == experiment_id)


async def _delete_datapoints(database: Database, of: ColumnElement[bool]) -> None:
    key = tuple_(datapoints.c.id, datapoints.c.version)

    async def portion(connection: AsyncConnection) -> int:
        of_datasets = datapoints.c.dataset_id.in_(select(datasets.c.id).where(of))
        found = select(datapoints.c.id, datapoints.c.version).where(of_datasets).limit(PORTION)
        return (await connection.execute(delete(datapoints).where(key.in_(found)))).rowcount

    await _in_portions(database, portion)


async def _delete_trials(database: Database, of: ColumnElement[bool]) -> None:
    async def portion(connection: AsyncConnection) -> int:
        found = select(trials.c.id).where(trials.c.experiment_id.in_(select(experiments.c.id).where(of))).limit(PORTION)
        return (await connection.execute(delete(trials).where(trials.c.id.in_(found)))).rowcount

    await _in_portions(database, portion)


async def _delete_logs(connection: AsyncConnection, conditions: Sequence[ColumnElement[bool]]) -> int:
    found = select(logs.c.id).where(*conditions).order_by(logs.c.created_at).limit(PORTION)
    ids = (await connection.scalars(found)).all()
    if ids:
        await delete_logs(connection, ids)
    return len(ids)


async def _delete_unused_contents(connection: AsyncConnection) -> int:
    ids = await unused_contents(connection, PORTION)
    await delete_unused(connection, ids)
    return len(ids)


async def _in_portions(database: Database, delete_portion: _Portion) -> int:
    """Repeat a transaction until it deletes nothing. Half of the time belongs to other processes that write."""

    async def transaction() -> int:
        async with database.write() as connection:
            return await delete_portion(connection)

    total = 0
    while True:
        start = time.monotonic()
        deleted = await retry_transaction(transaction)
        total += deleted
        if deleted == 0:
            return total
        await asyncio.sleep(time.monotonic() - start)
