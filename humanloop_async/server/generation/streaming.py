"""The answer of a call that is streamed: server-sent events, one sample each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from aiohttp import HttpVersion11, web
from aiohttp.http_writer import StreamWriter

from ...types import Usage
from ..providers.base import ProviderChunk, ProviderError
from .generation import Generation, Sample
from .mux import Mux
from .responses import encode_response

T = TypeVar("T")

COMMENT = b": keep-alive\n\n"


class ClientGone(Exception):
    """The client closed the connection while it was being answered."""


class EventStream:
    """One response of server-sent events. Its headers go out with the first bytes, so that a call that fails before
    can still be answered with a status.

    Args:
        write_timeout: Seconds after which a client that reads nothing counts as gone.
    """

    def __init__(self, request: web.Request, write_timeout: float) -> None:
        self._request = request
        self._protocol = request.protocol
        self._write_timeout = write_timeout
        self._watch: asyncio.TimerHandle | None = None  # of a client that reads too slowly
        self.response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-cache",
                "X-Accel-Buffering": "no",  # nginx would hold events back
            }
        )
        if request.version < HttpVersion11:
            self.response.force_close()  # without chunks the body ends with the connection, also if that may be kept
        self._writer: StreamWriter | None = None  # once the headers have gone out
        self._clock = asyncio.get_running_loop().time
        self._last_sent = self._clock()

    @property
    def opened(self) -> bool:
        """Whether the headers have gone out."""
        return self.response.prepared

    async def send(self, events: bytes) -> None:
        """Write events in one piece; waits for a client that reads too slowly.

        Raises:
            ClientGone: Nobody is there any more.
        """
        self._last_sent = self._clock()
        try:
            if not self.response.prepared:
                await self.response.prepare(self._request)
                # `StreamResponse.write` might wait at its end, once the connection's buffer is full.
                self._writer = getattr(self.response, "_payload_writer", None)
            if (writer := self._writer) is None:  # another version of aiohttp
                await self.response.write(events)
                return
            await writer.write(events, drain=False)
            if self._protocol.writing_paused:
                self._watch_reader()
                await writer.drain()
        except ConnectionError as exc:
            raise ClientGone from exc

    def _watch_reader(self, unsent: int | None = None) -> None:
        """Drop the connection when its client takes nothing of what is unsent. That ends all who wait for it; to
        cancel one of them would cancel the others."""
        transport = self._request.transport
        if (self._watch is not None and unsent is None) or transport is None:
            return
        self._watch = None
        if not self._protocol.writing_paused:
            return
        now = transport.get_write_buffer_size()
        if unsent is not None and now >= unsent:
            transport.abort()
        else:
            loop = asyncio.get_running_loop()
            self._watch = loop.call_later(self._write_timeout, self._watch_reader, now)

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
        """Write the event that says how the call failed, when there is no status left to say it with."""
        await self.send(b"data: " + body + b"\n\n")

    async def end(self) -> None:
        """End the response; the connection stays open for the client's next request."""
        try:
            if self._protocol.writing_paused:
                self._watch_reader()
            await self.response.write_eof()
        except ConnectionError as exc:
            raise ClientGone from exc

    def abort(self) -> None:
        """Drop the connection with what is still unsent, which closing it would wait for."""
        if self._request.transport is not None:
            self._request.transport.abort()

    @asynccontextmanager
    async def kept_alive(self, interval: float) -> AsyncGenerator[None]:
        """Send a comment after each `interval` seconds of silence inside the block; the first opens the response."""
        task = asyncio.create_task(self._comment(interval))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _comment(self, interval: float) -> None:
        while True:
            silence = self._clock() - self._last_sent
            # A client that does not read what it has needs no comment, and nobody may be stopped while it drains.
            if silence < interval or self._protocol.writing_paused:
                await asyncio.sleep(interval - silence if silence < interval else interval / 10)
                continue
            try:
                await self.send(COMMENT)
            except ClientGone:
                return  # whoever sends the next event learns it too


async def stream_answer(generation: Generation, events: EventStream) -> None:
    """Ask the provider, and send its samples as they come.

    The last event of a sample waits for its log; the other samples go on in the meantime. The last event of all
    carries the usage.

    Raises:
        ProviderError: The provider refused or failed. The samples that had finished have been sent whole.
        ClientGone: Nobody is there any more.
    """
    mux = Mux(generation)
    last: list[tuple[Sample, ProviderChunk]] = []
    endings: list[asyncio.Task[None]] = []

    async def end(
        finished: list[tuple[Sample, ProviderChunk]],
        usage: Usage | None = None,
        answer: Callable[[], bytes] | None = None,
    ) -> None:
        await generation.complete([sample for sample, _ in finished], usage, answer)
        *others, (sample, chunk) = finished
        await events.send(
            b"".join([*(mux.last_event(*other) for other in others), mux.last_event(sample, chunk, usage)])
        )

    def on_batch(batch: list[ProviderChunk]) -> bool:
        for chunk in batch:
            if chunk.finish_reason is not None:
                return False
        return events.try_send(mux.feed, batch)

    try:
        async with generation.provider.stream(generation.call) as stream:
            stream.on_batch = on_batch
            async for batch in stream:
                if data := mux.feed(batch):
                    await events.send(data)
                if not (finished := mux.take_finished()):
                    continue
                if mux.unfinished:
                    endings.append(asyncio.create_task(end(finished)))
                else:
                    last = finished  # held back until the usage is known, at the end of the iteration
            usage = stream.usage
        if mux.unfinished:
            raise ProviderError(503, "the provider ended the stream before every sample", generation.provider.origin)
    finally:
        await _all_done(endings)
    await end(last, usage, partial(encode_response, generation, usage, ()))


async def _all_done(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for all, and raise what the first that failed raised; when cancelled, cancel them."""
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if outcome is not None:
            raise outcome
