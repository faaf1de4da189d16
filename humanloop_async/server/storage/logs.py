"""Writes to ``logs``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct, field
from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import ChatMessage, FeedbackValue, Json, ToolChoiceValue, UpdateLogRequest
from .columns import utc_now
from .experiments import Trial, add_trials
from .idempotency import invalidate
from .log_counts import count_logs
from .schema import logs
from .search import folded, folded_json

FAILED = ("error", "cancelled", "interrupted")
"""The states of logs whose generations did not come to their end."""


class NewLog(Struct, kw_only=True):
    """A log at the moment its generation begins; the fields are columns of ``logs``.

    Attributes:
        trial: What the log is of; it is stored with the first of its logs.
        call_id: The id of the claim that its call has, if any.
    """

    id: str
    project_id: str
    config_id: str
    session_id: str | None
    parent_id: str | None
    owner: str
    save: bool
    inputs: dict[str, Json] | None = None
    messages: list[ChatMessage] | None = None
    provider_request: dict[str, Json] | None = None
    source: str | None = None
    source_datapoint_id: str | None = None
    environment: str | None = None
    trial: Trial | None = None
    call_id: str | None = None
    user: str | None = None
    metadata: dict[str, Json] | None = None
    tool_choice: ToolChoiceValue | None = None
    status: str = "running"
    created_at: datetime = field(default_factory=utc_now)


class SubmittedLog(Struct, kw_only=True):
    """A log of what another program made; the fields are columns of ``logs``."""

    id: str
    project_id: str
    config_id: str
    session_id: str | None
    parent_id: str | None
    reference_id: str | None
    trial_id: str | None
    status: Literal["complete", "error"]
    save: bool
    inputs: dict[str, Json] | None
    messages: list[ChatMessage] | None
    output: str | None
    output_message: ChatMessage | None
    provider_request: dict[str, Json] | None
    provider_response: dict[str, Json] | None
    error: str | None
    source: str | None
    source_datapoint_id: str | None
    environment: str | None
    metadata: dict[str, Json] | None
    judgment: FeedbackValue | None
    stdout: str | None
    prompt_tokens: int | None
    output_tokens: int | None
    prompt_cost: float | None
    output_cost: float | None
    duration: float | None
    created_at: datetime


class LogResult(Struct, kw_only=True):
    """What the end of a generation adds to its log; the fields are columns of ``logs``."""

    id: str
    status: Literal["complete", "error", "cancelled", "interrupted"]
    output: str | None = None
    raw_output: str | None = None
    output_message: ChatMessage | None = None
    provider_response: Json = None
    finish_reason: str | None = None
    error: str | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    provider_latency: float | None = None
    updated_at: datetime = field(default_factory=utc_now)


_insert_logs = insert(logs)
_results: dict[str, Any] = {name: bindparam(name) for name in LogResult.__struct_fields__ if name != "id"}
_update_logs = (
    update(logs)
    .where(logs.c.id == bindparam("log_id"))
    .values(_results | {"owner": None, "output_folded": bindparam("output_folded")})
)


async def insert_logs(connection: AsyncConnection, rows: Iterable[NewLog]) -> None:
    """Store logs of generations that begin, and the trials that they are of."""
    rows = [*rows]
    if trials := {row.trial.id: row.trial for row in rows if row.trial is not None}:
        await add_trials(connection, trials.values())
    await connection.execute(_insert_logs, [_new_columns(row) | {"updated_at": row.created_at} for row in rows])


async def existing_references(connection: AsyncConnection, references: Collection[str]) -> list[str]:
    """Those of the references that logs have already."""
    query = select(logs.c.reference_id).where(logs.c.reference_id.in_(references))
    return [reference for reference in (await connection.execute(query)).scalars() if reference is not None]


async def insert_submitted_logs(connection: AsyncConnection, rows: Iterable[SubmittedLog]) -> None:
    """Store logs of what other programs made."""
    now = utc_now()
    added = [_new_columns(row) | {"output_folded": folded(row.output), "updated_at": now} for row in rows]
    await connection.execute(_insert_logs, added)


async def update_log(connection: AsyncConnection, log_id: str, changes: UpdateLogRequest) -> None:
    """Complete a log. The output is left out of one that was not to be saved."""
    values: dict[str, Any] = {"updated_at": utc_now()}
    if changes.duration is not None:
        values["duration"] = changes.duration
    if changes.error is not None:
        values |= {"error": changes.error, "status": "error"}
    await connection.execute(update(logs).where(logs.c.id == log_id).values(values))
    if changes.output is not None:
        # `raw_output` and `output_message` told of the output that is replaced.
        replaced = {"output": changes.output, "output_folded": folded(changes.output)}
        await connection.execute(
            update(logs)
            .where(logs.c.id == log_id, logs.c.save)
            .values(replaced | {"raw_output": None, "output_message": None})
        )


async def delete_logs(connection: AsyncConnection, ids: Sequence[str]) -> None:
    """Delete logs, the feedback on them, and the answers kept of the calls that made them; their children stay.

    The last step of its transaction.
    """
    removal = delete(logs).where(logs.c.id.in_(ids))
    columns = logs.c.project_id, logs.c.created_at, logs.c.call_id, logs.c.status
    removed = (await connection.execute(removal.returning(*columns))).all()
    # Of a call that failed nothing is kept, and its key may have served another attempt since.
    made = [row for row in removed if row.status not in FAILED]
    await invalidate(connection, {row.call_id for row in made if row.call_id is not None})
    await count_logs(connection, [(row.project_id, row.created_at) for row in removed], step=-1)


async def finish_logs(connection: AsyncConnection, results: Iterable[LogResult]) -> None:
    """Store how generations ended."""
    # In the order in which feedback locks logs, so that the two never wait for each other.
    rows = [_columns(result) for result in sorted(results, key=lambda result: result.id)]
    for row in rows:
        row["log_id"] = row.pop("id")
        row["output_folded"] = folded(row["output"])
    await connection.execute(_update_logs, rows)


async def session_of_log(
    connection: AsyncConnection, *, id: str | None = None, reference_id: str | None = None
) -> tuple[str, str | None] | None:
    """The id and the session's id of the log with that id, or else with that reference."""
    query = select(logs.c.id, logs.c.session_id)
    query = query.where(logs.c.id == id) if id is not None else query.where(logs.c.reference_id == reference_id)
    row = (await connection.execute(query)).first()
    return (row.id, row.session_id) if row else None


def _columns(row: Struct) -> dict[str, Any]:
    return msgspec.structs.asdict(row)


def _new_columns(row: NewLog | SubmittedLog) -> dict[str, Any]:
    columns = _columns(row) | {"inputs_folded": folded_json(row.inputs), "metadata_folded": folded_json(row.metadata)}
    if isinstance(row, NewLog):
        del columns["trial"]
        columns["trial_id"] = row.trial.id if row.trial is not None else None
    return columns
