"""aiohttp's connection and body, for a reader who takes all there is as soon as it comes."""

from __future__ import annotations

from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler

from .arrival import Arrival, receive


class Handler(ResponseHandler):
    """aiohttp's protocol of one connection; tells who waits for the body when there may be something to read."""

    arrival: Arrival | None = None

    def is_connected(self) -> bool:
        """Asked by the pool. What came while nobody had asked would be taken for the next request's answer."""
        return super().is_connected() and not self.should_close

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if (arrival := self.arrival) is not None and (arrival.tap is None or not arrival.tap()):
            self._tell()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._tell()

    def _tell(self) -> None:
        if (arrival := self.arrival) is not None:
            self.arrival = None
            receive(arrival)


class Body(aiohttp.StreamReader):
    """aiohttp's body of a response, for `read_nowait` alone.

    aiohttp notes where each chunk ended, for `readchunk`, and takes piece after piece in a loop that asks the
    connection to go on after each. Without that, an open stream holds 2 KB less, and a token costs less to read.
    """

    __slots__ = ()

    def begin_http_chunk_receiving(self) -> None:
        """Nothing to note."""

    def end_http_chunk_receiving(self) -> None:
        """Of many small chunks, the number is a bound too: each holds more memory than its bytes."""
        if len(self._buffer) > self._high_water_chunks:
            self._protocol.pause_reading()

    def read_nowait(self, n: int = -1) -> bytes:
        """All that has arrived, whatever `n` says."""
        if self._exception is not None:
            raise self._exception
        buffer = self._buffer
        data = buffer[0] if len(buffer) == 1 else b"".join(buffer)
        buffer.clear()
        self._size = 0  # first: going on to read may bring more, in the middle of this
        if self._protocol._reading_paused:
            self._protocol.resume_reading()
        return data


_INSIDE = ("_buffer", "_exception", "_high_water_chunks", "_http_chunk_splits", "_protocol", "_size")
_KNOWN = set(aiohttp.StreamReader.__slots__).issuperset(_INSIDE) and hasattr(ResponseHandler, "_reading_paused")


def slim(content: aiohttp.StreamReader) -> None:
    """Make a body a `Body`, or leave it as it is where aiohttp's has become another inside.

    aiohttp's parser makes the body itself: its class cannot be chosen, only changed.
    """
    if _KNOWN and type(content) is aiohttp.StreamReader:
        content.__class__ = Body
        content._buffer = cast("Any", list(content._buffer))
        content._http_chunk_splits = None
