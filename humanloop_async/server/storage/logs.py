"""Writes to ``logs``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct, field
from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import ChatMessage, FeedbackValue, Json, ToolChoiceValue, ToolResultResponse, UpdateLogRequest
from ..request_context import current_request_id
from .columns import utc_now
from .experiments import Trial, add_trials
from .idempotency import invalidate
from .log_contents import NOT_SHARED, ContentChange, change_contents, delete_unused, insert_contents
from .log_counts import count_logs
from .schema import logs
from .search import folded, folded_json

FAILED = ("error", "cancelled", "interrupted")
"""The statuses of logs whose generation did not complete."""


CONTENT = (
    *("inputs", "messages", "output", "raw_output", "output_message", "reasoning"),
    *("provider_request", "provider_response", "stdout", "tools"),
)
"""Columns of ``logs`` that stay empty with ``save: false``."""


class NewLog(Struct, kw_only=True):
    """A new row of ``logs``: a generation that starts, or one that another program reports.

    The fields are columns. `insert_logs` leaves the `CONTENT` out unless `save` is true.

    Attributes:
        trial: A trial that is not stored yet; it is inserted with the first of its logs.
        owner: The server process that generates, while the log is running.
        request_id: The id of the request that creates the log.
        call_id: The id of the call's claim, if the call has an ``Idempotency-Key``.
        content_id: The same for all logs of a call with several samples, whose common contents are stored once.
    """

    id: str
    project_id: str
    config_id: str
    session_id: str | None
    parent_id: str | None
    save: bool
    status: Literal["running", "complete", "error"] = "running"
    owner: str | None = None
    call_id: str | None = None
    content_id: str | None = None
    request_id: str | None = field(default_factory=current_request_id)
    trial: Trial | None = None
    trial_id: str | None = None
    reference_id: str | None = None
    inputs: dict[str, Json] | None = None
    messages: list[ChatMessage] | None = None
    output: str | None = None
    output_message: ChatMessage | None = None
    provider_request: dict[str, Json] | None = None
    provider_response: dict[str, Json] | None = None
    error: str | None = None
    source: str | None = None
    source_datapoint_id: str | None = None
    environment: str | None = None
    user: str | None = None
    metadata: dict[str, Json] | None = None
    tool_choice: ToolChoiceValue | None = None
    tools: list[ToolResultResponse] | None = None
    judgment: FeedbackValue | None = None
    stdout: str | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    prompt_cost: float | None = None
    output_cost: float | None = None
    duration: float | None = None
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)


class LogFallback(Struct, kw_only=True):
    """The columns of a log that change if a fallback config answered. It belongs to no trial of an experiment.

    The contents stay None in a log that shares them.
    """

    config_id: str
    messages: list[ChatMessage] | None = None
    provider_request: dict[str, Json] | None = None
    tools: list[ToolResultResponse] | None = None
    trial_id: None = None


class LogResult(Struct, kw_only=True):
    """The end of a log's generation. The fields are columns of ``logs``, but for the last two.

    Attributes:
        fallback: Set if a fallback config answered.
        content: A change of the contents that the log shares.
    """

    id: str
    status: Literal["complete", "error", "cancelled", "interrupted"]
    output: str | None = None
    raw_output: str | None = None
    output_message: ChatMessage | None = None
    reasoning: str | None = None
    provider_response: Json = None
    finish_reason: str | None = None
    error: str | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    provider_latency: float | None = None
    updated_at: datetime = field(default_factory=utc_now)
    fallback: LogFallback | None = None
    content: ContentChange | None = None


_insert_logs = insert(logs)
_NEW_CONTENT = [name for name in CONTENT if name in NewLog.__struct_fields__]
_results: dict[str, Any] = {
    name: bindparam(name) for name in LogResult.__struct_fields__ if name not in ("id", "fallback", "content")
}
_update_logs = (
    update(logs)
    .where(logs.c.id == bindparam("log_id"))
    .values(_results | {"owner": None, "output_folded": bindparam("output_folded")})
)


_update_fallbacks = (
    update(logs)
    .where(logs.c.id == bindparam("log_id"))
    .values({name: bindparam(name) for name in LogFallback.__struct_fields__})
)


async def insert_logs(connection: AsyncConnection, rows: Collection[NewLog]) -> None:
    """Insert logs, and the trials that they belong to."""
    if trials := {row.trial.id: row.trial for row in rows if row.trial is not None}:
        await add_trials(connection, trials.values())
    columns = [_new_columns(row) for row in rows]
    await insert_contents(connection, columns)
    await connection.execute(_insert_logs, [*map(_own_columns, columns)])


async def existing_references(connection: AsyncConnection, references: Collection[str]) -> list[str]:
    """Return the references among `references` that logs have."""
    query = select(logs.c.reference_id).where(logs.c.reference_id.in_(references))
    return [reference for reference in await connection.scalars(query) if reference is not None]


async def update_log(connection: AsyncConnection, log_id: str, changes: UpdateLogRequest) -> None:
    """Change a log. A log with `save=False` keeps no output."""
    values: dict[str, Any] = {"updated_at": utc_now()}
    if changes.duration is not None:
        values["duration"] = changes.duration
    if changes.error is not None:
        values |= {"error": changes.error, "status": "error"}
    await connection.execute(update(logs).where(logs.c.id == log_id).values(values))
    if changes.output is not None:
        # `raw_output`, `output_message` and `reasoning` belong to the replaced output.
        replaced = {"output": changes.output, "output_folded": folded(changes.output)}
        await connection.execute(
            update(logs)
            .where(logs.c.id == log_id, logs.c.save)
            .values(replaced | {"raw_output": None, "output_message": None, "reasoning": None})
        )


async def delete_logs(connection: AsyncConnection, ids: Sequence[str]) -> None:
    """Delete logs with their feedback and the contents that no other log shares; child logs stay.

    The stored responses of their calls become invalid.

    This must be the last statement of its transaction.
    """
    # Locked in the order in which others lock logs, which prevents deadlocks; a DELETE has no order.
    await connection.execute(select(logs.c.id).where(logs.c.id.in_(ids)).order_by(logs.c.id).with_for_update())
    removal = delete(logs).where(logs.c.id.in_(ids))
    columns = logs.c.project_id, logs.c.created_at, logs.c.call_id, logs.c.status, logs.c.content_id
    removed = (await connection.execute(removal.returning(*columns))).all()
    await delete_unused(connection, {row.content_id for row in removed if row.content_id is not None})
    # A failed call has no stored response, and its key may belong to another attempt by now.
    succeeded = [row for row in removed if row.status not in FAILED]
    await invalidate(connection, {row.call_id for row in succeeded if row.call_id is not None})
    await count_logs(connection, [(row.project_id, row.created_at) for row in removed], step=-1)


async def finish_logs(connection: AsyncConnection, results: Iterable[LogResult]) -> None:
    """Store the ends of generations."""
    # In the order in which feedback locks logs, which prevents deadlocks.
    results = sorted(results, key=lambda result: result.id)
    rows = [msgspec.structs.asdict(result) for result in results]
    for row in rows:
        row["log_id"] = row.pop("id")
        row["output_folded"] = folded(row["output"])
        del row["fallback"], row["content"]
    await connection.execute(_update_logs, rows)
    if fallbacks := [
        msgspec.structs.asdict(result.fallback) | {"log_id": result.id}
        for result in results
        if result.fallback is not None
    ]:
        await connection.execute(_update_fallbacks, fallbacks)
    await change_contents(connection, {change.id: change for result in results if (change := result.content)})


async def session_of_log(
    connection: AsyncConnection, *, id: str | None = None, reference_id: str | None = None
) -> tuple[str, str | None] | None:
    """Return the id and the session's id of a log, by id or by the caller's reference."""
    query = select(logs.c.id, logs.c.session_id)
    query = query.where(logs.c.id == id) if id is not None else query.where(logs.c.reference_id == reference_id)
    row = (await connection.execute(query)).first()
    return (row.id, row.session_id) if row else None


def _new_columns(row: NewLog) -> dict[str, Any]:
    columns = msgspec.structs.asdict(row)
    if (trial := columns.pop("trial")) is not None:
        columns["trial_id"] = trial.id
    if not row.save:
        columns |= dict.fromkeys(_NEW_CONTENT)
    return columns


def _own_columns(columns: dict[str, Any]) -> dict[str, Any]:
    """Complete the columns of a new log, those that are not in shared contents."""
    if columns["content_id"] is not None:
        columns |= NOT_SHARED
    columns["inputs_folded"] = folded_json(columns["inputs"])
    columns["output_folded"] = folded(columns["output"])
    columns["metadata_folded"] = folded_json(columns["metadata"])
    return columns
