"""Queries on ``evaluations``: a configuration, a version of a dataset, and versions of evaluators."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time

import msgspec
from msgspec import Struct
from sqlalchemy import (
    ColumnElement,
    Float,
    Text,
    case,
    cast,
    func,
    insert,
    literal,
    select,
    type_coerce,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import (
    DatasetResponse,
    EvaluationProgress,
    EvaluationResponse,
    EvaluationStatus,
    EvaluatorResponse,
    ListEvaluationsQuery,
    ModelConfigEvaluatorAggregateResponse,
)
from ..ids import new_id
from .columns import utc_now
from .config_responses import config_responses
from .datasets import Dataset, dataset_responses, in_version
from .evaluators import RUN_BY_SERVER, Evaluator, version_responses
from .schema import (
    datapoints,
    evaluation_datapoints,
    evaluation_evaluators,
    evaluation_results,
    evaluations,
    evaluator_versions,
    evaluators,
    logs,
)


class Evaluation(Struct, frozen=True, kw_only=True):
    """An evaluation. The fields are columns."""

    id: str
    project_id: str
    config_id: str
    dataset_id: str
    dataset_version: int
    status: EvaluationStatus
    hl_generated: bool


_evaluation = select(*(evaluations.c[name] for name in Evaluation.__struct_fields__))


async def add_evaluation(
    connection: AsyncConnection,
    *,
    project_id: str,
    config_id: str,
    dataset: Dataset,
    hl_generated: bool,
    name: str | None,
    owner: str | None,
) -> str:
    """Create an evaluation of the dataset's current version, with a step for each datapoint, and return its id.

    Args:
        connection: A transaction.
        project_id: Id of the project.
        config_id: Id of the configuration.
        dataset: The dataset, which is locked.
        hl_generated: Whether the server generates the logs.
        name: Name of the evaluation.
        owner: The server process that has the provider keys of the evaluation; None if any process may run it.
    """
    now = utc_now()
    evaluation_id = new_id("ev")
    values = {
        "id": evaluation_id,
        "project_id": project_id,
        "name": name,
        "config_id": config_id,
        "dataset_id": dataset.id,
        "dataset_version": dataset.version,
        "status": "running",
        "hl_generated": hl_generated,
        "owner": owner,
        "created_at": now,
        "updated_at": now,
    }
    await connection.execute(insert(evaluations).values(values))
    status = literal("pending" if hl_generated else "waiting", Text)
    steps = select(literal(evaluation_id, Text), datapoints.c.id, datapoints.c.position, status)
    steps = steps.where(datapoints.c.dataset_id == dataset.id, in_version(dataset.version))
    columns = ["evaluation_id", "datapoint_id", "position", "status"]
    await connection.execute(insert(evaluation_datapoints).from_select(columns, steps))
    return evaluation_id


async def evaluation_by_id(connection: AsyncConnection, evaluation_id: str) -> Evaluation | None:
    """Return an evaluation, or None if it does not exist."""
    row = (await connection.execute(_evaluation.where(evaluations.c.id == evaluation_id))).first()
    return Evaluation(**row._mapping) if row else None


async def lock_evaluation(connection: AsyncConnection, evaluation_id: str) -> Evaluation | None:
    """Return an evaluation, and lock it until the transaction ends: its steps end one after the other."""
    query = _evaluation.where(evaluations.c.id == evaluation_id).with_for_update(key_share=True)
    row = (await connection.execute(query)).first()
    return Evaluation(**row._mapping) if row else None


async def add_evaluators(connection: AsyncConnection, evaluation_id: str, new: Collection[Evaluator]) -> None:
    """Add evaluators to a locked evaluation that has none of them."""
    now = utc_now()
    rows = [
        {
            "evaluation_id": evaluation_id,
            "evaluator_id": evaluator.id,
            "version_id": evaluator.version_id,
            "created_at": now,
        }
        for evaluator in new
    ]
    if rows:
        await connection.execute(insert(evaluation_evaluators), rows)


async def versions_of_evaluators(connection: AsyncConnection, evaluation_id: str) -> dict[str, str]:
    """Return the ids of the versions that an evaluation has of its evaluators, by the evaluator's id."""
    columns = evaluation_evaluators.c.evaluator_id, evaluation_evaluators.c.version_id
    query = select(*columns).where(evaluation_evaluators.c.evaluation_id == evaluation_id)
    return {row.evaluator_id: row.version_id for row in await connection.execute(query)}


