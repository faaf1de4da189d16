"""Queries on the finished rows of ``evaluation_results``."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Row, Text, or_, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import EvaluationResultResponse, FeedbackValue
from ..ids import new_id
from .columns import utc_now
from .schema import evaluation_datapoints, evaluation_results, logs
from .statements import dialect_insert


class Judgment(Struct, frozen=True, kw_only=True):
    """The end of an evaluator's step: a value, or an error."""

    value: FeedbackValue | None = None
    error: str | None = None


_shown = (
    select(evaluation_results, logs.c.config_id)
    .join(logs, logs.c.id == evaluation_results.c.log_id)
    .where(evaluation_results.c.status == "complete")
    .order_by(evaluation_results.c.created_at, evaluation_results.c.id)
)


async def results_of_logs(
    connection: AsyncConnection, log_ids: Collection[str], evaluation_id: str | None = None
) -> Mapping[str, list[EvaluationResultResponse]]:
    """Return the results on logs, of all evaluations or of one, by the log's id."""
    query = _shown.where(evaluation_results.c.log_id.in_(log_ids))
    if evaluation_id is not None:
        query = query.where(evaluation_results.c.evaluation_id == evaluation_id)
    results = defaultdict[str, list[EvaluationResultResponse]](list)
    for row in await connection.execute(query):
        results[row.log_id].append(_response(row))
    return results


async def evaluator_log_ids(connection: AsyncConnection, result_ids: Collection[str]) -> Mapping[str, str]:
    """Return the ids of the logs that llm evaluators have for results, by the result's id."""
    columns = evaluation_results.c.id, evaluation_results.c.evaluator_log_id
    query = select(*columns).where(evaluation_results.c.id.in_(result_ids))
    return {row.id: row.evaluator_log_id for row in await connection.execute(query) if row.evaluator_log_id is not None}


async def store_result(
    connection: AsyncConnection,
    *,
    evaluation_id: str,
    datapoint_id: str,
    log_id: str,
    evaluator_id: str,
    version_id: str,
    judgment: Judgment,
    created_at: datetime | None = None,
) -> EvaluationResultResponse:
    """Store the result of an evaluator that the server does not run; it replaces an earlier one."""
    now = utc_now()
    judged = {"log_id": log_id, "version_id": version_id, "value": judgment.value, "error": judgment.error}
    values = {
        "id": new_id("evr"),
        "evaluation_id": evaluation_id,
        "datapoint_id": datapoint_id,
        "evaluator_id": evaluator_id,
        "status": "complete",
        "created_at": created_at or now,
        "updated_at": now,
        **judged,
    }
    key = [evaluation_results.c[name] for name in ("evaluation_id", "datapoint_id", "evaluator_id")]
    stored = dialect_insert(connection, evaluation_results).values(values)
    stored = stored.on_conflict_do_update(index_elements=key, set_={**judged, "updated_at": now})
    result_id = (await connection.execute(stored.returning(evaluation_results.c.id))).scalar_one()
    return _response((await connection.execute(_shown.where(evaluation_results.c.id == result_id))).one())


async def datapoint_of_log(connection: AsyncConnection, evaluation_id: str, log_id: str) -> str | None:
    """Return the id of the datapoint that an evaluation has a log for; None if it does not have the log."""
    steps = evaluation_datapoints.c
    query = select(steps.datapoint_id).where(
        steps.log_id == log_id, steps.evaluation_id == evaluation_id, steps.status == "complete"
    )
    return await connection.scalar(query)


def has_value(evaluator_id: str, values: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition of logs on which an evaluator has one of some results, given as texts."""
    text = type_coerce(evaluation_results.c.value, Text)
    forms = {form for value in values for form in _json_forms(value)}
    # An element of a multi_select: `["a","b"]` contains `"a"`.
    contained = [text.startswith("[") & text.contains(json.dumps(value), autoescape=True) for value in values]
    query = select(evaluation_results.c.log_id).where(
        evaluation_results.c.evaluator_id == evaluator_id, or_(text.in_(forms), *contained)
    )
    return logs.c.id.in_(query)


def _json_forms(value: str) -> set[str]:
    """Return the JSON texts that a value in a query may mean, such as ``4``, ``4.0`` and ``"4"``."""
    forms = {json.dumps(value, ensure_ascii=False)}
    if value.lower() in ("true", "false"):
        forms.add(value.lower())
    try:
        number = float(value)
    except ValueError:
        return forms
    return forms | {value, repr(number), f"{number:g}"}


def _response(row: Row[*tuple[Any, ...]]) -> EvaluationResultResponse:
    return EvaluationResultResponse(
        id=row.id,
        evaluator_id=row.evaluator_id,
        evaluator_version_id=row.version_id,
        evaluation_id=row.evaluation_id,
        log_id=row.log_id,
        version_id=row.config_id,
        value=row.value,
        error=row.error,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
