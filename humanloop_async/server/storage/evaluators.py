"""Queries on ``evaluators``, their versions, and the evaluators that are active on projects.

A change of anything but the name and the description creates a version. Evaluations and results refer to versions, so
a deleted evaluator that they refer to is only hidden.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Row, and_, delete, exists, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import (
    EvaluatorArgumentsType,
    EvaluatorResponse,
    EvaluatorReturnType,
    EvaluatorType,
    Json,
    ModelConfigResponse,
)
from ..ids import new_id
from .columns import utc_now
from .config_responses import config_responses
from .projects import add_project
from .schema import evaluation_evaluators, evaluation_results, evaluator_versions, evaluators, project_evaluators

RUN_BY_SERVER = ("llm", "python")
"""The types of evaluators that the server runs; the results of the others are sent to it."""


class EvaluatorVersion(Struct, frozen=True, kw_only=True):
    """The contents of a version of an evaluator. The fields are columns.

    Attributes:
        config_id: Id of an llm evaluator's model configuration, which belongs to no project.
        options: The values of a select or multi_select evaluator.
    """

    arguments_type: EvaluatorArgumentsType
    return_type: EvaluatorReturnType
    code: str | None = None
    config_id: str | None = None
    options: list[Json] | None = None


class Evaluator(Struct, frozen=True, kw_only=True):
    """An evaluator in one of its versions."""

    id: str
    type: EvaluatorType
    name: str
    version_id: str
    version: EvaluatorVersion


_CONTENT = EvaluatorVersion.__struct_fields__
_of_version = select(
    evaluators, evaluator_versions.c.id.label("version_id"), *(evaluator_versions.c[name] for name in _CONTENT)
).join(evaluator_versions, evaluator_versions.c.evaluator_id == evaluators.c.id)
_is_current = and_(evaluator_versions.c.number == evaluators.c.version, evaluators.c.deleted_at.is_(None))


async def add_evaluator(
    connection: AsyncConnection, type: EvaluatorType, name: str, description: str, version: EvaluatorVersion
) -> str:
    """Create an evaluator with its first version, and return its id."""
    now = utc_now()
    evaluator_id = new_id("evfn")
    values = {"id": evaluator_id, "type": type, "name": name, "description": description, "version": 1}
    await connection.execute(insert(evaluators).values(**values, created_at=now, updated_at=now))
    await _add_version(connection, evaluator_id, 1, version)
    return evaluator_id


async def current_evaluators(connection: AsyncConnection, ids: Collection[str]) -> dict[str, Evaluator]:
    """Return evaluators in their current versions by id; deleted ones are missing."""
    rows = await connection.execute(_of_version.where(evaluators.c.id.in_(ids), _is_current))
    return {row.id: _evaluator(row) for row in rows}


async def evaluators_in_versions(connection: AsyncConnection, version_ids: Collection[str]) -> dict[str, Evaluator]:
    """Return evaluators in these versions by the version's id, also deleted ones."""
    rows = await connection.execute(_of_version.where(evaluator_versions.c.id.in_(version_ids)))
    return {row.version_id: _evaluator(row) for row in rows}


async def lock_evaluator(connection: AsyncConnection, evaluator_id: str) -> Evaluator | None:
    """Return an evaluator in its current version, and lock it until the transaction ends."""
    lock = select(evaluators.c.id).where(evaluators.c.id == evaluator_id, evaluators.c.deleted_at.is_(None))
    if await connection.scalar(lock.with_for_update(key_share=True)) is None:
        return None
    return (await current_evaluators(connection, [evaluator_id])).get(evaluator_id)


async def update_evaluator(
    connection: AsyncConnection, evaluator: Evaluator, values: Mapping[str, str], version: EvaluatorVersion
) -> None:
    """Change columns of a locked evaluator, and create a version if `version` differs from the current one."""
    number = evaluators.c.version + int(version != evaluator.version)
    changed = update(evaluators).where(evaluators.c.id == evaluator.id)
    changed = changed.values(**values, version=number, updated_at=utc_now())
    current = (await connection.execute(changed.returning(evaluators.c.version))).scalar_one()
    if version != evaluator.version:
        await _add_version(connection, evaluator.id, current, version)


async def delete_evaluator(connection: AsyncConnection, evaluator_id: str) -> bool:
    """Delete an evaluator; only hide it if an evaluation or a result has it. Return whether it existed."""
    if await lock_evaluator(connection, evaluator_id) is None:
        return False
    await connection.execute(delete(project_evaluators).where(project_evaluators.c.evaluator_id == evaluator_id))
    users = [select(table).where(table.c.evaluator_id == evaluator_id) for table in _USERS]
    this = evaluators.c.id == evaluator_id
    if await connection.scalar(select(or_(*map(exists, users)))):
        await connection.execute(update(evaluators).where(this).values(deleted_at=utc_now()))
    else:
        await connection.execute(delete(evaluators).where(this))
    return True


