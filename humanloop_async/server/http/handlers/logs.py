"""``/logs``, and the export of a project, which is the same list."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

from sqlalchemy.ext.asyncio import AsyncConnection

from .... import types as t
from ....wire.operations import logs as ops
from ....wire.operations.projects import EXPORT_PROJECT
from ...errors import ApiError, InvalidRequest
from ...records.log_ingest import ingest_logs
from ...service import Service
from ...storage.evaluation_steps import queue_active_evaluators
from ...storage.feedback import lock_logs
from ...storage.log_filters import number_of_filters, reads_every_log
from ...storage.log_reading import log_id_by_reference, logs_by_id, page_of_logs
from ...storage.logs import delete_logs, update_log
from ..calls import ApiCall, Batch, handles, handles_batch
from .lookups import find_project

MAX_FILTERS = 20
"""Most values of all filters of a list, and most sort columns (422 above)."""


@handles_batch(ops.LOG)
async def log(call: ApiCall[Batch[t.LogRequest], None]) -> list[t.CreateLogResponse]:
    return await ingest_logs(call.service.database, call.body)


@handles(ops.LIST_LOGS)
async def list_logs(call: ApiCall[None, t.ListLogsQuery]) -> t.PaginatedData[t.LogResponse]:
    return await _page(call.service, call.query)


@handles(EXPORT_PROJECT)
async def export(call: ApiCall[None, t.ExportQuery]) -> t.PaginatedData[t.LogResponse]:
    query = t.ListLogsQuery(project_id=call.path["id"], page=call.query.page, size=call.query.size)
    return await _page(call.service, query)


@handles(ops.GET_LOG)
async def get_log(call: ApiCall[None, None]) -> t.LogResponse:
    async with call.service.database.read() as connection:
        return await _log(connection, call.path["id"])


@handles(ops.UPDATE_LOG)
async def update(call: ApiCall[t.UpdateLogRequest, None]) -> t.LogResponse:
    async with call.service.database.write() as connection:
        return await _update(connection, call.path["id"], call.body)


@handles(ops.UPDATE_LOG_BY_REF)
async def update_by_reference(call: ApiCall[t.UpdateLogRequest, t.ReferenceQuery]) -> t.LogResponse:
    reference = call.query.reference_id
    async with call.service.database.write() as connection:
        if (log_id := await log_id_by_reference(connection, reference)) is None:
            raise ApiError(404, f"there is no log with the `reference_id` {reference!r:.80}")
        return await _update(connection, log_id, call.body)


@handles(ops.DELETE_LOGS)
async def delete(call: ApiCall[None, t.DeleteLogsQuery]) -> None:
    async with call.service.database.write() as connection:
        await lock_logs(connection, call.query.id)
        await delete_logs(connection, call.query.id)


async def _update(connection: AsyncConnection, log_id: str, changes: t.UpdateLogRequest) -> t.LogResponse:
    await update_log(connection, log_id, changes)
    await queue_active_evaluators(connection, [log_id])  # it may have its output only now
    return await _log(connection, log_id)


async def _page(service: Service, query: t.ListLogsQuery) -> t.PaginatedData[t.LogResponse]:
    for name, number in (("sort", len(query.sort or ())), ("filter", number_of_filters(query))):
        if number > MAX_FILTERS:
            message = f"a list has at most {MAX_FILTERS} values for {name}; this one has {number}"
            raise InvalidRequest([t.ValidationIssue(loc=["query", name], msg=message, type="value_error")])
    # A bounded number of expensive searches leaves connections and CPU time to other requests.
    turn = service.searches if reads_every_log(query) else nullcontext()
    seconds = service.settings.list_timeout
    try:
        async with asyncio.timeout(seconds), turn, service.database.read() as connection:
            await find_project(connection, query.project_id)
            records, total = await page_of_logs(connection, query)
    except TimeoutError as exc:
        message = f"the list took more than {seconds:g} seconds; use fewer filters, or start_date and end_date"
        raise ApiError(503, message, retry_after=5) from exc
    return t.PaginatedData(records=records, page=query.page, size=query.size, total=total)


async def _log(connection: AsyncConnection, log_id: str) -> t.LogResponse:
    logs = await logs_by_id(connection, [log_id])
    if not logs:
        raise ApiError(404, f"there is no log {log_id!r:.80}")
    return logs[0]
