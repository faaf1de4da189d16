"""The path of every call of the sync client: the async client's, on the background loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from ..client.attributes import missing_attribute
from ..client.core import Core, RecordT, ResponseT
from ..client.pages import Pages
from ..types import ChatResponse, CompletionResponse, PaginatedData, ResponseList
from ..wire.operations import Operation
from .loop_thread import LoopThread
from .pages import SyncPages
from .stream import SyncChatStream, SyncCompletionStream

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class SyncCore:
    """Calls operations on the background loop, and waits for them."""

    def __init__(self, loop: LoopThread, core: Core) -> None:
        self._loop = loop
        self._core = core

    def call(self, operation: Operation[Any, ResponseT], params: dict[str, Any]) -> ResponseT:
        """Call an operation, as `Core.call` does."""
        return _mark(self._run(partial(self._core.call, operation, params), params))

    @overload
    def call_batch(
        self, operation: Operation[Any, ResponseList[RecordT]], body: object, params: dict[str, Any]
    ) -> ResponseList[RecordT]: ...
    @overload
    def call_batch(
        self, operation: Operation[Any, RecordT], body: object, params: dict[str, Any]
    ) -> RecordT | ResponseList[RecordT]: ...
    def call_batch(self, operation: Operation[Any, Any], body: object, params: dict[str, Any]) -> Any:
        """Call an operation whose body may be a list, as `Core.call_batch` does."""
        return _mark(self._run(partial(self._core.call_batch, operation, body, params), params))

    def open_completion(
        self, operation: Operation[Any, CompletionResponse], params: dict[str, Any]
    ) -> SyncCompletionStream:
        """Open a streamed completion and wait for its headers."""
        opening = partial(self._core.open_completion, operation, params)
        return SyncCompletionStream(self._loop, self._run(opening, params))

    def open_chat(self, operation: Operation[Any, ChatResponse], params: dict[str, Any]) -> SyncChatStream:
        """Open a streamed chat and wait for its headers."""
        return SyncChatStream(self._loop, self._run(partial(self._core.open_chat, operation, params), params))

    def pages(self, operation: Operation[None, PaginatedData[ItemT]], params: Mapping[str, Any]) -> SyncPages[ItemT]:
        """Return a paged list; nothing is sent yet."""
        return SyncPages(self._loop, Pages(self._core, operation, params))

    def _run(self, call: Callable[[], Awaitable[ResultT]], params: dict[str, Any]) -> ResultT:
        try:
            return self._loop.call(call)
        except BaseException:
            params.clear()  # as `Core` does, if the call has not come that far
            raise


def _mark(response: ResultT) -> ResultT:
    """Mark a response, so that ``await`` of it names the way out."""
    if response is not None:
        response.__dict__["_from_sync_client"] = True
    return response


class Resource:
    """Base of the classes whose methods call operations."""

    def __init__(self, core: SyncCore) -> None:
        self._core = core

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise missing_attribute(self, name, sync=True)
