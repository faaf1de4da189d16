"""Logs, feedback and sessions: signatures and docstrings; `Core` does the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, Unpack, cast, overload

import msgspec

from ..errors import InvalidArgument
from ..types import (
    CreateLogResponse,
    CreateSessionResponse,
    FeedbackResponse,
    LogResponse,
    Response,
    ResponseList,
    SessionResponse,
)
from ..wire.operations import Operation
from ..wire.operations import logs as ops
from .core import Core, Resource
from .pages import Pages
from .params import CallOptions
from .record_params import (
    FeedbackBody,
    FeedbackParams,
    ListLogsParams,
    LogBody,
    LogParams,
    PageParams,
    UpdateLogParams,
)

RecordT = TypeVar("RecordT", bound=Response)


class Logs(Resource):
    """Logs of what was generated, through this API or elsewhere. See `Projects` for what the calls raise."""

    @overload
    async def log(
        self: Resource, body: Sequence[LogBody], **options: Unpack[CallOptions]
    ) -> ResponseList[CreateLogResponse]: ...
    @overload
    async def log(self: Resource, body: LogBody, **options: Unpack[CallOptions]) -> CreateLogResponse: ...
    @overload
    async def log(self: Resource, body: None = None, **params: Unpack[LogParams]) -> CreateLogResponse: ...
    async def log(
        self: Resource, body: object = None, **params: Any
    ) -> CreateLogResponse | ResponseList[CreateLogResponse]:
        """Store a log, given as keywords or as one object; or a list of logs, all or none of them.

        Source: Humanloop API v4, POST /logs.
        """
        return await _one_or_many(self._core, ops.LOG, body, params)

    def list(self, project_id: str, **params: Unpack[ListLogsParams]) -> Pages[LogResponse]:
        """A project's logs, newest first unless `sort` says otherwise. The first page is 0; 50 records each.

        Source: Humanloop API v4, GET /logs.
        """
        return Pages(self._core, ops.LIST_LOGS, {"project_id": project_id, **params})

    async def get(self, id: str, **options: Unpack[CallOptions]) -> LogResponse:
        """One log.

        Source: Humanloop API v4, GET /logs/{id}.
        """
        return await self._core.call(ops.GET_LOG, {"id": id, **options})

    async def update(self, id: str, **params: Unpack[UpdateLogParams]) -> LogResponse:
        """Complete a log with what was not known when it was stored.

        Source: Humanloop API v4, PATCH /logs/{id}.
        """
        return await self._core.call(ops.UPDATE_LOG, {"id": id, **params})

    async def update_by_ref(self, reference_id: str, **params: Unpack[UpdateLogParams]) -> LogResponse:
        """Complete the log that was stored with this `reference_id`.

        Source: Humanloop API v4, PATCH /logs.
        """
        return await self._core.call(ops.UPDATE_LOG_BY_REF, {"reference_id": reference_id, **params})

    async def delete(self, id: str | Sequence[str], **options: Unpack[CallOptions]) -> None:
        """Delete logs by their ids.

        Raises:
            InvalidArgument: No id is given, which a server may take for "all".

        Source: Humanloop API v4, DELETE /logs.
        """
        try:
            ids = [id] if isinstance(id, str) else [*id]
        except TypeError:  # None, say
            ids = []
        if not ids or not all(ids):
            raise InvalidArgument("logs.delete needs at least one id, and no empty ones")
        return await self._core.call(ops.DELETE_LOGS, {"id": ids, **options})


class FeedbackApi(Resource):
    """Feedback on logs. See `Projects` for what the calls raise."""

    @overload
    async def feedback(
        self: Resource, body: Sequence[FeedbackBody], **options: Unpack[CallOptions]
    ) -> ResponseList[FeedbackResponse]: ...
    @overload
    async def feedback(self: Resource, body: FeedbackBody, **options: Unpack[CallOptions]) -> FeedbackResponse: ...
    @overload
    async def feedback(self: Resource, body: None = None, **params: Unpack[FeedbackParams]) -> FeedbackResponse: ...
    async def feedback(
        self: Resource, body: object = None, **params: Any
    ) -> FeedbackResponse | ResponseList[FeedbackResponse]:
        """Say what somebody thinks of a log, as keywords or as one object; or of several, all or none of them.

        Source: Humanloop API v4, POST /feedback.
        """
        return await _one_or_many(self._core, ops.FEEDBACK, body, params)


class Sessions(Resource):
    """Sessions: logs that belong together. See `Projects` for what the calls raise."""

    def list(self, project_id: str, **params: Unpack[PageParams]) -> Pages[SessionResponse]:
        """The sessions that have logs of a project. The first page is 1; 10 records each.

        Source: Humanloop API v4, GET /sessions.
        """
        return Pages(self._core, ops.LIST_SESSIONS, {"project_id": project_id, **params})

    async def create(self, **options: Unpack[CallOptions]) -> CreateSessionResponse:
        """Create an empty session. A `session_reference_id` creates one as well, on its first use.

        Source: Humanloop API v4, POST /sessions.
        """
        return await self._core.call(ops.CREATE_SESSION, options)

    async def get(self, id: str, **options: Unpack[CallOptions]) -> SessionResponse:
        """One session.

        Source: Humanloop API v4, GET /sessions/{id}.
        """
        return await self._core.call(ops.GET_SESSION, {"id": id, **options})


async def _one_or_many(
    core: Core, operation: Operation[Any, RecordT], body: object, params: Mapping[str, Any]
) -> RecordT | ResponseList[RecordT]:
    if body is None:
        return await core.call(operation, params)
    if isinstance(body, msgspec.Struct):
        body = msgspec.to_builtins(body)
    if both := sorted(set(params) - set(CallOptions.__annotations__)):
        raise InvalidArgument(f"give {both[0]!r} in the body or as a keyword, not beside a body")
    if isinstance(body, Mapping):
        return await core.call(operation, {**cast("Mapping[str, Any]", body), **params})
    if isinstance(body, Sequence) and not isinstance(body, str | bytes):
        return await core.call_batch(operation, cast("Sequence[object]", body), params)
    raise InvalidArgument(f"the body is a {type(body).__name__}: give an object or a list of them")
