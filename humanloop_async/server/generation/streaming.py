"""Stream a generation to its client as server-sent events, each with one sample."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from aiohttp import HttpVersion11, web
from aiohttp.http_writer import StreamWriter

from ...types import Usage
from ..errors import with_request_id
from ..providers.base import ProviderChunk, ProviderError
from .ascii_json import to_ascii
from .generation import Generation, Sample
from .mux import Mux
from .responses import encode_response

T = TypeVar("T")

KEEP_ALIVE = b": keep-alive\n\n"


class ClientGone(Exception):
    """The client closed the connection before the response was complete."""


class EventStream:
    """A response of server-sent events.

    Its headers are sent with the first bytes, so a call that fails before them can still respond with a status.

    Args:
        write_timeout: Seconds after which the connection of a client that reads nothing is aborted.
    """

    def __init__(self, request: web.Request, write_timeout: float) -> None:
        self._request = request
        self._protocol = request.protocol
        self._write_timeout = write_timeout
        self._stall_timer: asyncio.TimerHandle | None = None  # runs while the client reads too slowly
        self.response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-cache",
                "X-Accel-Buffering": "no",  # keeps nginx from buffering events
            }
        )
        if request.version < HttpVersion11:
            self.response.force_close()  # without chunks, only the end of the connection ends the body
        self._writer: StreamWriter | None = None  # set when the headers are sent
        self._clock = asyncio.get_running_loop().time
        self._last_sent = self._clock()

    @property
    def opened(self) -> bool:
        """Whether the headers have been sent."""
        return self.response.prepared

    async def send(self, events: bytes) -> None:
        """Write events at once; waits while the connection's buffer is full.

        Raises:
            ClientGone: The client closed the connection, or read nothing for `write_timeout`.
        """
        self._last_sent = self._clock()
        try:
            if not self.response.prepared:
                await self.response.prepare(self._request)
                # Written to directly, because `StreamResponse.write` may wait after each write.
                self._writer = getattr(self.response, "_payload_writer", None)
            if (writer := self._writer) is None:  # this version of aiohttp has different internals
                await self.response.write(events)
                return
            await writer.write(events, drain=False)
            if self._protocol.writing_paused:
                self._abort_if_stalled()
                await writer.drain()
        except ConnectionError as exc:
            raise ClientGone from exc

    def _abort_if_stalled(self, unsent: int | None = None) -> None:
        """Abort the connection if the client has read nothing for `write_timeout`.

        This wakes every pending writer; cancelling one would cancel them all.

        Args:
            unsent: Bytes that were unsent when the timer was started; None starts it.
        """
        transport = self._request.transport
        if (self._stall_timer is not None and unsent is None) or transport is None:
            return
        self._stall_timer = None
        if not self._protocol.writing_paused:
            return
        now = transport.get_write_buffer_size()
        if unsent is not None and now >= unsent:
            transport.abort()
        else:
            loop = asyncio.get_running_loop()
            self._stall_timer = loop.call_later(self._write_timeout, self._abort_if_stalled, now)

    def try_send(self, encode: Callable[[T], bytes], batch: T) -> bool:
        """Write events from a protocol callback, if the connection accepts them without waiting.

        Args:
            encode: Turns `batch` into bytes; only called if the write can proceed.
            batch: The data of the events.

        Returns:
            Whether the events have been written.
        """
        writer, protocol = self._writer, self._protocol
        transport = protocol.transport
        if writer is None or protocol.writing_paused or transport is None or transport.is_closing():
            return False
        if events := encode(batch):
            self._last_sent = self._clock()
            # As `StreamWriter.write` does for a body without a length, which takes four calls.
            data = b"%x\r\n%b\r\n" % (len(events), events) if writer.chunked else events
            writer.output_size += len(data)
            transport.write(data)
        return True

    async def send_error(self, body: bytes) -> None:
        """Send an error as the last event, after the headers, when the status can no longer be set."""
        await self.send(b"data: " + to_ascii(with_request_id(body)) + b"\n\n")

    async def end(self) -> None:
        """End the response; the connection stays open for the client's next request."""
        try:
            if self._protocol.writing_paused:
                self._abort_if_stalled()
            await self.response.write_eof()
        except ConnectionError as exc:
            raise ClientGone from exc

    def abort(self) -> None:
        """Close the connection without sending what is left in its buffer."""
        if self._request.transport is not None:
            self._request.transport.abort()

    @asynccontextmanager
    async def kept_alive(self, interval: float) -> AsyncGenerator[None]:
        """Send a comment after each `interval` seconds of silence inside the block; the first may open the response."""
        task = asyncio.create_task(self._send_keep_alives(interval))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _send_keep_alives(self, interval: float) -> None:
        while True:
            silence = self._clock() - self._last_sent
            # A client with unread data needs no comment. Nor may this task be cancelled while it drains the buffer.
            if silence < interval or self._protocol.writing_paused:
                await asyncio.sleep(interval - silence if silence < interval else interval / 10)
                continue
            try:
                await self.send(KEEP_ALIVE)
            except ClientGone:
                return  # the task that sends the next event gets the same error


