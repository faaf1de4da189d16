"""``/sessions``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ....types import CreateSessionResponse, ListSessionsQuery, PaginatedData, SessionResponse
from ....wire.operations import logs as ops
from ...errors import ApiError
from ...storage.sessions import add_session, page_of_sessions, sessions_by_id
from ..routing import ApiCall, Handler
from .lookups import find_project


async def list_sessions(call: ApiCall) -> PaginatedData[SessionResponse]:
    query = cast("ListSessionsQuery", call.query)
    async with call.service.database.read() as connection:
        await find_project(connection, query.project_id)
        skip = (query.page - ops.LIST_SESSIONS.first_page) * query.size
        records, total = await page_of_sessions(connection, query.project_id, skip=skip, size=query.size)
    return PaginatedData(records=records, page=query.page, size=query.size, total=total)


async def create_session(call: ApiCall) -> CreateSessionResponse:
    async with call.service.database.write() as connection:
        return CreateSessionResponse(id=await add_session(connection, None))


async def get_session(call: ApiCall) -> SessionResponse:
    async with call.service.database.read() as connection:
        found = await sessions_by_id(connection, [call.path["id"]])
    if not found:
        raise ApiError(404, f"there is no session {call.path['id']!r:.80}")
    return found[0]


HANDLERS: Mapping[str, Handler] = {
    ops.LIST_SESSIONS.id: list_sessions,
    ops.CREATE_SESSION.id: create_session,
    ops.GET_SESSION.id: get_session,
}
