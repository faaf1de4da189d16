"""Reading ``logs``: pages of them, and single ones, as v4 answers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, Text, func, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import (
    ChatMessage,
    ConfigResponse,
    FeedbackResponse,
    GenericConfigResponse,
    ListLogsQuery,
    LogResponse,
    ModelConfigResponse,
)
from .columns import JsonText
from .config_responses import config_responses
from .feedback import feedback_of
from .log_counts import place_of
from .log_filters import conditions, from_day, order_of, time_order
from .schema import logs, projects, sessions

_OBSERVABILITY: Mapping[str, Any] = {"running": "running", "complete": "completed"}  # all others: failed

_NOT_SHOWN = {"owner", "call_id", "status", "inputs_folded", "output_folded", "metadata_folded"}
# JSON goes from the database to the answer as it is, neither decoded nor encoded again.
_JSON = [column.name for column in logs.columns if isinstance(column.type, JsonText)]

_parents = logs.alias("parents")
_whole = (
    select(
        *(type_coerce(column, Text).label(column.name) if column.name in _JSON else column for column in logs.columns),
        projects.c.name.label("project"),
        sessions.c.reference_id.label("session_reference_id"),
        _parents.c.reference_id.label("parent_reference_id"),
    )
    .join_from(logs, projects, logs.c.project_id == projects.c.id)
    .outerjoin(sessions, logs.c.session_id == sessions.c.id)
    .outerjoin(_parents, logs.c.parent_id == _parents.c.id)
)


async def page_of_logs(connection: AsyncConnection, query: ListLogsQuery) -> tuple[list[LogResponse], int]:
    """The logs of a page, and how many there are on all pages.

    Only ids are sorted and skipped, which an index holds in order of time; the page's rows are read after that. A page
    of all logs begins at the day that the counts tell, however deep it is. Others are counted only when the page alone
    does not tell.
    """
    on_sqlite = connection.dialect.name == "sqlite"
    wanted = [*conditions(query, on_sqlite=on_sqlite)]
    order, skip = order_of(query.sort), query.page * query.size
    total: int | None = None
    if (direction := time_order(query)) is not None:
        newest_first = direction == "desc"
        place = await place_of(connection, query.project_id, skip, newest_first=newest_first)
        if place.day is None:
            return [], place.total
        total, skip = place.total, place.skip
        wanted.append(from_day(place.day, newest_first=newest_first))
    found = await connection.execute(select(logs.c.id).where(*wanted).order_by(*order).limit(query.size).offset(skip))
    ids = [*found.scalars()]
    if total is None and len(ids) < query.size and (ids or not skip):
        total = skip + len(ids)
    if total is None:
        counted = select(func.count()).select_from(logs)
        counted = counted.where(*conditions(query, on_sqlite=on_sqlite, counting=True))
        total = (await connection.execute(counted)).scalar_one()
    return await logs_by_id(connection, ids), total


async def logs_by_id(connection: AsyncConnection, ids: Sequence[str]) -> list[LogResponse]:
    """The logs of these ids, in this order; those that do not exist are missing."""
    rows = {row.id: row for row in await connection.execute(_whole.where(logs.c.id.in_(ids)))}
    configs = await config_responses(connection, {row.config_id for row in rows.values()})
    feedback = await feedback_of(connection, rows.keys())
    return [
        _response(row, configs.get(row.config_id) or _gone(row.config_id), feedback.get(id, []))
        for id in ids
        if (row := rows.get(id)) is not None
    ]


async def log_id_by_reference(connection: AsyncConnection, reference_id: str) -> str | None:
    """The id of the log that the caller knows by that reference."""
    return (await connection.execute(select(logs.c.id).where(logs.c.reference_id == reference_id))).scalar()


def _gone(config_id: str | None) -> ConfigResponse:
    """What stands for a configuration that went with its project, from which another project's log had it."""
    return GenericConfigResponse(id=config_id or "deleted", status="deleted", name="deleted")


def _response(row: Row[*tuple[Any, ...]], config: ConfigResponse, feedback: list[FeedbackResponse]) -> LogResponse:
    fields = {name: value for name, value in row._mapping.items() if name not in _NOT_SHOWN}
    for name in _JSON:
        if (text := fields[name]) is not None:
            fields[name] = msgspec.Raw(text.encode())
    # NULL in these two stands for what can be told from the others.
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
        evaluation_results=[],
        metric_values=[],
        tools=[],
        batch_ids=[],
    )
