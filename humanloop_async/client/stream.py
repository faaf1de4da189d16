"""A streamed call for those who read it: the stream, its samples, and who reads the socket.

There is no background task. Whoever finds nothing to take reads for everyone: the bytes of one
read are decoded, told apart and handed to the samples they belong to; readers of other samples wait for
an event meanwhile, and one of them takes over when the first has what it came for. So samples
can be read in any order, and nothing is read while nobody listens.

Deciding is done in plain methods. The only place that waits for the network is `Stream._more`, so a cancelled
reader leaves everything as it was: what has arrived is in the buffers, what has not comes with the next read.
"""

from __future__ import annotations

import sys
from collections.abc import Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from ..errors import (
    ApiConnectionError,
    ApiException,
    BufferLimitExceeded,
    ClientClosed,
    InvalidArgument,
    StreamBusy,
    StreamClosed,
)
from ..transport.arrival import running_loop
from ..types import ChatChunk, ChatResponse, CompletionChunk, CompletionResponse
from .reader import ChunkReader
from .views import CHUNK_BYTES, ChunkIterator, SampleBuffer, SampleStream, TextStream
from .waiting import Waiter, when_idle

ChunkT = TypeVar("ChunkT", bound=CompletionChunk | ChatChunk)
ResponseT = TypeVar("ResponseT", bound=CompletionResponse | ChatResponse)


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

    def __init__(self, reader: ChunkReader[ChunkT, ResponseT], max_buffered_bytes: int) -> None:
        self._reader = reader
        self._max_buffered_bytes = max_buffered_bytes
        self._ready: list[ChunkT] = []  # chunks for those who iterate over the stream itself, the next one last
        self._buffers: Sequence[SampleBuffer[ChunkT]] = ()  # by index, once somebody asks for samples
        self._split = False  # chunks go to the samples' buffers instead
        self._sorted = False  # each is looked at: because of that, or because a sample was closed
        self._reading = False
        self._iterating = False  # the one who reads iterates over the stream itself
        self._unchecked_bytes = 0  # handed to buffers since their sizes were last added up
        self._free_bytes = max_buffered_bytes  # what was free then
        self._overflow: ApiException | None = None
        self._waiters: list[Waiter] = []
        self._loop = running_loop()

    # -- views ---------------------------------------------------------------------------------------------------

    @property
    def samples(self) -> tuple[SampleStream[ChunkT], ...]:
        """One iterator per sample, by index. From the first use on, chunks wait in their sample's buffer."""
        self._use_buffers()
        return tuple(SampleStream(self, buffer) for buffer in self._buffers)

    @property
    def partial(self) -> ResponseT:
        """The response as far as it has come; samples that have not ended have a ``finish_reason`` of None."""
        return self._reader.partial()

    @property
    def status(self) -> int:
        """The HTTP status code."""
        return self._reader.response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The response's headers."""
        return self._reader.response.headers

    @property
    def text_stream(self) -> TextStream:
        """The text of a call with one sample, piece by piece.

        Raises:
            InvalidArgument: The call has several samples, whose texts would mix.
        """
        if len(self._reader.demux.samples) > 1:
            raise InvalidArgument("this call has several samples; use stream.samples[i].text_stream")
        return TextStream(self.__aiter__())

    def __aiter__(self) -> ChunkIterator[ChunkT]:
        return ChunkIterator(self, leaving_closes=True)

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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection, unless the stream was read to its end; twice does no harm."""
        self.close()
        await self._reader.response.aclose()

    def close(self) -> None:
        """`aclose` without waiting."""
        self._reader.close()
        self._wake()

    def __del__(self) -> None:
        if hasattr(self, "_reader") and not sys.is_finalizing():  # then the sockets go with the process
            self._reader.close()

    # -- readers: what is there, or wait for it --------------------------------------------------------------------

    def _next(self) -> Coroutine[Any, Any, ChunkT]:
        """The next chunk of any sample."""
        return ChunkIterator(self, leaving_closes=False).__anext__()

    def _begin_to_iterate(self) -> None:
        """Somebody wants the next chunk of any sample, and there are samples in use, or somebody reads."""
        if self._split:
            self._use_queue()
        if self._reading and not self._ready:
            raise StreamBusy("another task is reading this stream; read its samples to share it between tasks")

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
                    if self._reader.demux.finished and not self._reading and self._reader.failure is None:
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
        batch.extend(reversed(self._ready) if buffer is None else buffer.chunks)
        self._ready.clear() if buffer is None else buffer.clear()
        return batch

    # -- the one that reads ----------------------------------------------------------------------------------------

    async def _more(self) -> bool:
        """Read once and hand over what came. False at the end; raises what ended the stream early."""
        reader = self._reader
        if (failure := reader.failure or self._overflow) is not None:
            raise failure.with_traceback(None)  # it may be raised to several readers, and more than once
        if reader.ended:
            return False
        if reader.closed:
            if reader.demux.finished:
                return False
            raise reader.describe(StreamClosed("the stream was closed, or its loop left, before its end"))
        self._reading = True
        try:
            if reader.retrying is not None and not reader.retrying.done():  # whose reader was cancelled
                await reader.retried(reader.retrying)
                return True
            if reader.demux.finished:
                await reader.drain()
                return True
            try:
                data = await reader.response.read(reader.patience())
            except (TimeoutError, ApiConnectionError, ClientClosed, StreamClosed) as exc:
                await reader.stopped(exc)
                return True
            if not data:
                await reader.stopped(None)
                return True
            chunks = reader.feed(data)
            if self._sorted:
                self._hand_over(chunks, reader.bytes_read)
            else:
                self._ready[:0] = reversed(chunks)
        finally:
            self._reading = False
            if self._waiters and (reader.ended or reader.closed or reader.failure is not None):
                self._wake()
        return True

    # -- hand-over ---------------------------------------------------------------------------------------------------

    def _use_buffers(self) -> None:
        """From now on chunks go to their sample's buffer."""
        if self._split:
            return
        if self._iterating:
            raise StreamBusy("another task iterates over the stream itself; do not read its samples at the same time")
        self._split = self._sorted = True
        if not self._buffers:
            self._buffers = [SampleBuffer(state) for state in self._reader.demux.samples]
        self._reader.counts_bytes = True
        self._hand_over(self._ready[::-1], 0)
        self._ready.clear()

    def _use_queue(self) -> None:
        """From now on chunks go to one queue; those in the buffers go first, sample by sample."""
        if any(buffer.has_reader for buffer in self._buffers):
            raise StreamBusy("a sample of this stream is being read; do not iterate over the stream at the same time")
        self._split = False
        self._sorted = any(buffer.closed for buffer in self._buffers)
        unread = [chunk for buffer in self._buffers for chunk in buffer.chunks]
        self._ready.extend(reversed(unread))
        for buffer in self._buffers:
            buffer.clear()

    def _give_back(self, chunks: Sequence[ChunkT]) -> None:
        """Chunks of `_next_batch` that were not read after all; the next ones to come."""
        self._ready.extend(reversed(chunks))

    async def _close_buffer(self, buffer: SampleBuffer[ChunkT]) -> None:
        buffer.clear()
        buffer.closed = self._sorted = True
        self._ready[:] = [chunk for chunk in self._ready if chunk.index != buffer.state.index]
        self._wake()

    def _hand_over(self, chunks: Sequence[ChunkT], size: int) -> None:
        """Put chunks, whose events had `size` bytes together, where they belong."""
        buffers = self._buffers
        if not self._split:
            self._ready[:0] = [chunk for chunk in reversed(chunks) if not buffers[chunk.index].closed]
            return
        cost = CHUNK_BYTES + size // (len(chunks) or 1)
        for chunk in chunks:
            buffer = buffers[chunk.index]
            if not buffer.closed:
                buffer.chunks.append(chunk)
                buffer.size += cost
                self._unchecked_bytes += cost
                if buffer.waiter is not None:
                    buffer.waiter.wake()
        if self._unchecked_bytes > self._free_bytes:  # only then can the bound have been passed
            self._check_bound()

    def _check_bound(self) -> None:
        held = sum(buffer.size for buffer in self._buffers)
        self._unchecked_bytes, self._free_bytes = 0, self._max_buffered_bytes - held
        if held > self._max_buffered_bytes:
            full = [buffer for buffer in self._buffers if buffer.chunks]
            unread = ", ".join(str(b.state.index) for b in [b for b in full if not b.has_reader] or full)
            self._overflow = self._reader.describe(
                BufferLimitExceeded(
                    f"unread chunks take more than max_buffered_bytes={self._max_buffered_bytes:,}; "
                    f"read sample {unread}, or aclose() what you do not need"
                )
            )
            self._reader.close()

    # -- waiting readers ---------------------------------------------------------------------------------------------

    async def _wait(self, buffer: SampleBuffer[ChunkT] | None) -> None:
        """Wait until something changed for a sample (None: for the stream), or until there is nobody to read."""
        waiter = Waiter(self._loop)
        self._waiters.append(waiter)
        if buffer is not None:
            buffer.waiter = waiter
        try:
            await waiter.wait()
        finally:
            self._waiters.remove(waiter)
            if buffer is not None:
                buffer.waiter = None

    def _wake(self) -> None:
        for waiter in [*self._waiters]:  # one that is woken may step at once, and leave
            waiter.wake()

    def _pass_on(self) -> None:
        """Somebody stops reading. Unless they are back at once, another one who waits takes over."""
        if self._waiters and not self._reading:
            when_idle(self._loop, self._elect)

    def _elect(self) -> None:
        if self._waiters and not self._reading and not any(waiter.awake for waiter in self._waiters):
            self._waiters[0].wake()


class CompletionStream(Stream[CompletionChunk, CompletionResponse]):
    """A streamed completion. See `Stream`."""


class ChatStream(Stream[ChatChunk, ChatResponse]):
    """A streamed chat. See `Stream`."""
