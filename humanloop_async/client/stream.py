"""A streamed call for those who read it: the stream, its samples, and who reads the socket.

There is no background task. Whoever finds nothing to take reads for everyone: the bytes of one
read are decoded, told apart and handed to the samples they belong to; readers of other samples wait for
an event meanwhile, and one of them takes over when the first has what it came for. So samples
can be read in any order, and nothing is read while nobody listens.

Deciding is done in plain methods. The only place that waits for the network is `Stream._pull`, so a cancelled
reader leaves everything as it was: what has arrived is in the buffers, what has not comes with the next read.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, TypeVar

import anyio

from ..config import Timeout
from ..errors import (
    ApiConnectionError,
    ApiException,
    BufferLimitExceeded,
    EventTooLarge,
    FirstTokenTimeout,
    IdleTimeout,
    InvalidArgument,
    InvalidResponse,
    StreamBusy,
    StreamClosed,
)
from ..transport.base import ResponseStream
from ..types import ChatChunk, ChatResponse, CompletionChunk, CompletionResponse
from ..wire.demux import Demultiplexer
from ..wire.sse import EventStreamDecoder
from .call import Call
from .views import ChunkIterator, SampleBuffer, SampleStream, TextStream

ChunkT = TypeVar("ChunkT", bound=CompletionChunk | ChatChunk)
ResponseT = TypeVar("ResponseT", bound=CompletionResponse | ChatResponse)

_DRAIN = 0.5
"""Seconds to wait, after every sample has finished, for the end of the body: with it the connection can be reused."""


class Stream(Generic[ChunkT, ResponseT]):
    """The answer to a streamed call, as it comes.

    Iterate over it for the chunks of all samples in the order of their arrival, or over each of its `samples`;
    `final` reads the rest and gives the response that the call without streaming gives. A chunk is delivered once.

    Leaving ``async with`` closes the connection, and so does leaving a loop over the stream before its
    end. A stream read to its end gives its connection back to the pool.

    Raises, from every method that reads:
        StreamTruncated: The connection ended before every sample had a ``finish_reason``.
        StatusError: The server reported an error inside the stream.
        FirstTokenTimeout, IdleTimeout, TotalTimeout: A clock of the call's `Timeout` ran out.
        InvalidEvent, EventTooLarge, BufferLimitExceeded: As their names say.
        StreamBusy: Another task is reading the same thing.
        StreamClosed: The stream was closed before its end.

    What arrived whole before an error is delivered before it, and the error's `partial` holds all of it. Cancelling
    a reader loses nothing and harms no other one.
    """

    def __init__(
        self,
        call: Call,
        response: ResponseStream,
        demux: Demultiplexer[ChunkT, ResponseT],
        *,
        timeout: Timeout,
        max_event_bytes: int,
        max_buffered_bytes: int,
    ) -> None:
        self._call = call
        self._response = response
        self._demux = demux
        self._timeout = timeout
        self._max_event_bytes = max_event_bytes
        self._max_buffered_bytes = max_buffered_bytes
        self._decoder = EventStreamDecoder(max_event_bytes)
        self._ready: deque[ChunkT] = deque()  # chunks for those who iterate over the stream itself
        self._buffers: list[SampleBuffer[ChunkT]] = []  # by index, once somebody asks for samples
        self._split = False  # chunks go to the samples' buffers instead
        self._reading = False
        self._iterating = False  # the one who reads iterates over the stream itself
        self._ended = False  # the body was read to its end, or given up after every sample had finished
        self._closed = False
        self._failure: ApiException | None = None
        self._silent_since: float | None = None  # when somebody began to wait for the next chunk
        self._waiters: list[_Waiter] = []
        self._head = b""  # the beginning of a body that may be no event stream

    # -- views ---------------------------------------------------------------------------------------------------

    @property
    def samples(self) -> tuple[SampleStream[ChunkT], ...]:
        """One iterator per sample, by index. From the first use on, chunks wait in their sample's buffer."""
        self._use_buffers()
        return tuple(SampleStream(self, buffer) for buffer in self._buffers)

    @property
    def partial(self) -> ResponseT:
        """The response as far as it has come; samples that have not ended have a ``finish_reason`` of None."""
        response = self._demux.assemble()
        response.attach(
            raw=None,
            headers=self._response.headers,
            status=self._response.status,
            round_trip_time=self._call.elapsed,
        )
        return response

    @property
    def status(self) -> int:
        """The HTTP status code."""
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The response's headers."""
        return self._response.headers

    @property
    def text_stream(self) -> TextStream:
        """The text of a call with one sample, piece by piece.

        Raises:
            InvalidArgument: The call has several samples, whose texts would mix.
        """
        if len(self._demux.samples) > 1:
            raise InvalidArgument("this call has several samples; use stream.samples[i].text_stream")
        return TextStream(self.__aiter__())

    def __aiter__(self) -> ChunkIterator[ChunkT]:
        return ChunkIterator(self)

    async def __anext__(self) -> ChunkT:
        return await self._next()

    async def final(self) -> ResponseT:
        """Read what is left and give the whole response.

        Chunks that nobody has taken are dropped, unless `samples` is in use: those keep theirs.
        `output` is stripped of outer whitespace, as without streaming; `raw_output` is not.
        """
        await self._until_end()
        return self.partial

    # -- lifetime ------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Stream[ChunkT, ResponseT]:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection, unless the stream was read to its end; twice does no harm."""
        self.close()
        await self._response.aclose()

    def close(self) -> None:
        """`aclose` without waiting."""
        if not self._ended and not self._closed:
            self._closed = True
            self._response.close()
            self._wake()

    def __del__(self) -> None:
        if not getattr(self, "_ended", True):
            self._response.close()

    # -- readers: what is there, or wait for it --------------------------------------------------------------------

    async def _next(self) -> ChunkT:
        """The next chunk of any sample."""
        if self._split:
            self._use_queue()
        if self._reading and not self._ready:
            raise StreamBusy("another task is reading this stream; read its samples to share it between tasks")
        self._iterating = True
        try:
            while not self._ready:
                if not await self._more():
                    raise StopAsyncIteration
        finally:
            self._iterating = False
        return self._ready.popleft()

    async def _next_of(self, buffer: SampleBuffer[ChunkT]) -> ChunkT:
        """The next chunk of one sample."""
        if buffer.has_reader:
            raise StreamBusy(f"another task is reading sample {buffer.state.index}")
        self._use_buffers()
        buffer.has_reader = True
        try:
            while not buffer.chunks:
                if buffer.closed:
                    raise StopAsyncIteration
                if buffer.state.finish_reason is not None:
                    if self._demux.finished and not self._reading and self._failure is None:
                        await self._more()
                    raise StopAsyncIteration
                if self._reading:
                    await self._wait(buffer)
                elif not await self._more():
                    raise StopAsyncIteration
        finally:
            buffer.has_reader = False
            self._pass_on()
        return buffer.take()

    async def _until_end(self) -> None:
        try:
            while True:
                if not self._split:
                    self._ready.clear()
                    if self._reading:
                        raise StreamBusy("another task is reading this stream; let it finish before final()")
                if self._reading:
                    await self._wait(None)
                elif not await self._more():
                    return
        finally:
            self._pass_on()

    async def _next_batch(self, buffer: SampleBuffer[ChunkT] | None = None) -> list[ChunkT]:
        """Every chunk that has arrived, of one sample or of all: at least one, none at the end.

        For readers in other threads, for whom a hop is dear.
        """
        try:
            batch = [await (self._next() if buffer is None else self._next_of(buffer))]
        except StopAsyncIteration:
            return []
        batch.extend(self._ready if buffer is None else buffer.chunks)
        self._ready.clear() if buffer is None else buffer.clear()
        return batch

    # -- the one that reads ----------------------------------------------------------------------------------------

    async def _more(self) -> bool:
        """Read once. False at the end; raises what ended the stream early."""
        if self._failure is not None:
            raise self._failure
        if self._ended:
            return False
        if self._closed:
            if self._demux.finished:
                return False
            raise self._describe(StreamClosed("the stream was closed, or its loop left, before its end"))
        self._reading = True
        try:
            if self._demux.finished:
                await self._drain()
            else:
                await self._pull()
        finally:
            self._reading = False
            if self._waiters:
                self._wake()
        return True

    async def _pull(self) -> None:
        """Read once and hand over what came. An error is kept until the chunks before it are taken."""
        try:
            data = await self._read()
        except ApiConnectionError as exc:
            if self._closed:
                return None
            self._demux.end()
            if self._demux.failure is not None:
                self._demux.failure.__cause__ = exc
            return await self._end()
        except ApiException as exc:
            return self._fail(exc)
        if not data:
            self._demux.end()
            return await self._end()
        try:
            chunks, too_large = self._demux.feed(self._decoder.feed(data)), None
        except EventTooLarge as exc:
            chunks, too_large = self._demux.feed(exc.events), exc
        if chunks:
            self._silent_since = None
            if self._split:
                self._hand_over(chunks)
            else:
                self._ready.extend(chunks)
        demux = self._demux
        if demux.failure is None and too_large is None and not demux.done:
            if not demux.started:
                self._head += data[: 2000 - len(self._head)]
            return None
        if demux.done:
            demux.end()
        if (failure := demux.failure or too_large) is not None:
            self._fail(failure)
        return None

    async def _read(self) -> bytes:
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now
        started = self._demux.started
        limit = self._timeout.idle if started else self._timeout.first_token
        left = None if limit is None else max(0.0, self._silent_since + limit - now)
        if self._timeout.total is not None:
            left = self._call.remaining(left)
        try:
            return await self._response.read(left)
        except TimeoutError as exc:
            if (total := self._call.out_of_time()) is not None:
                raise total from exc
            if started:
                raise IdleTimeout(f"no further chunk within idle={limit:g} s; comments do not count") from exc
            raise FirstTokenTimeout(f"no chunk within first_token={limit:g} s; comments do not count") from exc

    async def _end(self) -> None:
        """The connection ended; before the first event that is worth another attempt."""
        failure = self._demux.failure
        if failure is None:
            self._ended = True
        elif self._demux.started:
            self._fail(failure)
        else:
            try:
                await self._call.wait_to_retry(self._no_events() or failure)
                self._response.close()
                self._response = await self._call.open()
            except ApiException as exc:
                return self._fail(exc)
            if self._closed:
                self._response.close()
            self._demux.failure = None
            self._decoder = EventStreamDecoder(self._max_event_bytes)
            self._silent_since = None
            self._head = b""
        return None

    def _no_events(self) -> InvalidResponse | None:
        """The error for a body that is something else than an event stream."""
        kind = self._response.headers.get("Content-Type", "")
        if not self._head or kind.startswith("text/event-stream"):
            return None
        error = InvalidResponse(f"asked for a stream, and got {kind or 'a body of unknown type'} without any event")
        error.body = self._head.decode(errors="replace")
        return error

    async def _drain(self) -> None:
        """Every sample has finished; see whether the body ends too, so that the connection can be reused.

        The response is whole whatever happens here, except for an error event.
        """
        give_up = time.monotonic() + _DRAIN
        demux = self._demux
        try:
            while data := await self._response.read(max(0.0, give_up - time.monotonic())):
                demux.feed(self._decoder.feed(data))
                if demux.failure is not None:
                    return self._fail(demux.failure)
        except (TimeoutError, ApiConnectionError):
            self._response.close()
        except EventTooLarge as exc:
            return self._fail(exc)
        self._ended = True
        return None

    # -- hand-over ---------------------------------------------------------------------------------------------------

    def _use_buffers(self) -> None:
        """From now on chunks go to their sample's buffer."""
        if self._split:
            return
        if self._iterating:
            raise StreamBusy("another task iterates over the stream itself; do not read its samples at the same time")
        self._split = True
        if not self._buffers:
            self._buffers = [SampleBuffer(state) for state in self._demux.samples]
        self._hand_over(self._ready)
        self._ready.clear()

    def _use_queue(self) -> None:
        """From now on chunks go to one queue; those in the buffers go first, sample by sample."""
        if any(buffer.has_reader for buffer in self._buffers):
            raise StreamBusy("a sample of this stream is being read; do not iterate over the stream at the same time")
        self._split = False
        for buffer in self._buffers:
            self._ready.extend(buffer.chunks)
            buffer.clear()

    def _give_back(self, chunks: Sequence[ChunkT]) -> None:
        """Chunks of `_next_batch` that were not read after all; the next ones to come."""
        self._ready.extendleft(reversed(chunks))

    async def _close_buffer(self, buffer: SampleBuffer[ChunkT]) -> None:
        buffer.clear()
        buffer.closed = True
        self._wake()

    def _hand_over(self, chunks: Iterable[ChunkT]) -> None:
        buffers = self._buffers
        for chunk in chunks:
            buffer = buffers[chunk.index]
            if not buffer.closed:
                buffer.add(chunk)
        if sum([buffer.size for buffer in buffers]) > self._max_buffered_bytes:
            unread = ", ".join(str(b.state.index) for b in buffers if b.chunks and not b.has_reader)
            self._fail(
                BufferLimitExceeded(
                    f"unread chunks take more than max_buffered_bytes={self._max_buffered_bytes:,}; "
                    f"read sample {unread}, or aclose() what you do not need"
                )
            )

    def _describe(self, exc: ApiException) -> ApiException:
        self._call.describe(exc, self._response)
        exc.partial = self.partial
        return exc

    def _fail(self, exc: ApiException) -> None:
        self._failure = self._describe(exc)
        self._response.close()

    # -- waiting readers ---------------------------------------------------------------------------------------------

    async def _wait(self, buffer: SampleBuffer[ChunkT] | None) -> None:
        """Wait until something changed for a sample (None: for the stream), or until there is nobody to read."""
        waiter = _Waiter(buffer)
        self._waiters.append(waiter)
        try:
            await waiter.event.wait()
        finally:
            self._waiters.remove(waiter)

    def _wake(self) -> None:
        over = self._ended or self._closed or self._failure is not None
        for waiter in self._waiters:
            buffer = waiter.buffer
            if over or buffer is None or buffer.chunks or buffer.closed or buffer.state.finish_reason is not None:
                waiter.event.set()

    def _pass_on(self) -> None:
        """Somebody stops reading: another one who waits takes over."""
        if self._waiters and not self._reading and not any(waiter.event.is_set() for waiter in self._waiters):
            self._waiters[0].event.set()


class _Waiter:
    __slots__ = ("buffer", "event")

    def __init__(self, buffer: SampleBuffer[Any] | None) -> None:
        self.buffer = buffer
        self.event = anyio.Event()


class CompletionStream(Stream[CompletionChunk, CompletionResponse]):
    """A streamed completion. See `Stream`."""

    async def __aenter__(self) -> CompletionStream:
        return self


class ChatStream(Stream[ChatChunk, ChatResponse]):
    """A streamed chat. See `Stream`."""

    async def __aenter__(self) -> ChatStream:
        return self
