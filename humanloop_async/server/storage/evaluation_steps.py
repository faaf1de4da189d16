"""The steps of evaluations: queued, claimed by a server process, finished once.

A step is a row of ``evaluation_datapoints`` (generate a log) or of ``evaluation_results`` (evaluate a log). The process
that claims it is its owner, as long as the lease of the process lasts (`.servers`). Then the step is pending again, and
another process can claim it. Only the owner can finish a step, so a process that was thought dead changes nothing.

A claim stores the id of the log that the step will generate, unless an earlier owner of the step has generated its log
already: the step then needs no other one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Struct
from sqlalchemy import ColumnElement, Table, and_, bindparam, exists, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..ids import new_id
from .columns import utc_now
from .evaluation_results import Judgment
from .evaluations import complete_if_done, lock_evaluation
from .evaluators import RUN_BY_SERVER
from .schema import (
    evaluation_datapoints,
    evaluation_evaluators,
    evaluation_results,
    evaluations,
    evaluator_versions,
    evaluators,
    logs,
    project_evaluators,
    servers,
)

NO_OUTPUT = "the log has no output to evaluate: "


class GeneratedLog(Struct, frozen=True):
    """The end of a log's generation. One of `output` and `error` is None."""

    id: str
    output: str | None
    error: str | None


class GenerationStep(Struct, frozen=True, kw_only=True):
    """Generate the log for a datapoint.

    Attributes:
        log_id: The id of the log to generate.
        generated: The log, if an earlier owner of the step has generated it.
    """

    evaluation_id: str
    datapoint_id: str
    log_id: str
    generated: GeneratedLog | None


class EvaluationStep(Struct, frozen=True, kw_only=True):
    """Evaluate a log.

    Attributes:
        evaluation_id, datapoint_id: None if the evaluator is active on the log's project.
        evaluated_log_id: The id of the log to evaluate.
        version_id: The id of the evaluator's version.
        log_id: The id of the log that an llm evaluator generates.
        generated: That log, if an earlier owner of the step has generated it.
    """

    id: str
    evaluation_id: str | None
    datapoint_id: str | None
    evaluated_log_id: str
    version_id: str
    log_id: str
    generated: GeneratedLog | None


Step: TypeAlias = GenerationStep | EvaluationStep

_TABLES = (evaluation_datapoints, evaluation_results)


async def generated_log(connection: AsyncConnection, log_id: str) -> GeneratedLog | None:
    """Return a log whose generation completed or failed; None if it runs, was interrupted, or does not exist."""
    return (await _generated_logs(connection, [log_id])).get(log_id)


async def _generated_logs(connection: AsyncConnection, ids: Collection[str | None]) -> Mapping[str, GeneratedLog]:
    query = select(logs.c.id, logs.c.output, logs.c.error, logs.c.status)
    query = query.where(logs.c.id.in_([id for id in ids if id is not None]), logs.c.status.in_(["complete", "error"]))
    return {
        row.id: GeneratedLog(row.id, None, row.error or "the generation failed")
        if row.status == "error"
        else GeneratedLog(row.id, row.output or "", None)
        for row in await connection.execute(query)
    }


async def any_pending(connection: AsyncConnection, owner: str) -> bool:
    """Return whether a process can claim a step."""
    queries = [select(table.c.status).where(_claimable(table, owner)) for table in _TABLES]
    return bool(await connection.scalar(select(or_(*map(exists, queries)))))


async def claim_steps(connection: AsyncConnection, owner: str, limit: int) -> list[Step]:
    """Make a process the owner of pending steps: first those that evaluate logs, oldest first.

    Evaluations take turns in generating logs: the one that is nearest to its dataset's beginning is next.
    """
    steps: list[Step] = [*await _claim_evaluations(connection, owner, limit)]
    if len(steps) < limit:
        steps += await _claim_generations(connection, owner, limit - len(steps))
    return steps


