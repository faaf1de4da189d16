"""Read a stream's socket once for all its readers, and dispatch the chunks to them.

There is no background task. The reader whose buffer is empty reads the socket for all: it decodes what it read and
queues each chunk for its sample, while readers of other samples wait. When it has its chunk, a waiting reader takes
over. So samples can be read in any order, and nothing is read while no reader waits.

All decisions are made in plain methods. Only `ChunkDispatcher.read_once` waits for the network, so a cancelled reader
leaves the state intact: chunks that have arrived are in the buffers, and the next read brings the others.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

from ..errors import ApiConnectionError, ApiException, BufferLimitExceeded, ClientClosed, StreamBusy, StreamClosed
from ..transport.wakeup import running_loop
from ..types import ChatChunk, ChatResponse, CompletionChunk, CompletionResponse
from ..wire.assemble import Sample
from .reader import ChunkReader
from .reader_watch import ReaderWatch
from .waiter import Waiter, when_idle

ChunkT = TypeVar("ChunkT", bound=CompletionChunk | ChatChunk)
ResponseT = TypeVar("ResponseT", bound=CompletionResponse | ChatResponse)

_CHUNK_BYTES = 256
"""Bytes that a buffered chunk counts for in addition to its event, which a chat's chunk keeps alive."""


class SampleBuffer(Generic[ChunkT]):
    """Unread chunks of one sample, and the reader that waits for more.

    Attributes:
        state: The sample as far as it has arrived, read or not.
        size: Memory that the chunks take, in bytes.
        closed: Whether the sample's chunks are dropped instead of buffered.
        has_reader: Whether a task is reading the sample.
        waiter: Wakes that task while another one reads the socket.
    """

    __slots__ = ("chunks", "closed", "has_reader", "size", "state", "waiter")

    def __init__(self, state: Sample) -> None:
        self.state: Sample = state
        self.chunks: deque[ChunkT] = deque()
        self.size: int = 0
        self.closed: bool = False
        self.has_reader: bool = False
        self.waiter: Waiter | None = None

    def take(self) -> ChunkT:
        """Remove and return the next chunk."""
        chunks = self.chunks
        self.size -= self.size // len(chunks)  # an equal share; the size of each chunk is not recorded
        return chunks.popleft()

    def clear(self) -> None:
        """Drop all chunks."""
        self.chunks.clear()
        self.size = 0


