"""Turn the body of a streamed response into chunks; enforce timeouts, retry, and find out how the body ended."""

from __future__ import annotations

import asyncio
import time
from typing import Generic, TypeVar

import anyio

from ..config import Timeout
from ..errors import (
    ApiConnectionError,
    ApiException,
    ApiTimeoutError,
    ClientClosed,
    EventTooLarge,
    FirstTokenTimeout,
    IdleTimeout,
    InvalidResponse,
    StreamClosed,
)
from ..transport.base import ResponseStream
from ..transport.wakeup import running_loop
from ..types import ChatChunk, ChatResponse, CompletionChunk, CompletionResponse
from ..wire.demux import Demultiplexer
from ..wire.sse import EventStreamDecoder
from .call import Call
from .log import log_stream_end

ChunkT = TypeVar("ChunkT", bound=CompletionChunk | ChatChunk)
ResponseT = TypeVar("ResponseT", bound=CompletionResponse | ChatResponse)

_DRAIN = 0.5
"""How long to wait for the end of the body after every sample has finished, in seconds.

A connection can be reused only after the end of the body."""

_EXPIRED_GRACE = 0.01
"""How long the first read may take that begins after a clock has expired, in seconds."""

_MAX_EXPIRED_READS = 1000
"""Reads without a chunk after a clock has expired: data that arrived earlier may still be read."""

_HEAD_BYTES = 2000
"""How much of a body is kept for the error message if the body is not an event stream."""


