"""Streamed calls for synchronous code. Each cross-thread call brings every chunk that has arrived."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar

from ..client.dispatcher import SampleBuffer
from ..client.stream import Stream, sample_state
from ..errors import InvalidArgument
from ..types import ChatChunk, ChatResponse, CompletionChunk, CompletionResponse
from ..types.shared import _Renamed
from .loop_thread import LoopThread

ChunkT = TypeVar("ChunkT", bound=CompletionChunk | ChatChunk)
ResponseT = TypeVar("ResponseT", bound=CompletionResponse | ChatResponse)


class SyncStream(Generic[ChunkT, ResponseT]):
    """`Stream` for synchronous code, with the same views, errors and guarantees.

    Several threads may read different samples at the same time, one thread per sample.
    """

    def __init__(self, loop: LoopThread, stream: Stream[ChunkT, ResponseT]) -> None:
        self._loop = loop
        self._stream = stream
        self._dispatcher = stream._dispatcher
        self._queue: deque[ChunkT] = deque()
        self._samples: tuple[SyncSampleStream[ChunkT], ...] = ()

    @property
    def samples(self) -> tuple[SyncSampleStream[ChunkT], ...]:
        """One iterator per sample, by index. From the first use on, unread chunks are buffered for each sample."""
        self._loop.call(self._use_buffers)
        return self._samples

    async def _use_buffers(self) -> None:
        self._dispatcher.push_back(self._queue)
        self._queue.clear()
        buffers = self._dispatcher.use_buffers()
        if not self._samples:
            self._samples = tuple(SyncSampleStream(self, buffer) for buffer in buffers)

    @property
    def partial(self) -> ResponseT:
        """The response as far as it has arrived; samples that have not ended have a ``finish_reason`` of None."""
        return self._stream.partial

    @property
    def status(self) -> int:
        """The HTTP status code."""
        return self._stream.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The response's headers."""
        return self._stream.headers

    @property
    def text_stream(self) -> Iterator[str]:
        """The text of a call with one sample, piece by piece; empty pieces are left out.

        Raises:
            InvalidArgument: The call has several samples, whose texts would mix.
        """
        if len(self._stream._reader.demux.samples) > 1:
            raise InvalidArgument("this call has several samples; use stream.samples[i].text_stream")
        return _texts(iter(self))

    def __iter__(self) -> SyncChunkIterator[ChunkT]:
        return SyncChunkIterator(self)

    def __repr__(self) -> str:
        return repr(self._stream).replace(type(self._stream).__name__, type(self).__name__, 1)

    if not TYPE_CHECKING:
        content = _Renamed("a loop over the stream, or its text_stream")

        def __dir__(self) -> list[str]:
            return [name for name in super().__dir__() if name != "content"]

        def __await__(self) -> NoReturn:
            raise TypeError("a stream of Humanloop is open already; to await calls, use AsyncHumanloop")

        def __aiter__(self) -> NoReturn:
            raise TypeError("a stream of Humanloop is read with `for`; for `async for`, use AsyncHumanloop")

    def __next__(self) -> ChunkT:
        if not self._queue:
            for sample in self._samples:  # fetched from the loop for a sample, and not read there
                self._queue.extend(sample._queue)
                sample._queue.clear()
        if not self._queue:
            self._loop.call(self._fill_queue)
            if not self._queue:
                raise StopIteration
        return self._queue.popleft()

    async def _fill_queue(self) -> None:
        # This runs on the loop, so that an interrupt of the reading thread loses no chunk.
        self._queue.extend(await self._dispatcher.next_batch())

    def final(self) -> ResponseT:
        """Read the rest of the stream and return the whole response; see `Stream.final`."""
        if not self._dispatcher.per_sample:
            self._queue.clear()
        return self._loop.call(self._stream.final)

    def __enter__(self) -> Self:
        self._dispatcher.keep_open()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, unless the stream was read to its end. Closing again has no effect."""
        if self._loop.is_running:
            self._loop.call(self._stream.aclose)

    def _close_soon(self) -> None:
        self._loop.call_soon(self._stream.close)

    def __del__(self) -> None:
        # The connection belongs to the loop's thread. The bound method keeps the stream alive until it is closed there.
        if not self._stream._reader.ended:
            self._close_soon()


class SyncChunkIterator(Iterator[ChunkT]):
    """A loop over a stream. Dropping it before the stream's end, as ``break`` does, closes the stream."""

    __slots__ = ("_queue", "_started", "_stream")

    def __init__(self, stream: SyncStream[ChunkT, Any]) -> None:
        self._stream = stream
        self._queue = stream._queue
        self._started = False

    def __next__(self) -> ChunkT:
        self._started = True
        if self._queue:
            return self._queue.popleft()
        return next(self._stream)

    def __del__(self) -> None:
        if self._started and not self._stream._stream._reader.ended:
            self._stream._close_soon()


class SyncSampleStream(Iterator[ChunkT]):
    """The chunks of one sample, in order; see `SampleStream`."""

    __slots__ = ("_buffer", "_parent", "_queue")

    def __init__(self, parent: SyncStream[ChunkT, Any], buffer: SampleBuffer[ChunkT]) -> None:
        self._parent = parent
        self._buffer = buffer
        self._queue: deque[ChunkT] = deque()

    @property
    def index(self) -> int:
        """The sample's index in the call, from 0."""
        return self._buffer.state.index

    @property
    def id(self) -> str | None:
        """The sample's log id; None until its first chunk has arrived."""
        return self._buffer.state.id

    @property
    def finish_reason(self) -> str | None:
        """Why the sample ended; None until then. Set on arrival, before the chunks are read."""
        return self._buffer.state.finish_reason

    @property
    def text(self) -> str:
        """All text that has arrived, read or not."""
        return self._buffer.state.text

    @property
    def reasoning(self) -> str | None:
        """The model's thinking that has arrived, read or not; None if the provider sends none."""
        return self._buffer.state.reasoning

    def __repr__(self) -> str:
        return f"<SyncSampleStream {self.index}: {sample_state(self._buffer)}>"

    @property
    def text_stream(self) -> Iterator[str]:
        """The sample's text, piece by piece; empty pieces are left out."""
        return _texts(self)

    def __next__(self) -> ChunkT:
        if not self._queue:
            self._parent._loop.call(self._fill_queue)
            if not self._queue:
                raise StopIteration
        return self._queue.popleft()

    async def _fill_queue(self) -> None:
        self._queue.extend(await self._parent._dispatcher.next_batch(self._buffer))

    def close(self) -> None:
        """Drop the sample's chunks, those that have arrived and those to come. Other samples are not affected."""
        self._queue.clear()
        queue = self._parent._queue  # chunks fetched from the loop for a loop over all samples
        others = [chunk for chunk in queue if chunk.index != self.index]
        queue.clear()
        queue.extend(others)
        self._parent._loop.call(self._close)

    async def _close(self) -> None:
        self._parent._dispatcher.close_sample(self._buffer)


def _texts(chunks: Iterator[Any]) -> Iterator[str]:
    return (chunk.output for chunk in chunks if chunk.output)


class SyncCompletionStream(SyncStream[CompletionChunk, CompletionResponse]):
    """A streamed completion for synchronous code. See `SyncStream`."""


class SyncChatStream(SyncStream[ChatChunk, ChatResponse]):
    """A streamed chat for synchronous code. See `SyncStream`."""
