"""A streamed call as its caller sees it: the chunks of all samples, of one sample, or text alone."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from ..errors import InvalidArgument
from ..types import ChatChunk, ChatResponse, CompletionChunk, CompletionResponse
from ..types.shared import _Renamed
from .dispatcher import ChunkDispatcher, SampleBuffer
from .reader import ChunkReader

ChunkT = TypeVar("ChunkT", bound=CompletionChunk | ChatChunk)
ResponseT = TypeVar("ResponseT", bound=CompletionResponse | ChatResponse)


class Stream(Generic[ChunkT, ResponseT]):
    """The response to a streamed call, while it arrives.

    Iterate over it for the chunks of all samples in the order of their arrival, or over each of its `samples`;
    `final` reads the rest and returns the response that the call without streaming returns. A chunk is delivered once.

    Leaving ``async with`` closes the connection, and so does leaving a loop over the stream before its
    end. A stream that is read to its end returns its connection to the pool. Without ``async with``, a stream whose
    reader was cancelled is closed after 1 s, unless a task reads it again.

    Raises, from every method that reads:
        StreamTruncated: The connection ended before every sample had a ``finish_reason``.
        StatusError: The server reported an error inside the stream.
        FirstTokenTimeout, IdleTimeout, TotalTimeout: A limit of the call's `Timeout` was exceeded.
        InvalidEvent: An event is not what v4 documents.
        EventTooLarge: An event is larger than the client's ``max_event_bytes``.
        BufferLimitExceeded: The unread chunks of samples take more than the client's ``max_buffered_bytes``.
        StreamBusy: Another task is reading the same stream or sample.
        StreamClosed: The stream was closed before its end.

    Chunks that arrived completely before an error are delivered before it, and the error's `partial` holds all of
    them. Cancelling a reader loses no chunk and does not affect other readers.
    """

    def __init__(self, reader: ChunkReader[ChunkT, ResponseT], max_buffered_bytes: int) -> None:
        self._reader = reader
        self._dispatcher: ChunkDispatcher[ChunkT, ResponseT] = ChunkDispatcher(reader, max_buffered_bytes)

    @property
    def samples(self) -> tuple[SampleStream[ChunkT], ...]:
        """One iterator per sample, by index. From the first use on, unread chunks are buffered for each sample."""
        return tuple(SampleStream(self._dispatcher, buffer) for buffer in self._dispatcher.use_buffers())

    @property
    def partial(self) -> ResponseT:
        """The response as far as it has arrived; samples that have not ended have a ``finish_reason`` of None."""
        return self._reader.partial()

    @property
    def status(self) -> int:
        """The HTTP status code."""
        return self._reader.response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The response's headers."""
        return self._reader.response.headers

    if not TYPE_CHECKING:
        content = _Renamed("a loop over the stream, or its text_stream")

        def __dir__(self) -> list[str]:
            return [name for name in super().__dir__() if name != "content"]

    @property
    def text_stream(self) -> TextStream:
        """The text of a call with one sample, piece by piece; empty pieces are left out.

        Raises:
            InvalidArgument: The call has several samples, whose texts would mix.
        """
        if len(self._reader.demux.samples) > 1:
            raise InvalidArgument("this call has several samples; use stream.samples[i].text_stream")
        return TextStream(self.__aiter__())

    def __aiter__(self) -> ChunkIterator[ChunkT]:
        return ChunkIterator(self._dispatcher)

    def __repr__(self) -> str:
        ended = sum(sample.finish_reason is not None for sample in self._reader.demux.samples)
        state = "ended" if self._reader.ended else "closed" if self._reader.closed else "open"
        return f"<{type(self).__name__}: {state}, {ended} of {len(self._reader.demux.samples)} samples finished>"

    def __anext__(self) -> Coroutine[Any, Any, ChunkT]:
        return self._dispatcher.next_chunk()

    async def final(self) -> ResponseT:
        """Read the rest of the stream and return the whole response.

        Unread chunks are dropped, unless `samples` is in use: samples keep theirs.
        `output` is stripped of outer whitespace, as without streaming; `raw_output` is not.
        """
        await self._dispatcher.read_to_end()
        return self.partial

    async def __aenter__(self) -> Self:
        self._dispatcher.keep_open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection, unless the stream was read to its end. Closing again has no effect."""
        self.close()
        await self._reader.response.aclose()

    def close(self) -> None:
        """Do the same as `aclose` without waiting."""
        self._dispatcher.close()


class CompletionStream(Stream[CompletionChunk, CompletionResponse]):
    """A streamed completion. See `Stream`."""


class ChatStream(Stream[ChatChunk, ChatResponse]):
    """A streamed chat. See `Stream`."""


class ChunkIterator(AsyncIterator[ChunkT]):
    """A loop over a `Stream`. Dropping it before the stream's end, as ``break`` does, closes the stream."""

    __slots__ = ("_dispatcher", "_started")

    def __init__(self, dispatcher: ChunkDispatcher[ChunkT, Any]) -> None:
        self._dispatcher = dispatcher
        self._started = False

    def __aiter__(self) -> ChunkIterator[ChunkT]:
        return self

    def __anext__(self) -> Coroutine[Any, Any, ChunkT]:
        self._started = True
        return self._dispatcher.next_chunk(self)

    def __repr__(self) -> str:
        return f"<ChunkIterator: {self._dispatcher.unread} chunks unread>"

    async def aclose(self) -> None:
        """Close the stream, unless it was read to its end."""
        self._dispatcher.close()

    def __del__(self) -> None:
        if self._started and not sys.is_finalizing():  # at exit, the operating system closes the sockets
            self._dispatcher.close()


