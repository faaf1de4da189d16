"""Paged lists for synchronous code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

from ..client.pages import Pages
from ..types import PaginatedData
from .loop_thread import LoopThread

RecordT = TypeVar("RecordT")


class SyncPages(Generic[RecordT]):
    """A list that the server returns page by page.

    The attributes are those of the requested page. ``for`` yields the records of that page and of all later ones. Each
    page is fetched on first use, which then raises what every call raises.
    """

    def __init__(self, loop: LoopThread, pages: Pages[RecordT]) -> None:
        self._loop = loop
        self._pages = pages
        self._fetched: PaginatedData[RecordT] | None = None

    def __iter__(self) -> Iterator[RecordT]:
        number, page = self._pages.first, self._page
        yield from page.records
        while (following := self._pages.after(number, page)) is not None:
            number, page = following, self._loop.call(partial(self._pages.fetch, following))
            yield from page.records

    @property
    def _page(self) -> PaginatedData[RecordT]:
        if self._fetched is None:
            self._fetched = self._loop.call(partial(self._pages.fetch, self._pages.first))
        return self._fetched

    @property
    def records(self) -> list[RecordT]:
        """The page's records."""
        return self._page.records

    @property
    def page(self) -> int:
        """The number of the page."""
        return self._page.page

    @property
    def size(self) -> int:
        """Most records on a page."""
        return self._page.size

    @property
    def total(self) -> int:
        """The number of records on all pages."""
        return self._page.total

    @property
    def body(self) -> dict[str, Any]:
        """The page as decoded JSON."""
        return self._page.body

    def to_dict(self) -> dict[str, Any]:
        """Return the page as a dict of plain JSON types."""
        return self._page.to_dict()

    def to_json(self) -> str:
        """Return the page as JSON text."""
        return self._page.to_json()

    @property
    def headers(self) -> Mapping[str, str]:
        """The response's headers."""
        return self._page.headers

    @property
    def status(self) -> int:
        """The HTTP status code."""
        return self._page.status

    @property
    def round_trip_time(self) -> float:
        """Seconds from sending the request to the end of the response, retries included."""
        return self._page.round_trip_time
