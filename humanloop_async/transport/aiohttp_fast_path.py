"""aiohttp's connection and response body, for a reader that always drains the buffer.

A server that streams sends each event as one chunk, and most reads of the socket bring whole chunks. This module takes
them out of their framing without aiohttp's parser, whose four calls into Python for each chunk cost more than decoding
a token. The parser gets everything else: parts of a chunk, extensions, trailers, the end, and malformed data. Between
chunks the parser's state does not depend on how many came before, so it need not see all of them.

This relies on private attributes of aiohttp, which `_SUPPORTED` looks for. With another aiohttp, responses keep
aiohttp's own body, which the transport reads too, with more work for each token.
"""

from __future__ import annotations

from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_parser import HttpResponseParser

from .wakeup import DirectWaiter, wake_and_flush

MAX_UNREAD_CHUNKS = 1024
"""Unread chunks after which they are joined: each takes more memory than its bytes."""


_MAX_HELD_BODY = 1 << 24
"""Bytes of a body that are kept for a slow reader after the connection was lost; a compressed body may be longer."""


class FastPathProtocol(ResponseHandler):
    """aiohttp's protocol for one connection, which wakes the reader of the body when data may have arrived.

    Attributes:
        waiter: The reader that waits for data, if one does.
        body: The response body whose chunks can bypass the parser, else None.
        between_chunks: Whether aiohttp's parser has seen the end of a chunk and nothing after it.
    """

    waiter: DirectWaiter | None = None
    body: FastPathReader | None = None
    between_chunks = False
    _is_lost = False

    def is_connected(self) -> bool:
        """Return whether aiohttp's pool may reuse the connection.

        A connection with unsolicited bytes must not be reused: they would be read as the next response.
        """
        return super().is_connected() and not self.should_close

    def data_received(self, data: bytes) -> None:
        # Every token passes through here, usually with cold processor caches, so this makes few calls.
        body = self.body
        if body is not None and self.between_chunks:
            length = len(data)
            size = length - (6 if length < 262 else 7 if length < 4103 else 8)  # without the framing
            line = b"%x\r\n" % size
            # `bytes` copies nothing except on Windows, where data is a bytearray.
            if data.startswith(line) and data.endswith(b"\r\n") and len(chunk := bytes(data[len(line) : -2])) == size:
                waiter = self.waiter  # a reader waits only after it has drained the body
                if waiter is None or waiter.on_data is None or not waiter.on_data(chunk):
                    body.feed_whole_chunk(chunk)
                    if waiter is not None:
                        self.waiter = None
                        wake_and_flush(waiter)
                return
        super().data_received(data)
        # The parser reports a chunk size only after the complete size line; a partial line is invisible here.
        self.between_chunks = self.between_chunks and data.endswith(b"\r\n") and self.exception() is None
        self._notify_waiter()

    def pause_reading(self) -> None:
        if not self._is_lost or self._payload is None or self._payload._size > _MAX_HELD_BODY:
            super().pause_reading()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.body = None
        if _SUPPORTED and self._reading_paused and self._parser is not None:
            # TLS delivers more than a paused parser takes, and then loses the connection. aiohttp would drop the rest.
            self._is_lost = True
            super().data_received(b"")
        super().connection_lost(exc)
        self._notify_waiter()

    def pause_for_reader(self) -> None:
        """Stop receiving until the body has been read.

        Unlike `pause_reading`, leave the parser alone: it holds no data to resume with.
        """
        self._reading_paused = True
        self._pause_transport_reading()

    def _notify_waiter(self) -> None:
        if (waiter := self.waiter) is not None:
            self.waiter = None
            wake_and_flush(waiter)


class FastPathReader(aiohttp.StreamReader):
    """aiohttp's response body, reduced to `read_nowait`.

    aiohttp records where each chunk ended, for `readchunk`, and reads piece by piece in a loop that resumes the
    connection after each piece. Without that, an open stream takes 2 KB less, and a token costs less to read.
    """

    __slots__ = ()
    _protocol: FastPathProtocol

    def begin_http_chunk_receiving(self) -> None:
        self._protocol.between_chunks = False

    def end_http_chunk_receiving(self) -> None:
        # aiohttp pauses its parser after too many chunks. Paused between chunks, the parser stops inside the next one
        # and waits for bytes that may never come. So the chunks are joined here instead.
        self._protocol.between_chunks = True
        if len(self._buffer) > MAX_UNREAD_CHUNKS:
            self._join()

    def feed_eof(self) -> None:
        self._protocol.body = None
        super().feed_eof()

    def feed_whole_chunk(self, data: bytes) -> None:
        """Add the content of a chunk that bypassed the parser, as `feed_data` does for the parser."""
        buffer = self._buffer
        buffer.append(data)
        self._size += len(data)
        if len(buffer) > MAX_UNREAD_CHUNKS:
            self._join()
        if self._size > self._high_water:
            self._protocol.pause_for_reader()

    def read_nowait(self, n: int = -1) -> bytes:
        """Return all data that has arrived; `n` is ignored."""
        if self._exception is not None:
            raise self._exception
        buffer = self._buffer
        data = buffer[0] if len(buffer) == 1 else b"".join(buffer)
        buffer.clear()
        self._size = 0  # before resuming, which may feed more data at once
        if self._protocol._reading_paused:
            self._protocol.resume_reading()
        return data

    def _join(self) -> None:
        data = b"".join(self._buffer)
        self._buffer.clear()
        self._buffer.append(data)


_PRIVATE_ATTRS = ("_buffer", "_exception", "_high_water", "_http_chunk_splits", "_protocol", "_size")
_SUPPORTED = (
    HttpResponseParser.__module__ == "aiohttp._http_parser"  # the parser in Python reports chunks at other moments
    and set(getattr(aiohttp.StreamReader, "__slots__", ())).issuperset(_PRIVATE_ATTRS)
    and hasattr(ResponseHandler, "_reading_paused")
    and hasattr(ResponseHandler, "_pause_transport_reading")
)


def install_fast_path(content: aiohttp.StreamReader, protocol: FastPathProtocol, *, encoded: bool) -> None:
    """Turn a response's body into a `FastPathReader`; do nothing if this aiohttp version has different internals.

    aiohttp's parser creates the body. Its class cannot be chosen, only changed afterwards.

    Args:
        content: The body.
        protocol: The protocol of its connection.
        encoded: Whether aiohttp decompresses the body; its chunks then have to pass through the parser.
    """
    if not _SUPPORTED or type(content) is not aiohttp.StreamReader:
        return
    content.__class__ = FastPathReader
    content._buffer = cast("Any", list(content._buffer))
    content._http_chunk_splits = None
    protocol.between_chunks = False  # unknown until the parser reports the end of a chunk
    if not encoded and not content.is_eof():
        protocol.body = cast("FastPathReader", content)