class SampleStream(AsyncIterator[ChunkT]):
    """The chunks of one sample, in order, for one reader at a time. Reading can stop and resume.

    Raises what `Stream` raises.
    """

    __slots__ = ("_buffer", "_dispatcher")

    def __init__(self, dispatcher: ChunkDispatcher[ChunkT, Any], buffer: SampleBuffer[ChunkT]) -> None:
        self._dispatcher = dispatcher
        self._buffer = buffer

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

    @property
    def text_stream(self) -> TextStream:
        """The sample's text, piece by piece; empty pieces are left out."""
        return TextStream(self)

    def __aiter__(self) -> SampleStream[ChunkT]:
        return self

    def __repr__(self) -> str:
        return f"<SampleStream {self.index}: {sample_state(self._buffer)}>"

    def __anext__(self) -> Coroutine[Any, Any, ChunkT]:
        return self._dispatcher.next_of(self._buffer)

    async def aclose(self) -> None:
        """Drop the sample's chunks, those that have arrived and those to come. Other samples are not affected."""
        self._dispatcher.close_sample(self._buffer)


class TextStream(AsyncIterator[str]):
    """The text of one sample, piece by piece; empty pieces are left out."""

    __slots__ = ("_chunks",)

    def __init__(self, chunks: ChunkIterator[Any] | SampleStream[Any]) -> None:
        self._chunks = chunks

    def __aiter__(self) -> TextStream:
        return self

    def __repr__(self) -> str:
        return f"<TextStream of {self._chunks!r}>"

    async def __anext__(self) -> str:
        while True:
            text: str = (await anext(self._chunks)).output
            if text:
                return text

    async def aclose(self) -> None:
        """Close the stream, or the sample, whose text this is."""
        await self._chunks.aclose()


def sample_state(buffer: SampleBuffer[Any]) -> str:
    """Return how far a sample is, for its `repr`."""
    reason = buffer.state.finish_reason
    state = "closed" if buffer.closed else "open" if reason is None else f"finish_reason {reason!r}"
    return f"{state}, {len(buffer.state.text)} characters received"