async def stream_generation(
    generation: Generation, events: EventStream, observe: Callable[[str], Callable[[], None]] | None = None
) -> None:
    """Call the provider, and send its samples as it streams them. If it fails before, call that of the fallback config.

    The last event of a sample waits until its log is stored, while the other samples continue. The last event of the
    stream has the usage.

    Args:
        generation: The call, which has begun.
        events: The response.
        observe: Called with the provider when its stream begins, for metrics; returns a function to call for each read
            of its chunks.

    Raises:
        ProviderError: The provider rejected the call or failed. The samples that had finished were sent completely.
        ClientGone: The client closed the connection.
    """
    try:
        await _stream(generation, events, observe)
    except ProviderError as exc:
        generation.fall_back(exc)
    else:
        return
    await _stream(generation, events, observe)


async def _stream(
    generation: Generation, events: EventStream, observe: Callable[[str], Callable[[], None]] | None
) -> None:
    chunks_arrived = None if observe is None else observe(generation.target.call.provider)
    mux = Mux(generation)
    last: list[tuple[Sample, ProviderChunk]] = []
    endings: list[asyncio.Task[None]] = []

    async def end(
        finished: list[tuple[Sample, ProviderChunk]],
        usage: Usage | None = None,
        encode: Callable[[], bytes] | None = None,
    ) -> None:
        await generation.complete([sample for sample, _ in finished], usage, encode)
        *others, (sample, chunk) = finished
        await events.send(
            b"".join([*(mux.last_event(*other) for other in others), mux.last_event(sample, chunk, usage)])
        )

    def on_batch(batch: list[ProviderChunk]) -> bool:
        for chunk in batch:
            if chunk.finish_reason is not None:
                return False
        is_sent = events.try_send(mux.feed, batch)
        if is_sent and chunks_arrived is not None:
            chunks_arrived()
        return is_sent

    try:
        async with generation.target.provider.stream(generation.target.call) as stream:
            stream.on_batch = on_batch
            async for batch in stream:
                if chunks_arrived is not None:
                    chunks_arrived()
                if data := mux.feed(batch):
                    await events.send(data)
                if not (finished := mux.take_finished()):
                    continue
                if mux.unfinished:
                    endings.append(asyncio.create_task(end(finished)))
                else:
                    last = finished  # sent when the usage is known, after the iteration
            usage = stream.usage
        if mux.unfinished:
            raise ProviderError(
                503, "the provider ended the stream before all samples were finished", generation.target.provider.origin
            )
    finally:
        await _all_done(endings)
    await end(last, usage, partial(encode_response, generation, usage, ()))


async def _all_done(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for all tasks, then raise the error of the first that failed. Cancels them when cancelled."""
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if outcome is not None:
            raise outcome