async def _claim_evaluations(connection: AsyncConnection, owner: str, limit: int) -> Sequence[EvaluationStep]:
    rows = evaluation_results.c
    query = (
        select(rows.id, rows.evaluation_id, rows.datapoint_id, rows.log_id, rows.version_id, rows.evaluator_log_id)
        .where(_claimable(evaluation_results, owner))
        .order_by(rows.created_at, rows.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    pending = (await connection.execute(query)).all()
    generated = await _generated_logs(connection, [row.evaluator_log_id for row in pending])
    steps = [
        EvaluationStep(
            id=row.id,
            evaluation_id=row.evaluation_id,
            datapoint_id=row.datapoint_id,
            evaluated_log_id=row.log_id,
            version_id=row.version_id,
            log_id=row.evaluator_log_id if row.evaluator_log_id in generated else new_id("data"),
            generated=generated.get(row.evaluator_log_id),
        )
        for row in pending
    ]
    if steps:
        claim = update(evaluation_results).where(rows.id == bindparam("step"))
        await connection.execute(
            claim.values(status="running", owner=owner, evaluator_log_id=bindparam("log"), updated_at=utc_now()),
            [{"step": step.id, "log": step.log_id} for step in steps],
        )
    return steps


async def _claim_generations(connection: AsyncConnection, owner: str, limit: int) -> Sequence[GenerationStep]:
    rows = evaluation_datapoints.c
    query = (
        select(rows.evaluation_id, rows.datapoint_id, rows.log_id)
        .where(_claimable(evaluation_datapoints, owner))
        .order_by(rows.position, rows.evaluation_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    pending = (await connection.execute(query)).all()
    generated = await _generated_logs(connection, [row.log_id for row in pending])
    steps = [
        GenerationStep(
            evaluation_id=row.evaluation_id,
            datapoint_id=row.datapoint_id,
            log_id=row.log_id if row.log_id in generated else new_id("data"),
            generated=generated.get(row.log_id),
        )
        for row in pending
    ]
    if steps:
        claim = update(evaluation_datapoints).where(
            rows.evaluation_id == bindparam("evaluation"), rows.datapoint_id == bindparam("datapoint")
        )
        await connection.execute(
            claim.values(status="running", owner=owner, log_id=bindparam("log")),
            [{"evaluation": step.evaluation_id, "datapoint": step.datapoint_id, "log": step.log_id} for step in steps],
        )
    return steps


def _claimable(table: Table, owner: str) -> ColumnElement[bool]:
    alive = select(servers.c.id).where(servers.c.alive_until > utc_now())
    has_keys = or_(evaluations.c.owner.is_(None), evaluations.c.owner == owner, evaluations.c.owner.not_in(alive))
    runs = exists().where(evaluations.c.id == table.c.evaluation_id, evaluations.c.status == "running", has_keys)
    return and_(table.c.status == "pending", or_(table.c.evaluation_id.is_(None), runs))


async def release_step(connection: AsyncConnection, owner: str, step: Step) -> None:
    """Make a step pending again that its owner cannot finish now."""
    await connection.execute(_of_owner(step, owner).values(status="pending", owner=None))


async def release_steps(connection: AsyncConnection, owners: Collection[str]) -> None:
    """Make the steps of dead or stopping processes pending again."""
    for table in _TABLES:
        await connection.execute(update(table).where(table.c.owner.in_(owners)).values(status="pending", owner=None))


async def finish_generation(connection: AsyncConnection, owner: str, step: GenerationStep) -> bool:
    """Finish a step with its log, and queue the evaluators' steps. Return whether the process was still the owner."""
    evaluation = await lock_evaluation(connection, step.evaluation_id)
    finished = _of_owner(step, owner).values(status="complete", owner=None)
    if evaluation is None or (await connection.execute(finished)).rowcount == 0:
        return False
    await queue_evaluations(connection, step.evaluation_id, {step.datapoint_id: step.log_id})
    await complete_if_done(connection, step.evaluation_id)
    return True


async def finish_evaluation(
    connection: AsyncConnection, owner: str, step: EvaluationStep, judgment: Judgment, log_id: str | None
) -> bool:
    """Finish a step with a judgment. Return whether the process was still the owner.

    Args:
        connection: A transaction.
        owner: The process.
        step: The step.
        judgment: The judgment.
        log_id: The log that the evaluator generated, if it did.
    """
    if step.evaluation_id is not None:
        await lock_evaluation(connection, step.evaluation_id)
    result = {"value": judgment.value, "error": judgment.error, "evaluator_log_id": log_id, "updated_at": utc_now()}
    finished = _of_owner(step, owner).values(status="complete", owner=None, **result)
    if (await connection.execute(finished)).rowcount == 0:
        return False
    if step.evaluation_id is not None:
        await complete_if_done(connection, step.evaluation_id)
    return True


async def set_log(connection: AsyncConnection, evaluation_id: str, datapoint_id: str, log_id: str) -> None:
    """Store the log that the caller sent for a waiting datapoint of a locked evaluation, and queue its evaluators."""
    rows = evaluation_datapoints.c
    step = update(evaluation_datapoints).where(rows.evaluation_id == evaluation_id, rows.datapoint_id == datapoint_id)
    await connection.execute(step.values(status="complete", log_id=log_id))
    await queue_evaluations(connection, evaluation_id, {datapoint_id: log_id})


async def status_of_datapoint(connection: AsyncConnection, evaluation_id: str, datapoint_id: str) -> str | None:
    """Return the status of a datapoint's step; None if the evaluation does not have the datapoint."""
    rows = evaluation_datapoints.c
    query = select(rows.status).where(rows.evaluation_id == evaluation_id, rows.datapoint_id == datapoint_id)
    return await connection.scalar(query)


async def datapoints_with_logs(
    connection: AsyncConnection, evaluation_id: str, *, skip: int = 0, size: int | None = None
) -> Mapping[str, str | None]:
    """Return the ids of an evaluation's datapoints in order, each with the id of its log if it has one."""
    rows = evaluation_datapoints.c
    query = select(rows.datapoint_id, rows.log_id, rows.status).where(rows.evaluation_id == evaluation_id)
    found = await connection.execute(query.order_by(rows.position).limit(size).offset(skip))
    return {row.datapoint_id: row.log_id if row.status == "complete" else None for row in found}


async def queue_evaluations(
    connection: AsyncConnection,
    evaluation_id: str,
    logs_of: Mapping[str, str],
    evaluator_ids: Collection[str] | None = None,
) -> None:
    """Add the steps of the evaluators that the server runs, for new logs of a locked evaluation.

    Args:
        connection: A transaction.
        evaluation_id: Id of the evaluation.
        logs_of: The logs by their datapoints' ids.
        evaluator_ids: Ids of the evaluators; None for all of the evaluation.
    """
    columns = evaluation_evaluators.c.evaluator_id, evaluation_evaluators.c.version_id
    query = select(*columns).join_from(evaluation_evaluators, evaluators)
    query = query.where(evaluation_evaluators.c.evaluation_id == evaluation_id, evaluators.c.type.in_(RUN_BY_SERVER))
    if evaluator_ids is not None:
        query = query.where(evaluators.c.id.in_(evaluator_ids))
    run = (await connection.execute(query.order_by(evaluators.c.id))).all()
    if not run:
        return
    errors = await _errors_of_logs(connection, logs_of.values())
    rows = [
        _new_step(evaluation_id, datapoint_id, log_id, evaluator.evaluator_id, evaluator.version_id, errors[log_id])
        for datapoint_id, log_id in logs_of.items()
        if log_id in errors
        for evaluator in run
    ]
    if rows:
        await connection.execute(insert(evaluation_results), rows)


async def queue_active_evaluators(connection: AsyncConnection, log_ids: Collection[str]) -> None:
    """Add the steps of the evaluators that are active on the projects of new logs.

    Logs without an output and logs of datapoints are left out: evaluations have their evaluators.
    """
    if await connection.scalar(select(project_evaluators.c.project_id).limit(1)) is None:
        return
    query = (
        select(logs.c.id, evaluators.c.id.label("evaluator_id"), evaluator_versions.c.id.label("version_id"))
        .join_from(logs, project_evaluators, project_evaluators.c.project_id == logs.c.project_id)
        .join(evaluators, evaluators.c.id == project_evaluators.c.evaluator_id)
        .join(
            evaluator_versions,
            and_(
                evaluator_versions.c.evaluator_id == evaluators.c.id,
                evaluator_versions.c.number == evaluators.c.version,
            ),
        )
        .where(
            logs.c.id.in_(log_ids),
            logs.c.status == "complete",
            logs.c.output.is_not(None),
            logs.c.source_datapoint_id.is_(None),
            ~exists().where(
                evaluation_results.c.log_id == logs.c.id,
                evaluation_results.c.evaluator_id == evaluators.c.id,
                evaluation_results.c.evaluation_id.is_(None),
            ),
        )
    )
    rows = [
        _new_step(None, None, row.id, row.evaluator_id, row.version_id, None) for row in await connection.execute(query)
    ]
    if rows:
        await connection.execute(insert(evaluation_results), rows)


async def _errors_of_logs(connection: AsyncConnection, log_ids: Collection[str]) -> Mapping[str, str | None]:
    """Return the errors of the logs that exist, by the log's id, and lock the logs against deletion."""
    query = select(logs.c.id, logs.c.status, logs.c.error).where(logs.c.id.in_(log_ids)).order_by(logs.c.id)
    return {
        row.id: None if row.status == "complete" else f"{NO_OUTPUT}{row.error}"
        for row in await connection.execute(query.with_for_update(read=True, key_share=True))
    }


def _new_step(
    evaluation_id: str | None,
    datapoint_id: str | None,
    log_id: str,
    evaluator_id: str,
    version_id: str,
    error: str | None,
) -> dict[str, Any]:
    now = utc_now()
    return {
        "id": new_id("evr"),
        "evaluation_id": evaluation_id,
        "datapoint_id": datapoint_id,
        "log_id": log_id,
        "evaluator_id": evaluator_id,
        "version_id": version_id,
        "status": "pending" if error is None else "complete",
        "error": error,
        "created_at": now,
        "updated_at": now,
    }


def _of_owner(step: Step, owner: str) -> Any:
    """Return an update of a step that changes nothing if the process is not its owner any more."""
    match step:
        case GenerationStep():
            rows = evaluation_datapoints.c
            this = and_(rows.evaluation_id == step.evaluation_id, rows.datapoint_id == step.datapoint_id)
            return update(evaluation_datapoints).where(this, rows.owner == owner)
        case EvaluationStep():
            return update(evaluation_results).where(
                evaluation_results.c.id == step.id, evaluation_results.c.owner == owner
            )
