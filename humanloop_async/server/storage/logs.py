"""Queries on ``logs``, and on ``servers``, whose leases tell which running logs were interrupted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct, field
from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import ChatMessage, Json, ToolChoiceValue
from .database import insert_missing
from .schema import logs, servers

INTERRUPTED = "the server stopped before the generation finished"


def _now() -> datetime:
    return datetime.now(UTC)


class NewLog(Struct, kw_only=True):
    """A log at the moment its generation begins; the fields are columns of ``logs``."""

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
    user: str | None = None
    metadata: dict[str, Json] | None = None
    tool_choice: ToolChoiceValue | None = None
    status: str = "running"
    created_at: datetime = field(default_factory=_now)


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
    updated_at: datetime = field(default_factory=_now)


_insert_logs = insert(logs)
_results: dict[str, Any] = {name: bindparam(name) for name in LogResult.__struct_fields__ if name != "id"}
_update_logs = update(logs).where(logs.c.id == bindparam("log_id")).values(_results | {"owner": None})


async def insert_logs(connection: AsyncConnection, rows: Iterable[NewLog]) -> None:
    """Store logs of generations that begin."""
    await connection.execute(_insert_logs, [_columns(row) | {"updated_at": row.created_at} for row in rows])


async def finish_logs(connection: AsyncConnection, results: Iterable[LogResult]) -> None:
    """Store how generations ended."""
    rows = [_columns(result) for result in results]
    for row in rows:
        row["log_id"] = row.pop("id")
    await connection.execute(_update_logs, rows)


async def session_of_log(
    connection: AsyncConnection, *, id: str | None = None, reference_id: str | None = None
) -> tuple[str, str | None] | None:
    """The id and the session's id of the log with that id, or else with that reference."""
    query = select(logs.c.id, logs.c.session_id)
    query = query.where(logs.c.id == id) if id is not None else query.where(logs.c.reference_id == reference_id)
    row = (await connection.execute(query)).first()
    return (row.id, row.session_id) if row else None


async def renew_lease(connection: AsyncConnection, server_id: str, until: datetime) -> None:
    """Say that a server is alive, and counts as alive until then."""
    await insert_missing(connection, servers, {"id": server_id, "alive_until": until})
    await connection.execute(update(servers).where(servers.c.id == server_id).values(alive_until=until))


async def end_lease(connection: AsyncConnection, server_id: str) -> None:
    """Say that a server stops."""
    await connection.execute(delete(servers).where(servers.c.id == server_id))


async def dead_owners(connection: AsyncConnection) -> Sequence[str]:
    """The servers that have running logs and are not alive."""
    alive = select(servers.c.id).where(servers.c.alive_until > _now())
    query = select(logs.c.owner).where(logs.c.owner.is_not(None), logs.c.owner.not_in(alive)).distinct()
    return [owner for owner in (await connection.execute(query)).scalars() if owner is not None]


async def mark_interrupted(connection: AsyncConnection, owners: Sequence[str]) -> None:
    """Mark the running logs of dead servers, and forget those servers."""
    await connection.execute(
        update(logs)
        .where(logs.c.owner.in_(owners))
        .values(status="interrupted", error=INTERRUPTED, owner=None, updated_at=_now())
    )
    await connection.execute(delete(servers).where(servers.c.id.in_(owners)))


def _columns(row: Struct) -> dict[str, Any]:
    return msgspec.structs.asdict(row)
