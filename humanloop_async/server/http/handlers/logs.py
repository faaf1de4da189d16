"""``/logs``, and the export of a project, which is the same list."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import cast

from sqlalchemy.ext.asyncio import AsyncConnection

from ....types import (
    CreateLogResponse,
    DeleteLogsQuery,
    ExportQuery,
    ListLogsQuery,
    LogRequest,
    LogResponse,
    PaginatedData,
    ReferenceQuery,
    UpdateLogRequest,
)
from ....wire.operations import logs as ops
from ....wire.operations.projects import EXPORT_PROJECT
from ...errors import ApiError, BodyPath
from ...records.log_ingest import ingest_logs
from ...storage.feedback import lock_logs
from ...storage.log_filters import reads_every_log
from ...storage.log_reading import log_id_by_reference, logs_by_id, page_of_logs
from ...storage.logs import delete_logs, update_log
from ..routing import ApiCall, Handler
from .lookups import find_project


async def log(call: ApiCall) -> CreateLogResponse | list[CreateLogResponse]:
    answers = await ingest_logs(call.service.database, cast("Mapping[BodyPath, LogRequest]", call.items))
    return answers if isinstance(call.body, list) else answers[0]


async def list_logs(call: ApiCall) -> PaginatedData[LogResponse]:
    return await _page(call, cast("ListLogsQuery", call.query))


async def export(call: ApiCall) -> PaginatedData[LogResponse]:
    query = cast("ExportQuery", call.query)
    return await _page(call, ListLogsQuery(project_id=call.path["id"], page=query.page, size=query.size))


async def get_log(call: ApiCall) -> LogResponse:
    async with call.service.database.read() as connection:
        return await _log(connection, call.path["id"])


async def update(call: ApiCall) -> LogResponse:
    async with call.service.database.write() as connection:
        await update_log(connection, call.path["id"], cast("UpdateLogRequest", call.body))
        return await _log(connection, call.path["id"])


async def update_by_reference(call: ApiCall) -> LogResponse:
    reference = cast("ReferenceQuery", call.query).reference_id
    async with call.service.database.write() as connection:
        if (log_id := await log_id_by_reference(connection, reference)) is None:
            raise ApiError(404, f"there is no log with the `reference_id` {reference!r:.80}")
        await update_log(connection, log_id, cast("UpdateLogRequest", call.body))
        return await _log(connection, log_id)


async def delete(call: ApiCall) -> None:
    ids = cast("DeleteLogsQuery", call.query).id
    async with call.service.database.write() as connection:
        await lock_logs(connection, ids)
        await delete_logs(connection, ids)


async def _page(call: ApiCall, query: ListLogsQuery) -> PaginatedData[LogResponse]:
    # Others are served meanwhile: they need a connection, and a core.
    turn = call.service.searches if reads_every_log(query) else nullcontext()
    async with turn, call.service.database.read() as connection:
        await find_project(connection, query.project_id)
        records, total = await page_of_logs(connection, query)
    return PaginatedData(records=records, page=query.page, size=query.size, total=total)


async def _log(connection: AsyncConnection, log_id: str) -> LogResponse:
    found = await logs_by_id(connection, [log_id])
    if not found:
        raise ApiError(404, f"there is no log {log_id!r:.80}")
    return found[0]


HANDLERS: Mapping[str, Handler] = {
    ops.LOG.id: log,
    ops.LIST_LOGS.id: list_logs,
    ops.GET_LOG.id: get_log,
    ops.UPDATE_LOG.id: update,
    ops.UPDATE_LOG_BY_REF.id: update_by_reference,
    ops.DELETE_LOGS.id: delete,
    EXPORT_PROJECT.id: export,
}