class ChunkDispatcher(Generic[ChunkT, ResponseT]):
    """The chunks of one stream, for a reader of them all or for readers of single samples.

    Chunks go to one queue until `use_buffers` is called; from then on, to the buffers of their samples. A chunk is
    delivered once. Every method that reads raises what `Stream` documents.

    Dropping the last reference closes the connection. Without `keep_open`, so does cancelling the readers: see
    `ReaderWatch`.

    Attributes:
        per_sample: Whether chunks go to the buffers of their samples.
    """

    __slots__ = (
        "_buffers",
        "_filtering",
        "_free_bytes",
        "_iterating",
        "_loop",
        "_max_buffered_bytes",
        "_overflow",
        "_queue",
        "_reader",
        "_reading",
        "_unchecked_bytes",
        "_waiters",
        "_watch",
        "per_sample",
    )

    def __init__(self, reader: ChunkReader[ChunkT, ResponseT], max_buffered_bytes: int) -> None:
        self._reader = reader
        self._max_buffered_bytes = max_buffered_bytes
        self._queue: list[ChunkT] = []  # reversed, so that taking the next chunk is a `pop`
        self._buffers: Sequence[SampleBuffer[ChunkT]] = ()  # by index, once samples have been used
        self.per_sample: bool = False
        self._filtering = False  # each chunk is looked at: chunks go to buffers, or some sample is closed
        self._reading = False  # some task is in `read_once`
        self._iterating = False  # that task iterates over all chunks
        self._unchecked_bytes = 0  # buffered since the buffers' sizes were last added up
        self._free_bytes = max_buffered_bytes  # what was free then
        self._overflow: ApiException | None = None
        self._waiters: list[Waiter] = []
        self._loop = running_loop()
        self._watch = ReaderWatch(self._loop, reader.close) if self._loop is not None else None

    def __del__(self) -> None:
        if not sys.is_finalizing():  # at exit, the operating system closes the sockets
            self._reader.close()

    def keep_open(self) -> None:
        """Do not close the connection when readers are cancelled: the caller will close it. Thread-safe."""
        if (watch := self._watch) is not None:
            self._watch = None
            watch.stop()

    def close(self) -> None:
        """Close the connection, unless the body was read to its end, and wake every waiting reader."""
        self._reader.close()
        self._wake()

    @property
    def unread(self) -> int:
        """The number of chunks that have arrived for readers of all samples, and were not read."""
        return len(self._queue)

    # -- readers ---------------------------------------------------------------------------------------------------

    async def next_chunk(self, _iterator: object = None) -> ChunkT:
        """Return the next chunk of any sample.

        Args:
            _iterator: Kept alive during the read: the end of a `ChunkIterator` closes the stream.

        Raises:
            StopAsyncIteration: The stream has ended.
        """
        queue = self._queue
        if not queue:
            if self._watch is not None:
                self._watch.enter(None)
            if self.per_sample or self._reading:
                self._use_queue()
            self._iterating = True
            try:
                while not queue:
                    if not await self.read_once():
                        raise StopAsyncIteration
            except BaseException as exc:
                if self._watch is not None:
                    self._watch.leave(None, exc)
                raise
            finally:
                self._iterating = False
        return queue.pop()

    async def next_of(self, buffer: SampleBuffer[ChunkT]) -> ChunkT:
        """Return the next chunk of one sample.

        Raises:
            StopAsyncIteration: The sample has ended or was closed.
        """
        if self._watch is not None:
            self._watch.enter(buffer)
        if buffer.chunks:
            return buffer.take()
        if buffer.has_reader:
            raise StreamBusy(f"another task is reading sample {buffer.state.index}; read a sample in one task")
        self.use_buffers()
        buffer.has_reader = True
        try:
            while not buffer.chunks:
                if buffer.closed:
                    raise StopAsyncIteration
                if buffer.state.finish_reason is not None:
                    if self._reader.demux.finished and not self._reading and self._reader.failure is None:
                        await self.read_once()
                    raise StopAsyncIteration
                if self._reading:
                    await self._wait(buffer)
                elif not await self.read_once():
                    raise StopAsyncIteration
        except BaseException as exc:
            if self._watch is not None:
                self._watch.leave(buffer, exc)
            raise
        finally:
            buffer.has_reader = False
            self._hand_over_reading()
        return buffer.take()

    async def read_to_end(self) -> None:
        """Read until the stream ends. Chunks are kept only in the buffers of samples."""
        if self._watch is not None:
            self._watch.enter(None)
        try:
            while True:
                if not self.per_sample:
                    self._queue.clear()
                    if self._reading:
                        raise StreamBusy("another task is reading this stream; await final() after it has finished")
                if self._reading:
                    await self._wait(None)
                elif not await self.read_once():
                    return
        except BaseException as exc:
            if self._watch is not None:
                self._watch.leave(None, exc)
            raise
        finally:
            self._hand_over_reading()

    async def next_batch(self, buffer: SampleBuffer[ChunkT] | None = None) -> list[ChunkT]:
        """Return every chunk that has arrived, of one sample or of all: at least one, none at the end.

        For readers in other threads, where each cross-thread call is expensive.
        """
        try:
            batch = [await (self.next_chunk() if buffer is None else self.next_of(buffer))]
        except StopAsyncIteration:
            return []
        batch.extend(reversed(self._queue) if buffer is None else buffer.chunks)
        self._queue.clear() if buffer is None else buffer.clear()
        return batch

    def push_back(self, chunks: Sequence[ChunkT]) -> None:
        """Return unread chunks of `next_batch`; they are delivered next."""
        self._queue.extend(reversed(chunks))

    async def read_once(self) -> bool:
        """Read the socket once and dispatch the chunks.

        Returns:
            False at the end of the stream.
        """
        reader = self._reader
        if (failure := reader.failure or self._overflow) is not None:
            raise failure.with_traceback(None)  # several readers may raise it, each more than once
        if reader.ended:
            return False
        if reader.closed:
            if reader.demux.finished:
                return False
            raise reader.attach_response_info(
                StreamClosed("the stream was closed before its end, by close() or by leaving a loop over it")
            )
        self._reading = True
        try:
            if reader.retry_at is not None:  # the reader that planned it was cancelled, or an attempt has failed
                await reader.retry()
                return True
            if reader.demux.finished:
                await reader.drain()
                return True
            try:
                data = await reader.response.read(reader.read_timeout())
            except (TimeoutError, ApiConnectionError, ClientClosed, StreamClosed) as exc:
                await reader.on_read_end(exc)
                return True
            if not data:
                await reader.on_read_end(None)
                return True
            chunks = reader.feed(data)
            if self._filtering:
                self._dispatch(chunks, reader.bytes_read)
            else:
                self._queue[:0] = reversed(chunks)
        finally:
            self._reading = False
            if self._waiters and (reader.ended or reader.closed or reader.failure is not None):
                self._wake()
        return True

    # -- queue and buffers -------------------------------------------------------------------------------------------

    def use_buffers(self) -> Sequence[SampleBuffer[ChunkT]]:
        """Dispatch chunks to the buffers of their samples from now on. Return the buffers, by index."""
        if not self.per_sample:
            if self._iterating:
                raise StreamBusy("another task iterates over the stream; do not read its samples at the same time")
            self.per_sample = self._filtering = True
            if not self._buffers:
                self._buffers = [SampleBuffer(state) for state in self._reader.demux.samples]
            self._reader.counts_bytes = True
            self._dispatch(self._queue[::-1], 0)
            self._queue.clear()
        return self._buffers

    def close_sample(self, buffer: SampleBuffer[ChunkT]) -> None:
        """Drop the chunks of a sample, those that have arrived and those to come."""
        buffer.clear()
        buffer.closed = self._filtering = True
        self._queue[:] = [chunk for chunk in self._queue if chunk.index != buffer.state.index]
        self._wake()

    def _use_queue(self) -> None:
        """Queue the chunks of all samples from now on; buffered ones come first, sample by sample."""
        if self.per_sample:
            if any(buffer.has_reader for buffer in self._buffers):
                raise StreamBusy("another task reads a sample; do not iterate over the stream at the same time")
            self.per_sample = False
            self._filtering = any(buffer.closed for buffer in self._buffers)
            unread = [chunk for buffer in self._buffers for chunk in buffer.chunks]
            self._queue.extend(reversed(unread))
            for buffer in self._buffers:
                buffer.clear()
        if self._reading and not self._queue:
            raise StreamBusy("another task is reading this stream; to share it between tasks, read its samples")

    def _dispatch(self, chunks: Sequence[ChunkT], size: int) -> None:
        """Put chunks, whose events have `size` bytes together, into the queue or the buffers."""
        buffers = self._buffers
        if not self.per_sample:
            self._queue[:0] = [chunk for chunk in reversed(chunks) if not buffers[chunk.index].closed]
            return
        cost = _CHUNK_BYTES + size // (len(chunks) or 1)
        for chunk in chunks:
            buffer = buffers[chunk.index]
            if not buffer.closed:
                buffer.chunks.append(chunk)
                buffer.size += cost
                self._unchecked_bytes += cost
                if buffer.waiter is not None:
                    buffer.waiter.wake()
        if self._unchecked_bytes > self._free_bytes:  # only then can the buffers exceed the limit
            self._check_limit()

    def _check_limit(self) -> None:
        held = sum(buffer.size for buffer in self._buffers)
        self._unchecked_bytes, self._free_bytes = 0, self._max_buffered_bytes - held
        if held > self._max_buffered_bytes:
            full = [buffer for buffer in self._buffers if buffer.chunks]
            unread = ", ".join(str(b.state.index) for b in [b for b in full if not b.has_reader] or full)
            self._overflow = self._reader.attach_response_info(
                BufferLimitExceeded(
                    f"unread chunks take more than max_buffered_bytes={self._max_buffered_bytes:,}; "
                    f"read sample {unread}, or aclose() the samples that you do not need"
                )
            )
            self._reader.close()

    # -- waiting readers ---------------------------------------------------------------------------------------------

    async def _wait(self, buffer: SampleBuffer[ChunkT] | None) -> None:
        """Wait until a sample (None: the stream) has changed, or until no task reads the socket."""
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
        for waiter in [*self._waiters]:  # a copy, because a woken reader may run and remove its waiter at once
            waiter.wake()

    def _hand_over_reading(self) -> None:
        """Let a waiting reader take over, unless the one that just stopped resumes at once."""
        if self._waiters and not self._reading:
            when_idle(self._loop, self._elect_reader)

    def _elect_reader(self) -> None:
        if self._waiters and not self._reading and not any(waiter.awake for waiter in self._waiters):
            self._waiters[0].wake()
