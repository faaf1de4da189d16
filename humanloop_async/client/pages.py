"""Paged lists: one page when awaited, every record when iterated."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Mapping
from typing import Any, Generic, TypeVar

from ..types import PaginatedData
from ..wire.operations import Operation
from .core import Core

RecordT = TypeVar("RecordT")


class Pages(Generic[RecordT]):
    """A list that the server gives out in pages. Nothing is sent before it is used.

    ``await`` it for one page. ``async for`` gives the records of that page and of all after it, each page fetched when
    its first record is due; leaving the loop early needs no clean-up. A record that is added or deleted meanwhile
    can move others across the border of a page, so that they come twice or not at all.

    Both raise what every call raises, see `Projects`.

    Attributes:
        first: The number of the page to begin with.
    """

    def __init__(
        self, core: Core, operation: Operation[None, PaginatedData[RecordT]], params: Mapping[str, Any]
    ) -> None:
        self._core = core
        self._operation = operation
        self._params = params
        page = params.get("page")
        self.first: int = operation.first_page if page is None else page

    def __await__(self) -> Generator[Any, Any, PaginatedData[RecordT]]:
        return self.fetch(self.first).__await__()

    def __aiter__(self) -> AsyncIterator[RecordT]:
        return _Records(self)

    async def fetch(self, page: int) -> PaginatedData[RecordT]:
        """One page by its number."""
        return await self._core.call(self._operation, {**self._params, "page": page})

    def after(self, page: int, answer: PaginatedData[RecordT]) -> int | None:
        """The number of the page after `page`, None when there is none."""
        so_far = (page - self._operation.first_page + 1) * answer.size
        return page + 1 if answer.records and so_far < answer.total else None


class _Records(Generic[RecordT]):
    # Not a generator: one that is left early waits for the event loop to close it.
    def __init__(self, pages: Pages[RecordT]) -> None:
        self._pages = pages
        self._next: int | None = pages.first
        self._page: list[RecordT] = []
        self._place = 0

    def __aiter__(self) -> _Records[RecordT]:
        return self

    async def __anext__(self) -> RecordT:
        while self._place == len(self._page):
            if self._next is None:
                raise StopAsyncIteration
            answer = await self._pages.fetch(self._next)
            self._next = self._pages.after(self._next, answer)
            self._page, self._place = answer.records, 0
        record = self._page[self._place]
        self._place += 1
        return record
