"""The load on a gateway: a bare protocol that reads a stream of either format and decodes each event once.

The client is the same for every gateway, except for the address, the request and the format of the events.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable

import msgspec

from . import harness

CONNECTING = 64  # concurrent connection attempts: some gateways have a short accept queue
KEPT = 1.0  # seconds until an idle connection is closed: some gateways close theirs after five, requests or not
PATIENCE = 60.0  # seconds for one stream


class V4Sample(msgspec.Struct):
    output: str
    finish_reason: str | None = None


class V4Event(msgspec.Struct):
    data: list[V4Sample]

    def pieces(self) -> Iterable[tuple[str | None, str | None]]:
        return [(sample.output, sample.finish_reason) for sample in self.data]


class OpenAIDelta(msgspec.Struct):
    content: str | None = None


class OpenAIChoice(msgspec.Struct):
    delta: OpenAIDelta
    finish_reason: str | None = None


class OpenAIEvent(msgspec.Struct):
    choices: list[OpenAIChoice]

    def pieces(self) -> Iterable[tuple[str | None, str | None]]:
        return [(choice.delta.content, choice.finish_reason) for choice in self.choices]


EVENTS: dict[str, type[V4Event] | type[OpenAIEvent]] = {"v4": V4Event, "openai": OpenAIEvent}


class Failed(Exception):
    """The gateway's response was not a complete stream."""


class Connection(asyncio.Protocol):
    """A connection that reads responses in chunked encoding, one after another."""

    transport: asyncio.Transport
    idle_since: float

    def __init__(self, decode: Callable[[bytes], V4Event | OpenAIEvent]) -> None:
        self.decode = decode
        self.ended: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(Failed(f"the connection was closed: {exc or 'by the gateway'}"))

    async def stream(self, request: bytes, see: Callable[[str], None]) -> None:
        """Send a request and pass the text of every event to `see`; return at the end of the response."""
        self.see, self.in_body, self.frames, self.events = see, False, b"", b""
        self.ended = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        await self.ended

    def data_received(self, data: bytes) -> None:
        frames = self.frames + data if self.frames else data
        at = 0
        if not self.in_body:
            if (at := frames.find(b"\r\n\r\n") + 4) < 4:
                self.frames = frames
                return
            head = frames[:at].lower()
            if b" 200 " not in head[:13] or b"\r\ntransfer-encoding: chunked\r\n" not in head:
                self._end(Failed(frames[:300].decode(errors="replace")))
                return
            self.in_body = True
        chunks: list[bytes] = []
        while (line := frames.find(b"\r\n", at)) >= 0:
            end = line + 2 + int(frames[at:line], 16)
            if len(frames) < end + 2:
                break
            if end == line + 2:
                self._read(b"".join(chunks))
                self._end()
                return
            chunks.append(frames[line + 2 : end])
            at = end + 2
        self.frames = frames[at:]
        if chunks:
            self._read(b"".join(chunks))

    def _read(self, data: bytes) -> None:
        *events, self.events = (self.events + data).split(b"\n\n")
        for event in events:
            if event.startswith(b"data: ") and event != b"data: [DONE]":
                for text, finish_reason in self.decode(event[6:]).pieces():
                    if text or finish_reason:  # some gateways add empty events
                        self.see(text or "")

    def _end(self, exc: Exception | None = None) -> None:
        if self.ended is None or self.ended.done():
            return
        if exc is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(exc)


class RawStream:
    """See `harness.Adapter`. Options: `path`, `headers` and `body` of the request, `shape` of the events."""

    def __init__(self, port: int, options: dict[str, str]) -> None:
        self.port = port
        self.decode = msgspec.json.Decoder(EVENTS[options["shape"]]).decode
        body = options["body"].encode()
        head = f"POST {options['path']} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in json.loads(options["headers"]).items())
        self.request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        self.idle: list[Connection] = []

    async def open(self) -> None:
        self.connecting = asyncio.Semaphore(CONNECTING)

    async def stream(self, samples: int, tally: harness.Tally) -> None:
        del samples
        connection = await self._connection()
        try:
            async with asyncio.timeout(PATIENCE):
                await connection.stream(self.request, tally.text)
        except BaseException:
            connection.transport.abort()
            raise
        connection.idle_since = asyncio.get_running_loop().time()
        self.idle.append(connection)

    async def _connection(self) -> Connection:
        loop = asyncio.get_running_loop()
        while self.idle:
            connection = self.idle.pop()
            if loop.time() - connection.idle_since < KEPT and not connection.transport.is_closing():
                return connection
            connection.transport.abort()
        async with self.connecting:
            _, connection = await loop.create_connection(lambda: Connection(self.decode), "127.0.0.1", self.port)
            return connection

    async def call(self) -> str:
        raise NotImplementedError

    async def close(self) -> None:
        for connection in self.idle:
            connection.transport.abort()


if __name__ == "__main__":
    harness.main(RawStream, "msgspec")