async def evaluator_ids(connection: AsyncConnection) -> Sequence[str]:
    """Return the ids of all evaluators, newest first."""
    query = select(evaluators.c.id).where(evaluators.c.deleted_at.is_(None))
    return [*await connection.scalars(query.order_by(evaluators.c.created_at.desc(), evaluators.c.id.desc()))]


async def logging_projects(connection: AsyncConnection, evaluator_ids: Collection[str]) -> dict[str, str]:
    """Return the ids of the projects that evaluators have their logs in, by the evaluator's id."""
    columns = evaluators.c.id, evaluators.c.logging_project_id
    rows = await connection.execute(select(*columns).where(evaluators.c.id.in_(evaluator_ids)))
    return {row.id: row.logging_project_id for row in rows if row.logging_project_id is not None}


async def logging_project(connection: AsyncConnection, evaluator: Evaluator) -> str:
    """Return the id of the project for an evaluator's logs, which is created if it does not exist."""
    query = select(evaluators.c.logging_project_id).where(evaluators.c.id == evaluator.id)
    project_id = await connection.scalar(query.with_for_update(key_share=True))
    if project_id is None:
        name = f"{evaluator.name} ({evaluator.id})"  # names of projects are unique, those of evaluators are not
        project_id = await add_project(connection, name) or await add_project(connection, f"{name} {new_id('pr')}")
        used = update(evaluators).where(evaluators.c.id == evaluator.id)
        await connection.execute(used.values(logging_project_id=project_id))
    return str(project_id)


async def is_logging_project(connection: AsyncConnection, project_id: str) -> bool:
    """Return whether a project is for the logs of an evaluator."""
    query = select(evaluators.c.id).where(evaluators.c.logging_project_id == project_id).limit(1)
    return await connection.scalar(query) is not None


async def set_active_evaluators(connection: AsyncConnection, project_id: str, ids: Collection[str]) -> None:
    """Replace the evaluators that are active on a project."""
    await connection.execute(delete(project_evaluators).where(project_evaluators.c.project_id == project_id))
    now = utc_now()
    if ids:
        rows = [{"project_id": project_id, "evaluator_id": id, "created_at": now} for id in sorted(ids)]
        await connection.execute(insert(project_evaluators), rows)


async def active_evaluators(
    connection: AsyncConnection, project_ids: Collection[str]
) -> Mapping[str, list[EvaluatorResponse]]:
    """Return the evaluators that are active on projects, by the project's id."""
    query = select(project_evaluators.c.project_id, project_evaluators.c.evaluator_id)
    query = query.where(project_evaluators.c.project_id.in_(project_ids))
    rows = (await connection.execute(query.order_by(project_evaluators.c.evaluator_id))).all()
    responses = await evaluator_responses(connection, {row.evaluator_id for row in rows})
    active = defaultdict[str, list[EvaluatorResponse]](list)
    for row in rows:
        if (response := responses.get(row.evaluator_id)) is not None:
            active[row.project_id].append(response)
    return active


async def evaluator_responses(connection: AsyncConnection, ids: Collection[str]) -> dict[str, EvaluatorResponse]:
    """Return v4 responses for evaluators in their current versions by id, without their logging projects."""
    rows = (await connection.execute(_of_version.where(evaluators.c.id.in_(ids), _is_current))).all()
    return {response.id: response for response in await _responses(connection, rows)}


async def version_responses(connection: AsyncConnection, version_ids: Collection[str]) -> dict[str, EvaluatorResponse]:
    """Return v4 responses for evaluators in these versions by the version's id, without their logging projects."""
    rows = (await connection.execute(_of_version.where(evaluator_versions.c.id.in_(version_ids)))).all()
    return {response.version_id or "": response for response in await _responses(connection, rows)}


_USERS = evaluation_evaluators, evaluation_results


async def _add_version(connection: AsyncConnection, evaluator_id: str, number: int, version: EvaluatorVersion) -> None:
    values = {name: getattr(version, name) for name in _CONTENT}
    values |= {"id": new_id("evv"), "evaluator_id": evaluator_id, "number": number, "created_at": utc_now()}
    await connection.execute(insert(evaluator_versions).values(values))


def _evaluator(row: Row[*tuple[Any, ...]]) -> Evaluator:
    version = EvaluatorVersion(**{name: row._mapping[name] for name in _CONTENT})
    return Evaluator(id=row.id, type=row.type, name=row.name, version_id=row.version_id, version=version)


async def _responses(connection: AsyncConnection, rows: Sequence[Row[*tuple[Any, ...]]]) -> list[EvaluatorResponse]:
    configs = await config_responses(connection, {row.config_id for row in rows if row.config_id is not None})
    return [
        EvaluatorResponse(
            id=row.id,
            name=row.name,
            description=row.description,
            arguments_type=row.arguments_type,
            return_type=row.return_type,
            type=row.type,
            created_at=row.created_at,
            updated_at=row.updated_at,
            code=row.code,
            model_config=config if isinstance(config := configs.get(row.config_id), ModelConfigResponse) else None,
            version_id=row.version_id,
            options=row.options,
        )
        for row in rows
    ]
