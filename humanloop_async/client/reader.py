"""The body of a streamed call -> chunks: clocks, attempts, and what ends it."""

from __future__ import annotations

import asyncio
import time
from typing import Generic, TypeVar

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
from ..transport.arrival import running_loop
from ..transport.base import ResponseStream
from ..types import ChatChunk, ChatResponse, CompletionChunk, CompletionResponse
from ..wire.demux import Demultiplexer
from ..wire.sse import EventStreamDecoder
from .call import Call

ChunkT = TypeVar("ChunkT", bound=CompletionChunk | ChatChunk)
ResponseT = TypeVar("ResponseT", bound=CompletionResponse | ChatResponse)

_DRAIN = 0.5
"""Seconds to wait, after every sample has finished, for the end of the body: with it the connection can be reused."""

_HEAD_BYTES = 2000
"""How much is kept of a body that may turn out not to be an event stream."""


class ChunkReader(Generic[ChunkT, ResponseT]):
    """What comes of one streamed answer, and when to stop waiting for more of it. Its user does the reading.

    Attributes:
        response: The answer; another one after a retry, which happens only before the first event.
        demux: What has been read, by sample.
        ended: The body was read to its end, or given up after every sample had finished.
        failure: What ended the stream early. Chunks that `feed` returned arrived before it.
        counts_bytes: Whether `bytes_read` is wanted: the size of the events of the last read.
        retrying: The latest further attempt. Until it is done, `response` is the one before: wait, do not read.
    """

    __slots__ = (
        "_call",
        "_chunks_came",
        "_decoder",
        "_give_up",
        "_head",
        "_max_event_bytes",
        "_timeout",
        "_waiting_since",
        "bytes_read",
        "closed",
        "counts_bytes",
        "demux",
        "ended",
        "failure",
        "response",
        "retrying",
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
        self._waiting_since: float | None = None  # when somebody began to wait for the next chunk
        self._chunks_came = False
        self.counts_bytes: bool = False
        self.bytes_read: int = 0
        self._give_up = 0.0  # when to stop waiting for the end of the body
        self._head = b""
        self.retrying: asyncio.Task[None] | None = None

    def feed(self, data: bytes) -> list[ChunkT]:
        """The chunks that these bytes complete, possibly none; `failure` is set when there will be no more."""
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
            if not self._chunks_came:
                self._chunks_came = True
                self._call.let_go()
        elif not demux.started:
            self._head += data[: _HEAD_BYTES - len(self._head)]
        if demux.done:
            demux.end()
        if (failure := demux.failure or too_large) is not None:
            self._fail(failure)
        return chunks

    def close(self) -> None:
        """Close the connection, unless the body was read to its end."""
        if not self.ended and not self.closed:
            self.closed = True
            self.response.close()
            if self.retrying is not None:
                self.retrying.cancel()

    def partial(self) -> ResponseT:
        """The response as far as it has come."""
        response = self.demux.assemble()
        response.attach(
            raw=None,
            headers=self.response.headers,
            status=self.response.status,
            round_trip_time=self._call.elapsed,
        )
        return response

    def describe(self, exc: ApiException) -> ApiException:
        """Tell an error which answer it belongs to, and give it what had arrived."""
        self._call.describe(exc, self.response)
        exc.partial = self.partial()
        return exc

    def patience(self) -> float | None:
        """Seconds that the next read may take: what is left of a clock, however many reads were made meanwhile.

        Raises:
            TimeoutError: `total` is used up; a read without time would still take what has arrived, again and again.
        """
        now = time.monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        limit = self._timeout.idle if self._chunks_came else self._timeout.first_token
        if limit is not None:
            limit = max(0.0, self._waiting_since + limit - now)
        if self._timeout.total is None:
            return limit
        if self._call.out_of_time() is not None:
            raise TimeoutError
        return self._call.remaining(limit)

    def _timed_out(self) -> ApiTimeoutError:
        if (total := self._call.out_of_time()) is not None:
            return total
        if self._chunks_came:
            return IdleTimeout(f"no further chunk within idle={self._timeout.idle} s; comments do not count")
        return FirstTokenTimeout(f"no chunk within first_token={self._timeout.first_token} s; comments do not count")

    def _fail(self, exc: ApiException, cause: BaseException | None = None) -> None:
        if cause is not None:
            exc.__cause__ = cause
        self.failure = self.describe(exc)
        self.response.close()

    async def stopped(self, cause: TimeoutError | ApiConnectionError | ClientClosed | StreamClosed | None) -> None:
        """A read brought no bytes: the body ended (None), or why not; `ended` or `failure` is set.

        Before the first event, a connection that ended is worth another attempt, and never after.
        """
        if isinstance(cause, TimeoutError):
            self._fail(self._timed_out(), cause)
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
            return
        failure.__cause__ = cause
        if demux.started:
            self._fail(failure)
        elif (loop := running_loop()) is None:
            await self._try_again(failure)
        else:
            # A task of its own, because a reader that is cancelled in the middle must not cost an attempt.
            self.retrying = loop.create_task(self._try_again(failure))
            await self.retried(self.retrying)

    async def retried(self, task: asyncio.Task[None]) -> None:
        """Wait for another attempt; raises what a transport of one's own should not have raised."""
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()

    async def _try_again(self, failure: ApiException) -> None:
        try:
            await self._call.wait_to_retry(self._not_a_stream() or failure)
        except ApiException as exc:
            self._fail(exc, exc.__cause__)
            return
        self.response.close()
        try:
            self.response = await self._call.open()
        except ApiException as exc:  # of another answer, or of none
            exc.partial = self.partial()
            self.failure = exc
            return
        if self.closed:  # meanwhile
            self.response.close()
        self.demux.failure = None
        self._decoder = EventStreamDecoder(self._max_event_bytes)
        self._waiting_since = None
        self._head = b""

    def _not_a_stream(self) -> InvalidResponse | None:
        """The error for a body that is something else than an event stream."""
        kind = self.response.headers.get("Content-Type", "")
        if self.response.status == 204:
            return InvalidResponse("asked for a stream, and got 204, an answer without a body")
        if not self._head or kind.startswith("text/event-stream"):
            return None
        error = InvalidResponse(f"asked for a stream, and got {kind or 'a body of unknown type'} without any event")
        error.body = self._head.decode(errors="replace")
        return error

    async def drain(self) -> None:
        """Every sample has finished; see whether the body ends too, so that the connection can be reused.

        The response is whole whatever happens here, except for an event that breaks the contract or is an error.
        """
        self._give_up = self._give_up or time.monotonic() + _DRAIN  # one wait, also when its reader is cancelled
        demux = self.demux
        try:
            while data := await self.response.read(max(0.0, self._give_up - time.monotonic())):
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