class ChunkReader(Generic[ChunkT, ResponseT]):
    """The state of one streamed response. The caller reads `response` and passes the bytes to `feed`.

    Attributes:
        response: The response; a retry, which happens only before the first event, replaces it.
        demux: The events so far, by sample.
        ended: Whether the body was read to its end, or abandoned after every sample had finished.
        closed: Whether `close` was called before the end.
        failure: The error that ended the stream early. Chunks that `feed` returned arrived before it.
        counts_bytes: Whether `feed` sets `bytes_read`.
        bytes_read: Size of the events of the last `feed`, in bytes.
        retry_at: When the next attempt is due, by `time.monotonic`; None if none is planned. Until `retry` has replaced
            it, `response` is a response that has ended.
    """

    __slots__ = (
        "_call",
        "_decoder",
        "_drain_deadline",
        "_expired_reads",
        "_has_chunks",
        "_head",
        "_max_event_bytes",
        "_retrying",
        "_timeout",
        "_waiting_since",
        "bytes_read",
        "closed",
        "counts_bytes",
        "demux",
        "ended",
        "failure",
        "response",
        "retry_at",
    )

    def __init__(
        self,
        call: Call,
        response: ResponseStream,
        demux: Demultiplexer[ChunkT, ResponseT],
        timeout: Timeout,
        max_event_bytes: int,
    ) -> None:
        self.response: ResponseStream = response
        self.demux: Demultiplexer[ChunkT, ResponseT] = demux
        self.ended: bool = False
        self.closed: bool = False
        self.failure: ApiException | None = None
        self._call = call
        self._timeout = timeout
        self._max_event_bytes = max_event_bytes
        self._decoder = EventStreamDecoder(max_event_bytes)
        self._waiting_since: float | None = None  # when a reader began to wait for the next chunk
        self._expired_reads = 0  # reads that began after a clock had expired, since the last chunk
        self._has_chunks = False
        self.counts_bytes: bool = False
        self.bytes_read: int = 0
        self._drain_deadline = 0.0
        self._head = b""
        self.retry_at: float | None = None
        self._retrying: asyncio.Task[ResponseStream] | None = None

    def feed(self, data: bytes) -> list[ChunkT]:
        """Return the chunks that these bytes complete, possibly none. Sets `failure` if no more chunks can follow."""
        demux = self.demux
        too_large: EventTooLarge | None = None
        try:
            events = self._decoder.feed(data)
        except EventTooLarge as exc:
            events, too_large = exc.events, exc
        chunks = demux.feed(events)
        if self.counts_bytes:
            self.bytes_read = sum(map(len, events))
        if chunks:
            self._waiting_since = None
            self._expired_reads = 0
            if not self._has_chunks:
                self._has_chunks = True
                self._call.release_request()
        elif not demux.started:
            self._head += data[: _HEAD_BYTES - len(self._head)]
        if demux.done:
            demux.end()
        if (failure := demux.failure or too_large) is not None:
            self._fail(failure)
        return chunks

    def close(self) -> None:
        """Close the connection, unless the body was read to its end. End a retry in progress."""
        if not self.ended and not self.closed:
            self.closed = True
            if self.failure is None:
                log_stream_end(self._call.target, "early, closed by its reader", self._call.elapsed)
            self.response.close()
            if (retrying := self._retrying) is None or retrying.cancel() or retrying.cancelled():
                return
            if retrying.exception() is None:
                retrying.result().close()

    def partial(self) -> ResponseT:
        """Return the response as far as it has arrived."""
        response = self.demux.assemble()
        response.attach(
            raw=None,
            headers=self.response.headers,
            status=self.response.status,
            round_trip_time=self._call.elapsed,
        )
        return response

    def attach_response_info(self, exc: ApiException) -> ApiException:
        """Add the response's status and headers to an error, and the chunks that had arrived."""
        self._call.attach_response_info(exc, self.response)
        exc.partial = self.partial()
        return exc

    def read_timeout(self) -> float | None:
        """Return the seconds that the next read may take; None for no limit.

        Reads that bring no chunk do not extend the time.

        Raises:
            TimeoutError: `total` is used up, or data without a chunk keeps arriving after another clock has expired.
                A read with a timeout of 0 would not notice either.
        """
        now = time.monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        if self._has_chunks:
            limit, since = self._timeout.idle, self._waiting_since
        else:
            limit, since = self._timeout.first_token, self._call.sent_at
        if limit is not None and (limit := since + limit - now) <= 0:
            limit = self._limit_after_expiry()
        if self._timeout.total is None:
            return limit
        if self._call.total_timeout_error() is not None:
            raise TimeoutError
        return self._call.remaining(limit)

    def _limit_after_expiry(self) -> float:
        # The program may have blocked the event loop until the clock expired: the first read receives the data that
        # has arrived in that time. The next one does not wait, so a caller that cancels every read cannot prevent it
        # from failing.
        self._expired_reads += 1
        if self._expired_reads > _MAX_EXPIRED_READS:
            raise TimeoutError
        return _EXPIRED_GRACE if self._expired_reads == 1 else 0.0

    def _timeout_error(self) -> ApiTimeoutError:
        if (total := self._call.total_timeout_error()) is not None:
            return total
        if self._has_chunks:
            return IdleTimeout(f"no further chunk within idle={self._timeout.idle} s; comments do not count")
        return FirstTokenTimeout(f"no chunk within first_token={self._timeout.first_token} s; comments do not count")

    def _fail(self, exc: ApiException, cause: BaseException | None = None) -> None:
        if cause is not None:
            exc.__cause__ = cause
        self.failure = self.attach_response_info(exc)
        log_stream_end(self._call.target, exc, self._call.elapsed)
        self.response.close()

    async def on_read_end(self, cause: TimeoutError | ApiConnectionError | ClientClosed | StreamClosed | None) -> None:
        """Handle a read without data. Sets `ended` or `failure`, or retries.

        A connection that ended is retried only before the first event.

        Args:
            cause: The exception that the read raised; None at the end of the body.
        """
        if isinstance(cause, TimeoutError):
            self._fail(self._timeout_error(), cause)
            return
        if isinstance(cause, (ClientClosed, StreamClosed)):
            self._fail(cause)
            return
        if self.closed:
            return
        demux = self.demux
        demux.end()
        failure = demux.failure
        if failure is None:
            self.ended = True
            log_stream_end(self._call.target, "completely", self._call.elapsed)
            return
        failure.__cause__ = cause
        if demux.started:
            self._fail(failure)
            return
        try:
            delay = self._call.retry_delay(self._not_a_stream_error() or failure)
        except ApiException as exc:
            self._fail(exc, exc.__cause__)
            return
        self.retry_at = time.monotonic() + delay
        self.response.close()
        await self.retry()

    async def retry(self) -> None:
        """Make the next attempt once it is due. Sets `response`, `failure`, or `retry_at` for one more attempt.

        A cancelled reader sends nothing afterwards. An attempt that has been sent is not repeated: the next reader
        waits for it.
        """
        if self.retry_at is not None and (pause := self.retry_at - time.monotonic()) > 0:
            await anyio.sleep(pause)
        try:
            response = await self._attempt()
        except ApiException as exc:
            try:
                self.retry_at = time.monotonic() + self._call.retry_delay(exc)
            except ApiException:
                exc.partial = self.partial()
                log_stream_end(self._call.target, exc, self._call.elapsed)
                self.failure = exc  # about another response, or about none
                self.retry_at = None
            return
        if response is None:
            return
        self.response = response
        if self.closed:  # while the request was being sent
            response.close()
        self.retry_at = None
        self.demux.failure = None
        self._decoder = EventStreamDecoder(self._max_event_bytes)
        self._waiting_since = None
        self._expired_reads = 0
        self._head = b""

    async def _attempt(self) -> ResponseStream | None:
        """Return the response of the next attempt; None after `close`."""
        if (loop := running_loop()) is None:
            return await self._call.attempt()
        if self._retrying is None:  # a separate task, so that cancelling the reader does not waste an attempt
            self._retrying = loop.create_task(self._call.attempt())
        task = self._retrying
        await asyncio.wait({task})
        self._retrying = None
        if task.cancelled():
            self.close()
            return None
        return task.result()

    def _not_a_stream_error(self) -> InvalidResponse | None:
        """Return an error if the body is not an event stream."""
        kind = self.response.headers.get("Content-Type", "")
        if self.response.status == 204:
            return InvalidResponse("expected an event stream, got status 204 without a body")
        if not self._head or kind.startswith("text/event-stream"):
            return None
        error = InvalidResponse(f"expected an event stream, got {kind or 'a body of unknown type'} without any event")
        error.body = self._head.decode(errors="replace")
        return error

    async def drain(self) -> None:
        """Read the rest of the body after every sample has finished, so that the connection can be reused.

        A broken connection or a timeout changes nothing about the result; an invalid event or an error event fails the
        stream.
        """
        self._drain_deadline = (
            self._drain_deadline or time.monotonic() + _DRAIN
        )  # set once, so that cancelled readers do not extend it
        demux = self.demux
        try:
            while data := await self.response.read(max(0.0, self._drain_deadline - time.monotonic())):
                demux.feed(self._decoder.feed(data))
                if demux.failure is not None:
                    self._fail(demux.failure)
                    return
        except (TimeoutError, ApiConnectionError, ClientClosed):
            self.response.close()
        except EventTooLarge as exc:
            self._fail(exc)
            return
        self.ended = True
        log_stream_end(self._call.target, "completely", self._call.elapsed)
