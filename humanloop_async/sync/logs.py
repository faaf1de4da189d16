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
from .loop_thread import LoopThread
from .pages import SyncPages


class Logs:
    """Logs of what was generated, through this API or elsewhere. See the async class of this name."""

    def __init__(self, loop: LoopThread, calls: logs.Logs) -> None:
        self._loop = loop
        self._calls = calls

    @overload
    def log(self, body: Sequence[LogBody], **options: Unpack[CallOptions]) -> ResponseList[CreateLogResponse]: ...
    @overload
    def log(self, body: LogBody, **options: Unpack[CallOptions]) -> CreateLogResponse: ...
    @overload
    def log(self, body: None = None, **params: Unpack[LogParams]) -> CreateLogResponse: ...
    def log(self, body: object = None, **params: Any) -> CreateLogResponse | ResponseList[CreateLogResponse]:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.log, body, **params))

    def list(self, project_id: str, **params: Unpack[ListLogsParams]) -> SyncPages[LogResponse]:
        """See `AsyncHumanloop`."""
        return SyncPages(self._loop, self._calls.list(project_id, **params))

    def get(self, id: str, **options: Unpack[CallOptions]) -> LogResponse:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.get, id, **options))

    def update(self, id: str, **params: Unpack[UpdateLogParams]) -> LogResponse:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.update, id, **params))

    def update_by_ref(self, reference_id: str, **params: Unpack[UpdateLogParams]) -> LogResponse:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.update_by_ref, reference_id, **params))

    def delete(self, id: str | Sequence[str], **options: Unpack[CallOptions]) -> None:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.delete, id, **options))


class FeedbackApi:
    """Feedback on logs. See the async class of this name."""

    def __init__(self, loop: LoopThread, calls: logs.FeedbackApi) -> None:
        self._loop = loop
        self._calls = calls

    @overload
    def feedback(
        self, body: Sequence[FeedbackBody], **options: Unpack[CallOptions]
    ) -> ResponseList[FeedbackResponse]: ...
    @overload
    def feedback(self, body: FeedbackBody, **options: Unpack[CallOptions]) -> FeedbackResponse: ...
    @overload
    def feedback(self, body: None = None, **params: Unpack[FeedbackParams]) -> FeedbackResponse: ...
    def feedback(self, body: object = None, **params: Any) -> FeedbackResponse | ResponseList[FeedbackResponse]:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.feedback, body, **params))


class Sessions:
    """Sessions: logs that belong together. See the async class of this name."""

    def __init__(self, loop: LoopThread, calls: logs.Sessions) -> None:
        self._loop = loop
        self._calls = calls

    def list(self, project_id: str, **params: Unpack[PageParams]) -> SyncPages[SessionResponse]:
        """See `AsyncHumanloop`."""
        return SyncPages(self._loop, self._calls.list(project_id, **params))

    def create(self, **options: Unpack[CallOptions]) -> CreateSessionResponse:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.create, **options))

    def get(self, id: str, **options: Unpack[CallOptions]) -> SessionResponse:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.get, id, **options))
