"""Paged lists: await one for a page, iterate over one for every record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Mapping
from typing import Any, Generic, TypeVar

from ..types import PaginatedData
from ..wire.operations import Operation
from .core import Core

RecordT = TypeVar("RecordT")


class Pages(Generic[RecordT]):
    """A list that the server returns page by page. No request is sent before the first use.

    ``await`` it for one page. ``async for`` yields the records of that page and of all later ones, and fetches each
    page when its first record is needed; leaving the loop early needs no clean-up. If records are added or deleted
    during the loop, others can move to another page and be yielded twice or not at all.

    Both raise what every call raises, see `Projects`.

    Attributes:
        first: Number of the first page to fetch.
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
        """Fetch a page by its number."""
        return await self._core.call(self._operation, {**self._params, "page": page})

    def after(self, page: int, response: PaginatedData[RecordT]) -> int | None:
        """Return the number of the page after `page`, None if that is the last one.

        Args:
            page: Number of a page.
            response: That page.
        """
        so_far = (page - self._operation.first_page + 1) * response.size
        return page + 1 if response.records and so_far < response.total else None


class _Records(Generic[RecordT]):
    # Not a generator: if a loop is left early, a generator waits for the event loop to close it.
    def __init__(self, pages: Pages[RecordT]) -> None:
        self._pages = pages
        self._next: int | None = pages.first
        self._page: list[RecordT] = []
        self._position = 0

    def __aiter__(self) -> _Records[RecordT]:
        return self

    async def __anext__(self) -> RecordT:
        while self._position == len(self._page):
            if self._next is None:
                raise StopAsyncIteration
            response = await self._pages.fetch(self._next)
            self._next = self._pages.after(self._next, response)
            self._page, self._position = response.records, 0
        record = self._page[self._position]
        self._position += 1
        return record
