"""The path of every call of the sync client: the async client's, on the background loop."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, TypeVar, overload

from ..client.core import Core, RecordT, ResponseT
from ..client.pages import Pages
from ..types import ChatResponse, CompletionResponse, PaginatedData, ResponseList
from ..wire.operations import Operation
from .loop_thread import LoopThread
from .pages import SyncPages
from .stream import SyncChatStream, SyncCompletionStream

ItemT = TypeVar("ItemT")


class SyncCore:
    """Calls operations on the background loop, and waits for them."""

    def __init__(self, loop: LoopThread, core: Core) -> None:
        self._loop = loop
        self._core = core

    def call(self, operation: Operation[Any, ResponseT], params: Mapping[str, Any]) -> ResponseT:
        """Call an operation, as `Core.call` does."""
        return self._loop.call(partial(self._core.call, operation, params))

    @overload
    def call_batch(
        self, operation: Operation[Any, ResponseList[RecordT]], body: object, params: Mapping[str, Any]
    ) -> ResponseList[RecordT]: ...
    @overload
    def call_batch(
        self, operation: Operation[Any, RecordT], body: object, params: Mapping[str, Any]
    ) -> RecordT | ResponseList[RecordT]: ...
    def call_batch(self, operation: Operation[Any, Any], body: object, params: Mapping[str, Any]) -> Any:
        """Call an operation whose body may be a list, as `Core.call_batch` does."""
        return self._loop.call(partial(self._core.call_batch, operation, body, params))

    def open_completion(
        self, operation: Operation[Any, CompletionResponse], params: Mapping[str, Any]
    ) -> SyncCompletionStream:
        """Open a streamed completion and wait for its headers."""
        return SyncCompletionStream(self._loop, self._loop.call(partial(self._core.open_completion, operation, params)))

    def open_chat(self, operation: Operation[Any, ChatResponse], params: Mapping[str, Any]) -> SyncChatStream:
        """Open a streamed chat and wait for its headers."""
        return SyncChatStream(self._loop, self._loop.call(partial(self._core.open_chat, operation, params)))

    def pages(self, operation: Operation[None, PaginatedData[ItemT]], params: Mapping[str, Any]) -> SyncPages[ItemT]:
        """Return a paged list; nothing is sent yet."""
        return SyncPages(self._loop, Pages(self._core, operation, params))


class Resource:
    """Base of the classes whose methods call operations."""

    def __init__(self, core: SyncCore) -> None:
        self._core = core