async def set_status(connection: AsyncConnection, evaluation_id: str, status: EvaluationStatus) -> None:
    """Change the status of an evaluation."""
    changed = update(evaluations).where(evaluations.c.id == evaluation_id)
    await connection.execute(changed.values(status=status, updated_at=utc_now()))


async def complete_if_done(connection: AsyncConnection, evaluation_id: str) -> None:
    """Complete a locked evaluation if the server runs all of it and no step is left."""
    of_evaluation = evaluation_evaluators.c.evaluation_id == evaluations.c.id
    sent = select(evaluators.c.id).join_from(evaluators, evaluation_evaluators).where(of_evaluation)
    left = [
        select(steps.c.status).where(steps.c.evaluation_id == evaluations.c.id, steps.c.status != "complete")
        for steps in (evaluation_datapoints, evaluation_results)
    ]
    done = (
        update(evaluations)
        .where(evaluations.c.id == evaluation_id, evaluations.c.status == "running", evaluations.c.hl_generated)
        .where(~sent.where(evaluators.c.type.not_in(RUN_BY_SERVER)).exists(), *(~steps.exists() for steps in left))
    )
    await connection.execute(done.values(status="completed", updated_at=utc_now()))


async def page_of_evaluations(connection: AsyncConnection, query: ListEvaluationsQuery) -> tuple[Sequence[str], int]:
    """Return the ids of a page of a project's evaluations, newest first, and the number on all pages."""
    wanted: list[ColumnElement[bool]] = [evaluations.c.project_id == query.project_id]
    if query.id is not None:
        wanted.append(evaluations.c.id.in_(query.id))
    if query.evaluatee_id is not None:
        wanted.append(evaluations.c.config_id == query.evaluatee_id)
    if query.start_date is not None:
        start = datetime.combine(date.fromisoformat(query.start_date), time.min, UTC)
        wanted.append(evaluations.c.created_at >= start)
    if query.end_date is not None:
        end = datetime.combine(date.fromisoformat(query.end_date), time.max, UTC)
        wanted.append(evaluations.c.created_at <= end)
    order = evaluations.c.created_at.desc(), evaluations.c.id.desc()
    ids = select(evaluations.c.id).where(*wanted).order_by(*order)
    found = await connection.scalars(ids.limit(query.size).offset(query.page * query.size))
    total = await connection.scalar(select(func.count()).select_from(evaluations).where(*wanted))
    return [*found], total or 0


async def evaluations_of_project(
    connection: AsyncConnection, project_id: str, config_id: str | None = None
) -> Sequence[str]:
    """Return the ids of a project's evaluations, or of those of one of its configurations, newest first."""
    query = select(evaluations.c.id).where(evaluations.c.project_id == project_id)
    if config_id is not None:
        query = query.where(evaluations.c.config_id == config_id)
    return [*await connection.scalars(query.order_by(evaluations.c.created_at.desc(), evaluations.c.id.desc()))]


async def evaluation_responses(
    connection: AsyncConnection, ids: Sequence[str], *, aggregates: bool = False
) -> list[EvaluationResponse]:
    """Return evaluations as in v4's responses, in the order of `ids`; those that do not exist are missing."""
    rows = {row.id: row for row in await connection.execute(select(evaluations).where(evaluations.c.id.in_(ids)))}
    configs = await config_responses(connection, {row.config_id for row in rows.values()})
    found = await dataset_responses(connection, ids={row.dataset_id for row in rows.values()}, deleted=True)
    datasets = {dataset.id: dataset for dataset in found}
    with_evaluators = await _evaluators(connection, ids)
    progress = await _progress(connection, with_evaluators)
    group = evaluation_results.c.evaluation_id
    means = await _aggregates(connection, group, group.in_(ids if aggregates else ()))
    return [
        EvaluationResponse(
            id=row.id,
            status=row.status,
            config=configs[row.config_id],
            created_at=row.created_at,
            updated_at=row.updated_at,
            evaluators=with_evaluators[id],
            dataset=datasets[row.dataset_id],
            dataset_version_id=f"{row.dataset_id}@{row.dataset_version}",
            dataset_snapshot=_snapshot(datasets[row.dataset_id], row.dataset_version, progress[id].datapoints),
            evaluator_aggregates=means.get(id, []) if aggregates else None,
            name=row.name,
            progress=progress[id],
        )
        for id in ids
        if (row := rows.get(id)) is not None
    ]


