"""Logs, feedback and sessions as plain methods; `humanloop_async.client.logs` explains them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Unpack, overload

from ..client import logs
from ..client.params import CallOptions
from ..client.record_params import (
    FeedbackBody,
    FeedbackParams,
    ListLogsParams,
    LogBody,
    LogParams,
    PageParams,
    UpdateLogParams,
)
from ..types import (
    CreateLogResponse,
    CreateSessionResponse,
    FeedbackResponse,
    LogResponse,
    ResponseList,
    SessionResponse,
)
from .pages import SyncPages
from .resource import Resource, documented


@documented(logs.Logs)
class Logs(Resource):
    """Logs of what was generated, through this API or elsewhere."""

    @overload
    def log(
        self: Resource, body: Sequence[LogBody], **options: Unpack[CallOptions]
    ) -> ResponseList[CreateLogResponse]: ...
    @overload
    def log(self: Resource, body: LogBody, **options: Unpack[CallOptions]) -> CreateLogResponse: ...
    @overload
    def log(self: Resource, body: None = None, **params: Unpack[LogParams]) -> CreateLogResponse: ...
    def log(self: Resource, body: object = None, **params: Any) -> CreateLogResponse | ResponseList[CreateLogResponse]:
        return self._loop.call(partial(self._client.logs.log, body, **params))

    def list(self, project_id: str, **params: Unpack[ListLogsParams]) -> SyncPages[LogResponse]:
        return SyncPages(self._loop, self._client.logs.list(project_id, **params))

    def get(self, id: str, **options: Unpack[CallOptions]) -> LogResponse:
        return self._loop.call(partial(self._client.logs.get, id, **options))

    def update(self, id: str, **params: Unpack[UpdateLogParams]) -> LogResponse:
        return self._loop.call(partial(self._client.logs.update, id, **params))

    def update_by_ref(self, reference_id: str, **params: Unpack[UpdateLogParams]) -> LogResponse:
        return self._loop.call(partial(self._client.logs.update_by_ref, reference_id, **params))

    def delete(self, id: str | Sequence[str], **options: Unpack[CallOptions]) -> None:
        return self._loop.call(partial(self._client.logs.delete, id, **options))


@documented(logs.FeedbackApi)
class FeedbackApi(Resource):
    """Feedback on logs."""

    @overload
    def feedback(
        self: Resource, body: Sequence[FeedbackBody], **options: Unpack[CallOptions]
    ) -> ResponseList[FeedbackResponse]: ...
    @overload
    def feedback(self: Resource, body: FeedbackBody, **options: Unpack[CallOptions]) -> FeedbackResponse: ...
    @overload
    def feedback(self: Resource, body: None = None, **params: Unpack[FeedbackParams]) -> FeedbackResponse: ...
    def feedback(
        self: Resource, body: object = None, **params: Any
    ) -> FeedbackResponse | ResponseList[FeedbackResponse]:
        return self._loop.call(partial(self._client.feedback_api.feedback, body, **params))


@documented(logs.Sessions)
class Sessions(Resource):
    """Sessions: logs that belong together."""

    def list(self, project_id: str, **params: Unpack[PageParams]) -> SyncPages[SessionResponse]:
        return SyncPages(self._loop, self._client.sessions.list(project_id, **params))

    def create(self, **options: Unpack[CallOptions]) -> CreateSessionResponse:
        return self._loop.call(partial(self._client.sessions.create, **options))

    def get(self, id: str, **options: Unpack[CallOptions]) -> SessionResponse:
        return self._loop.call(partial(self._client.sessions.get, id, **options))
