"""``/sessions``."""

from __future__ import annotations

from .... import types as t
from ....wire.operations import logs as ops
from ...errors import ApiError
from ...storage.sessions import add_session, page_of_sessions, sessions_by_id
from ..calls import ApiCall, handles
from .lookups import find_project


@handles(ops.LIST_SESSIONS)
async def list_sessions(call: ApiCall[None, t.ListSessionsQuery]) -> t.PaginatedData[t.SessionResponse]:
    query = call.query
    async with call.service.database.read() as connection:
        await find_project(connection, query.project_id)
        skip = (query.page - call.operation.first_page) * query.size
        records, total = await page_of_sessions(connection, query.project_id, skip=skip, size=query.size)
    return t.PaginatedData(records=records, page=query.page, size=query.size, total=total)


@handles(ops.CREATE_SESSION)
async def create_session(call: ApiCall[None, None]) -> t.CreateSessionResponse:
    async with call.service.database.write() as connection:
        return t.CreateSessionResponse(id=await add_session(connection, None))


@handles(ops.GET_SESSION)
async def get_session(call: ApiCall[None, None]) -> t.SessionResponse:
    async with call.service.database.read() as connection:
        sessions = await sessions_by_id(connection, [call.path["id"]])
    if not sessions:
        raise ApiError(404, f"there is no session {call.path['id']!r:.80}")
    return sessions[0]
