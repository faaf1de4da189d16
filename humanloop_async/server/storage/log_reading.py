"""Queries on ``logs`` for v4's log responses."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import (
    ChatMessage,
    ConfigResponse,
    EvaluationResultResponse,
    FeedbackResponse,
    GenericConfigResponse,
    Json,
    ListLogsQuery,
    LogResponse,
    ModelConfigResponse,
)
from .columns import JsonText
from .config_responses import config_responses
from .evaluation_results import results_of_logs
from .feedback import feedback_of
from .log_contents import shown, shown_columns, with_contents
from .log_counts import page_start
from .log_filters import conditions, from_day, has_indexed_filter, order_of, time_order
from .schema import logs, model_configs, projects, sessions

_OBSERVABILITY: Mapping[str, Any] = {"running": "running", "complete": "completed"}  # any other: failed

_FEW = 2000  # logs that are sorted faster than they are found in the order of all logs

_NOT_SHOWN = {*("owner", "call_id", "content_id", "status", "inputs_folded", "output_folded", "metadata_folded")}
_JSON = [column.name for column in logs.columns if isinstance(column.type, JsonText)]


class LogContent(Struct, frozen=True, kw_only=True):
    """The contents of a log, and the chat template of its configuration. Those of a log without `save` are None."""

    save: bool
    inputs: dict[str, Json] | None
    messages: list[ChatMessage] | None
    output: str | None
    chat_template: list[ChatMessage] | None


class _Templated(Struct):
    chat_template: list[ChatMessage] | None = None


_parents = logs.alias("parents")
_whole = (
    select(
        *shown_columns(),
        projects.c.name.label("project"),
        sessions.c.reference_id.label("session_reference_id"),
        _parents.c.reference_id.label("parent_reference_id"),
    )
    .select_from(with_contents)
    .join(projects, logs.c.project_id == projects.c.id)
    .outerjoin(sessions, logs.c.session_id == sessions.c.id)
    .outerjoin(_parents, logs.c.parent_id == _parents.c.id)
)


async def page_of_logs(connection: AsyncConnection, query: ListLogsQuery) -> tuple[list[LogResponse], int]:
    """Return the logs of a page, and the number of logs on all pages.

    The first statement sorts and skips ids only, which an index has in order of time; the second reads the page's rows.
    A page of all logs starts at the day that ``log_counts`` gives, so that deep pages are fast. Other lists are counted
    only if the page does not show the total, or before: without statistics SQLite would look for a filter's few logs
    among all logs of the project.
    """
    on_sqlite = connection.dialect.name == "sqlite"
    wanted = [*conditions(query, on_sqlite=on_sqlite)]
    order, skip = order_of(query.sort), query.page * query.size
    total: int | None = None
    if (direction := time_order(query)) is not None:
        newest_first = direction == "desc"
        start = await page_start(connection, query.project_id, skip, newest_first=newest_first)
        if start.day is None:
            return [], start.total
        total, skip = start.total, start.skip
        wanted.append(from_day(start.day, newest_first=newest_first))
    if on_sqlite and has_indexed_filter(query):
        by_filter = [*conditions(query, on_sqlite=True, by_filter=True)]
        total = await _count(connection, by_filter)
        if total <= _FEW:
            wanted = by_filter
    found = await connection.execute(select(logs.c.id).where(*wanted).order_by(*order).limit(query.size).offset(skip))
    ids = [*found.scalars()]
    if total is None and len(ids) < query.size and (ids or not skip):
        total = skip + len(ids)
    if total is None:
        total = await _count(connection, wanted)
    return await logs_by_id(connection, ids), total


async def _count(connection: AsyncConnection, wanted: Sequence[ColumnElement[bool]]) -> int:
    return (await connection.execute(select(func.count()).select_from(logs).where(*wanted))).scalar_one()


async def logs_by_id(connection: AsyncConnection, ids: Sequence[str]) -> list[LogResponse]:
    """Return logs in the order of `ids`; those that do not exist are missing."""
    rows = {row.id: row for row in await connection.execute(_whole.where(logs.c.id.in_(ids)))}
    configs = await config_responses(connection, {row.config_id for row in rows.values()})
    feedback = await feedback_of(connection, rows.keys())
    results = await results_of_logs(connection, rows.keys())
    return [
        _response(
            row, configs.get(row.config_id) or _deleted_config(row.config_id), feedback.get(id, []), results.get(id, [])
        )
        for id in ids
        if (row := rows.get(id)) is not None
    ]


async def log_id_by_reference(connection: AsyncConnection, reference_id: str) -> str | None:
    """Return the id of the log with the caller's reference."""
    return await connection.scalar(select(logs.c.id).where(logs.c.reference_id == reference_id))


async def contents_of_logs(connection: AsyncConnection, ids: Collection[str]) -> Mapping[str, LogContent]:
    """Return the contents of the logs that exist, by id."""
    columns = logs.c.id, logs.c.save, shown(logs.c.inputs), shown(logs.c.messages), logs.c.output
    query = select(*columns, model_configs.c.parameters).select_from(with_contents)
    query = query.outerjoin(model_configs, logs.c.config_id == model_configs.c.id)
    return {
        row.id: LogContent(
            save=row.save,
            inputs=row.inputs,
            messages=msgspec.convert(row.messages, list[ChatMessage] | None),
            output=row.output,
            chat_template=msgspec.convert(row.parameters or {}, _Templated).chat_template,
        )
        for row in await connection.execute(query.where(logs.c.id.in_(ids)))
    }


def _deleted_config(config_id: str | None) -> ConfigResponse:
    """Return a placeholder for a configuration of another project, which was deleted."""
    return GenericConfigResponse(id=config_id or "deleted", status="deleted", name="deleted")


def _response(
    row: Row[*tuple[Any, ...]],
    config: ConfigResponse,
    feedback: list[FeedbackResponse],
    results: list[EvaluationResultResponse],
) -> LogResponse:
    fields = {name: value for name, value in row._mapping.items() if name not in _NOT_SHOWN}
    for name in _JSON:
        if (text := fields[name]) is not None:
            fields[name] = msgspec.Raw(text.encode())
    # `raw_output` and `output_message` are NULL where they follow from the other columns.
    fields["tools"] = fields["tools"] or []
    text = fields["raw_output"] = row.output if row.raw_output is None else row.raw_output
    if row.output_message is None and row.messages is not None and text is not None:
        fields["output_message"] = ChatMessage(role="assistant", content=text)
    counts = [count for count in (row.prompt_tokens, row.output_tokens) if count is not None]
    return LogResponse(
        **fields,
        config=config,
        model_config=config if isinstance(config, ModelConfigResponse) else None,
        feedback=feedback,
        tokens=sum(counts) if counts else None,
        observability_status=_OBSERVABILITY.get(row.status, "failed"),
        evaluation_results=results,
        metric_values=[],
        batch_ids=[],
    )
