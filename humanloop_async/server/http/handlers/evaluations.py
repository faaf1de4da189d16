"""``/evaluations``, and those of a project."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.ext.asyncio import AsyncConnection

from .... import types as t
from ....wire.operations import evaluations as ops
from ...errors import ApiError, InvalidRequest, error_location
from ...records.judgments import JudgmentError, check_judgment
from ...records.log_ingest import ingest_logs
from ...storage.datasets import datapoints_by_id, lock_datasets
from ...storage.evaluation_results import (
    Judgment,
    datapoint_of_log,
    evaluator_log_ids,
    results_of_logs,
    store_result,
)
from ...storage.evaluation_steps import datapoints_with_logs, queue_evaluations, set_log, status_of_datapoint
from ...storage.evaluations import (
    Evaluation,
    add_evaluation,
    add_evaluators,
    complete_if_done,
    evaluation_by_id,
    evaluation_responses,
    evaluations_of_project,
    lock_evaluation,
    page_of_evaluations,
    set_status,
    versions_of_evaluators,
)
from ...storage.evaluators import RUN_BY_SERVER, Evaluator, evaluators_in_versions
from ...storage.log_reading import logs_by_id
from ..calls import ApiCall, handles
from .lookups import check_configs, check_count, check_name, find_evaluators, find_project, lock_project

MAX_EVALUATORS = 100
"""Most evaluators of an evaluation."""


@handles(ops.LIST_PROJECT_EVALUATIONS)
async def list_of_project(call: ApiCall[None, t.ProjectEvaluationsQuery]) -> list[t.EvaluationResponse]:
    query = call.query
    async with call.service.database.read() as connection:
        project = await find_project(connection, call.path["project_id"])
        ids = await evaluations_of_project(connection, project.id, query.evaluatee_id)
        return await evaluation_responses(connection, ids, aggregates=bool(query.evaluator_aggregates))


@handles(ops.CREATE_EVALUATION)
async def create(call: ApiCall[t.CreateEvaluationRequest, None]) -> t.EvaluationResponse:
    body, service = call.body, call.service
    if body.name is not None:
        check_name(body.name)
    _check_number(body.evaluator_ids, "evaluator_ids")
    keys = body.provider_api_keys
    async with service.log_writer.owning() as connection:
        project = await lock_project(connection, call.path["project_id"])
        await check_configs(connection, project.id, [body.config_id])
        datasets = await lock_datasets(connection, [body.dataset_id])
        if not datasets:
            raise ApiError(404, f"there is no dataset {body.dataset_id!r:.80}")
        evaluators = await find_evaluators(connection, body.evaluator_ids)
        evaluation_id = await add_evaluation(
            connection,
            project_id=project.id,
            config_id=body.config_id,
            dataset=datasets[0],
            hl_generated=body.hl_generated,
            name=body.name,
            owner=service.log_writer.owner if keys is not None else None,
        )
        await add_evaluators(connection, evaluation_id, evaluators)
        await complete_if_done(connection, evaluation_id)  # the dataset may be empty
        response = await _response(connection, evaluation_id)
    if keys is not None:
        service.evaluations.keep_keys(evaluation_id, keys)
    service.evaluations.wake()
    return response


@handles(ops.LIST_EVALUATIONS)
async def list_evaluations(call: ApiCall[None, t.ListEvaluationsQuery]) -> t.PaginatedData[t.EvaluationResponse]:
    query = call.query
    async with call.service.database.read() as connection:
        await find_project(connection, query.project_id)
        ids, total = await page_of_evaluations(connection, query)
        records = await evaluation_responses(connection, ids)
    return t.PaginatedData(records=records, page=query.page, size=query.size, total=total)


@handles(ops.GET_EVALUATION)
async def get_evaluation(call: ApiCall[None, t.GetEvaluationQuery]) -> t.EvaluationResponse:
    async with call.service.database.read() as connection:
        evaluation = await _find(connection, call.path["id"], call.query.evaluatee_id)
        return await _response(connection, evaluation.id, aggregates=bool(call.query.evaluator_aggregates))


@handles(ops.LIST_EVALUATION_DATAPOINTS)
async def list_datapoints(
    call: ApiCall[None, t.ListEvaluationDatapointsQuery],
) -> t.PaginatedData[t.EvaluationDatapointSnapshotResponse]:
    query = call.query
    if query.page < 1:
        raise InvalidRequest([t.ValidationIssue(loc=["query", "page"], msg="the first page is 1", type="value_error")])
    async with call.service.database.read() as connection:
        evaluation = await _find(connection, call.path["id"], query.evaluatee_id)
        [response] = await evaluation_responses(connection, [evaluation.id])
        skip = (query.page - 1) * query.size
        logs_of = await datapoints_with_logs(connection, evaluation.id, skip=skip, size=query.size)
        datapoints = await datapoints_by_id(connection, [*logs_of], evaluation.dataset_version)
        log_ids = [log_id for log_id in logs_of.values() if log_id is not None]
        logs = {log.id: log for log in await logs_by_id(connection, log_ids)}
        results = await results_of_logs(connection, log_ids, evaluation.id)
        await _add_evaluator_logs(connection, [result for of_log in results.values() for result in of_log])
    records = [
        t.EvaluationDatapointSnapshotResponse(
            datapoint=datapoint,
            log=logs.get(logs_of[datapoint.id] or ""),
            evaluation_results=results.get(logs_of[datapoint.id] or "", []),
        )
        for datapoint in datapoints
    ]
    total = response.progress.datapoints if response.progress is not None else 0
    return t.PaginatedData(records=records, page=query.page, size=query.size, total=total)


@handles(ops.LOG_EVALUATION)
async def log(call: ApiCall[t.CreateEvaluationLogRequest, t.EvaluateeQuery]) -> t.CreateLogResponse:
    body, request = call.body, call.body.log
    async with call.service.database.unit_of_work() as connection:
        evaluation = await _lock_running(connection, call.path["evaluation_id"], call.query.evaluatee_id)
        if evaluation.hl_generated:
            raise ApiError(422, "the server generates the logs of this evaluation; create one with hl_generated=false")
        match await status_of_datapoint(connection, evaluation.id, body.datapoint_id):
            case None:
                raise ApiError(404, f"the evaluation has no datapoint {body.datapoint_id!r:.80}")
            case "complete":
                raise ApiError(422, f"the datapoint {body.datapoint_id} has its log already; each has one")
            case _:
                pass
        if request.source_datapoint_id not in (None, body.datapoint_id):
            raise InvalidRequest.at("log", "source_datapoint_id", msg="must be the datapoint_id, or absent")
        request.source_datapoint_id = body.datapoint_id
        if request.project is None and request.project_id is None:
            request.project_id = evaluation.project_id
        if request.config is None and request.config_id is None and request.trial_id is None:
            request.config_id = evaluation.config_id
        with error_location(("log",)):
            [created] = await ingest_logs(call.service.database, {(): request})
        if created.project_id != evaluation.project_id:
            raise ApiError(422, f"the evaluation belongs to project {evaluation.project_id}; send its logs to that one")
        await set_log(connection, evaluation.id, body.datapoint_id, created.id)
    call.service.evaluations.wake()
    return created


@handles(ops.EVALUATION_RESULT)
async def result(
    call: ApiCall[t.CreateEvaluationResultLogRequest, t.EvaluateeQuery],
) -> t.EvaluationResultResponse:
    body = call.body
    if (body.result is None) == (body.error is None):
        raise ApiError(422, "`result` and `error` exclude each other; send one of them")
    async with call.service.database.write() as connection:
        evaluation = await _lock_running(connection, call.path["evaluation_id"], call.query.evaluatee_id)
        version_id = (await versions_of_evaluators(connection, evaluation.id)).get(body.evaluator_id)
        if version_id is None:
            raise ApiError(404, f"the evaluation has no evaluator {body.evaluator_id!r:.80}; add it first")
        evaluator = (await evaluators_in_versions(connection, [version_id]))[version_id]
        if evaluator.type in RUN_BY_SERVER:
            raise ApiError(422, f"the server runs the evaluator {evaluator.id}, which is of type {evaluator.type!r}")
        datapoint_id = await datapoint_of_log(connection, evaluation.id, body.log_id)
        if datapoint_id is None:
            raise ApiError(404, f"the evaluation has no log {body.log_id!r:.80}")
        if body.result is not None:
            try:
                check_judgment(body.result, evaluator.version.return_type, evaluator.version.options)
            except JudgmentError as exc:
                raise InvalidRequest.at("result", msg=str(exc)) from exc
        return await store_result(
            connection,
            evaluation_id=evaluation.id,
            datapoint_id=datapoint_id,
            log_id=body.log_id,
            evaluator_id=evaluator.id,
            version_id=version_id,
            judgment=Judgment(value=body.result, error=body.error),
        )


@handles(ops.UPDATE_EVALUATION_STATUS)
async def update_status(call: ApiCall[t.UpdateEvaluationStatusRequest, None]) -> t.EvaluationResponse:
    status = call.body.status
    if status in ("pending", "failed"):
        raise InvalidRequest.at("status", msg="must be 'running', 'completed' or 'cancelled'")
    async with call.service.database.write() as connection:
        evaluation = await _lock(connection, call.path["id"])
        await set_status(connection, evaluation.id, status)
        await complete_if_done(connection, evaluation.id)
        response = await _response(connection, evaluation.id)
    call.service.evaluations.wake()
    return response


@handles(ops.ADD_EVALUATORS)
async def add(call: ApiCall[t.AddEvaluatorsRequest, None]) -> t.EvaluationResponse:
    body = call.body
    check_count(body.evaluator_version_ids, "evaluator_version_ids")
    check_count(body.evaluator_ids, "evaluator_ids")
    async with call.service.database.write() as connection:
        evaluation = await _lock(connection, call.path["id"])
        added = {evaluator.id: evaluator for evaluator in await find_evaluators(connection, body.evaluator_ids)}
        versions = await evaluators_in_versions(connection, body.evaluator_version_ids)
        present = await versions_of_evaluators(connection, evaluation.id)
        for version_id in body.evaluator_version_ids:
            if version_id not in versions:
                raise ApiError(404, f"there is no version {version_id!r:.80} of an evaluator")
            evaluator = versions[version_id]
            if present.get(evaluator.id, version_id) != version_id:
                raise ApiError(422, f"the evaluation has another version of the evaluator {evaluator.id}")
            added[evaluator.id] = evaluator
        new = {id: evaluator for id, evaluator in added.items() if id not in present}
        _check_number([*present, *new], "evaluator_ids")
        await _add(connection, evaluation, new.values())
        response = await _response(connection, evaluation.id)
    call.service.evaluations.wake()
    return response


async def _add(connection: AsyncConnection, evaluation: Evaluation, new: Collection[Evaluator]) -> None:
    """Add evaluators, which also run on the logs that the evaluation has. A completed evaluation then continues."""
    if not new:
        return
    await add_evaluators(connection, evaluation.id, new)
    all_logs = await datapoints_with_logs(connection, evaluation.id)
    logs_of = {datapoint_id: log_id for datapoint_id, log_id in all_logs.items() if log_id is not None}
    await queue_evaluations(connection, evaluation.id, logs_of, [evaluator.id for evaluator in new])
    if evaluation.status == "completed":
        await set_status(connection, evaluation.id, "running")
        await complete_if_done(connection, evaluation.id)


async def _add_evaluator_logs(connection: AsyncConnection, results: Collection[t.EvaluationResultResponse]) -> None:
    ids = await evaluator_log_ids(connection, [result.id for result in results])
    logs = {log.id: log for log in await logs_by_id(connection, [*ids.values()])}
    for result in results:
        result.evaluator_log = logs.get(ids.get(result.id, ""))


async def _find(connection: AsyncConnection, evaluation_id: str, config_id: str | None) -> Evaluation:
    return _checked(await evaluation_by_id(connection, evaluation_id), evaluation_id, config_id)


async def _lock(connection: AsyncConnection, evaluation_id: str, config_id: str | None = None) -> Evaluation:
    return _checked(await lock_evaluation(connection, evaluation_id), evaluation_id, config_id)


async def _lock_running(connection: AsyncConnection, evaluation_id: str, config_id: str | None) -> Evaluation:
    evaluation = await _lock(connection, evaluation_id, config_id)
    if evaluation.status != "running":
        raise ApiError(422, f"the evaluation is {evaluation.status}; set its status to 'running' first")
    return evaluation


def _checked(evaluation: Evaluation | None, evaluation_id: str, config_id: str | None) -> Evaluation:
    if evaluation is None:
        raise ApiError(404, f"there is no evaluation {evaluation_id!r:.80}")
    if config_id not in (None, evaluation.config_id):
        raise ApiError(404, f"the evaluation is of the model config {evaluation.config_id}, not of {config_id!r:.80}")
    return evaluation


def _check_number(evaluator_ids: Collection[str], field: str) -> None:
    if len(evaluator_ids) > MAX_EVALUATORS:
        raise InvalidRequest.at(field, msg=f"an evaluation has at most {MAX_EVALUATORS} evaluators")


async def _response(
    connection: AsyncConnection, evaluation_id: str, *, aggregates: bool = False
) -> t.EvaluationResponse:
    [response] = await evaluation_responses(connection, [evaluation_id], aggregates=aggregates)
    return response
