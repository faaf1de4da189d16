"""aiohttp's connection and body, for a reader who takes all there is as soon as it comes.

A server that streams sends each event as a chunk, and most reads bring whole chunks. Those are taken out of their
framing here, without aiohttp's parser, whose four calls into Python for each chunk cost more than decoding a token. The
parser gets whatever is not plainly a whole chunk: parts of one, extensions, trailers, the end, and what is wrong. For
the state it is in between two chunks it makes no difference how many there were.
"""

from __future__ import annotations

from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_parser import HttpResponseParser

from .arrival import Arrival, receive

_MAX_PIECES = 1024  # of a body in chunks, unread: each holds more memory than its bytes


class Handler(ResponseHandler):
    """aiohttp's protocol of one connection; tells who waits for the body when there may be something to read.

    Attributes:
        body: The body that is being read, when its chunks may be taken directly.
        between_chunks: Whether aiohttp's parser has seen a chunk's end and nothing since.
    """

    arrival: Arrival | None = None
    body: Body | None = None
    between_chunks = False

    def is_connected(self) -> bool:
        """Asked by the pool. What came while nobody had asked would be taken for the next request's answer."""
        return super().is_connected() and not self.should_close

    def data_received(self, data: bytes) -> None:
        # Every token comes through here, when nothing it needs is in the processor's caches: hence so few calls.
        body = self.body
        if body is not None and self.between_chunks:
            length = len(data)
            size = length - (6 if length < 262 else 7 if length < 4103 else 8)  # less the line that says so
            line = b"%x\r\n" % size
            # `bytes` copies nothing, but for Windows, where data is a bytearray.
            if data.startswith(line) and data.endswith(b"\r\n") and len(chunk := bytes(data[len(line) : -2])) == size:
                arrival = self.arrival  # who waits has read all that came before
                if arrival is None or arrival.tap is None or not arrival.tap(chunk):
                    body.take_in(chunk)
                    if arrival is not None:
                        self.arrival = None
                        receive(arrival)
                return
        super().data_received(data)
        # The parser tells of a size once it has its whole line, and keeps to itself what it has of one.
        self.between_chunks = self.between_chunks and data.endswith(b"\r\n") and self._exception is None
        self._tell()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.body = None
        super().connection_lost(exc)
        self._tell()

    def hold(self) -> None:
        """Receive no more until the body has been read; the parser has nothing to wait with."""
        self._reading_paused = True
        self._pause_transport_reading()

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
    _protocol: Handler

    def begin_http_chunk_receiving(self) -> None:
        self._protocol.between_chunks = False

    def end_http_chunk_receiving(self) -> None:
        # aiohttp would pause its parser because of the number. Told so between two chunks, it stops in the middle of
        # the next, and waits for bytes that may never come.
        self._protocol.between_chunks = True
        if len(self._buffer) > _MAX_PIECES:
            self._join()

    def feed_eof(self) -> None:
        self._protocol.body = None
        super().feed_eof()

    def take_in(self, data: bytes) -> None:
        """`feed_data`, for bytes that the parser has not seen."""
        buffer = self._buffer
        buffer.append(data)
        self._size += len(data)
        if len(buffer) > _MAX_PIECES:
            self._join()
        if self._size > self._high_water:
            self._protocol.hold()

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

    def _join(self) -> None:
        data = b"".join(self._buffer)
        self._buffer.clear()
        self._buffer.append(data)


_INSIDE = ("_buffer", "_exception", "_high_water", "_http_chunk_splits", "_protocol", "_size")
_KNOWN = (
    HttpResponseParser.__module__ == "aiohttp._http_parser"  # the one in Python tells of chunks at other moments
    and set(aiohttp.StreamReader.__slots__).issuperset(_INSIDE)
    and hasattr(ResponseHandler, "_reading_paused")
    and hasattr(ResponseHandler, "_pause_transport_reading")
)


def slim(content: aiohttp.StreamReader, handler: Handler, *, encoded: bool) -> None:
    """Make a response's body a `Body`, or leave it as it is where aiohttp's has become another inside.

    aiohttp's parser makes the body itself: its class cannot be chosen, only changed.

    Args:
        encoded: Whether aiohttp decompresses what it reads before it feeds it.
    """
    if not _KNOWN or type(content) is not aiohttp.StreamReader:
        return
    content.__class__ = Body
    content._buffer = cast("Any", list(content._buffer))
    content._http_chunk_splits = None
    handler.between_chunks = False  # for all that is known
    if not encoded and not content.is_eof():
        handler.body = cast("Body", content)