async def aggregates_of_configs(
    connection: AsyncConnection, project_id: str
) -> Mapping[str, list[ModelConfigEvaluatorAggregateResponse]]:
    """Return the mean of each evaluator's results on the logs of a project, by the configuration's id."""
    of_project: ColumnElement[bool] = logs.c.project_id == project_id
    if connection.dialect.name == "sqlite":
        # Without statistics SQLite would look for the results of each log. An expression that is in no index makes it
        # look for the log of each result; most logs have none.
        of_project = logs.c.project_id.concat("") == project_id
    return await _aggregates(connection, logs.c.config_id, of_project)


async def _aggregates(
    connection: AsyncConnection, group: ColumnElement[str], wanted: ColumnElement[bool]
) -> Mapping[str, list[ModelConfigEvaluatorAggregateResponse]]:
    text = type_coerce(evaluation_results.c.value, Text)
    number = case(
        (evaluator_versions.c.return_type == "boolean", case((text == "true", 1.0), else_=0.0)),
        (evaluator_versions.c.return_type == "number", cast(text, Float)),
    )
    query = (
        select(
            group.label("id"),
            logs.c.config_id,
            evaluation_results.c.evaluator_id,
            evaluation_results.c.version_id,
            func.avg(number).label("mean"),
        )
        .join_from(evaluation_results, logs, logs.c.id == evaluation_results.c.log_id)
        .join(evaluator_versions, evaluator_versions.c.id == evaluation_results.c.version_id)
        .where(wanted, logs.c.config_id.is_not(None), evaluation_results.c.value.is_not(None))
        .group_by(group, logs.c.config_id, evaluation_results.c.evaluator_id, evaluation_results.c.version_id)
        .order_by(evaluation_results.c.version_id)
    )
    means = defaultdict[str, list[ModelConfigEvaluatorAggregateResponse]](list)
    for row in await connection.execute(query):
        means[row.id].append(
            ModelConfigEvaluatorAggregateResponse(
                model_config_id=row.config_id,
                evaluator_id=row.evaluator_id,
                evaluator_version_id=row.version_id,
                aggregate_value=row.mean,
            )
        )
    return means


async def _evaluators(connection: AsyncConnection, ids: Collection[str]) -> Mapping[str, list[EvaluatorResponse]]:
    columns = evaluation_evaluators.c.evaluation_id, evaluation_evaluators.c.version_id
    query = select(*columns).where(evaluation_evaluators.c.evaluation_id.in_(ids))
    order = evaluation_evaluators.c.created_at, evaluation_evaluators.c.evaluator_id
    rows = (await connection.execute(query.order_by(*order))).all()
    responses = await version_responses(connection, {row.version_id for row in rows})
    evaluators_of: dict[str, list[EvaluatorResponse]] = {id: [] for id in ids}
    for row in rows:
        evaluators_of[row.evaluation_id].append(responses[row.version_id])
    return evaluators_of


async def _progress(
    connection: AsyncConnection, with_evaluators: Mapping[str, Collection[object]]
) -> Mapping[str, EvaluationProgress]:
    progress = {
        id: EvaluationProgress(datapoints=0, logs=0, results=0, results_total=0, errors=0) for id in with_evaluators
    }

    def number(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.sum(case((condition, 1), else_=0))

    steps, results = evaluation_datapoints.c, evaluation_results.c
    total, logs_stored = func.count().label("total"), number(steps.status == "complete").label("logs")
    query = select(steps.evaluation_id, total, logs_stored).where(steps.evaluation_id.in_(progress))
    for row in await connection.execute(query.group_by(steps.evaluation_id)):
        progress[row.evaluation_id].datapoints, progress[row.evaluation_id].logs = row.total, row.logs
    query = select(results.evaluation_id, total, number(results.error.is_not(None)).label("errors"))
    query = query.where(results.evaluation_id.in_(progress), results.status == "complete")
    for row in await connection.execute(query.group_by(results.evaluation_id)):
        progress[row.evaluation_id].results, progress[row.evaluation_id].errors = row.total, row.errors
    for id, of_evaluation in with_evaluators.items():
        progress[id].results_total = progress[id].datapoints * len(of_evaluation)
    return progress


def _snapshot(dataset: DatasetResponse, version: int, count: int) -> DatasetResponse:
    return msgspec.structs.replace(dataset, version=version, datapoint_count=count)
