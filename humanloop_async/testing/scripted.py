"""A server that sends exactly the bytes of a script, with pauses and broken connections, and records the requests.

`Faults` break streams of events; this server sends what no fault can name: headers, framing, bytes that are not HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any, Self, TypeAlias

import msgspec
from anyio.from_thread import start_blocking_portal
from multidict import CIMultiDict

from ..wire.sse import encode_event
from .faults import error_body


class Action(Enum):
    """A step of a script that is not bytes, a pause or an event."""

    HALF_CLOSE = "end the sending side, and continue to receive"
    RESET = "break the connection with a TCP reset, and end the script"
    CLOSE = "close the connection, and end the script"
    WAIT = "send nothing until the client closes the connection, and end the script"


Step: TypeAlias = bytes | float | asyncio.Event | Action
"""What a `ScriptedServer` does next: send bytes, pause for a number of seconds, wait for an event, or an action."""

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
"""The headers of an event stream whose body is chunks, each made by `http_chunk`."""

LAST_CHUNK = b"0\r\n\r\n"
"""The end of a body of chunks. Another response can follow on the connection."""


def http_chunk(data: bytes) -> bytes:
    """Return data as one chunk of a body (RFC 9112, section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def http_response(body: object, status: int | str = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a whole response.

    Args:
        body: The body: bytes, or an object to encode as JSON.
        status: Its status code, or the code and another reason phrase, as in ``"503 Busy"``.
        headers: Its headers. Content-Length is added, and Content-Type ``application/json`` unless it is given.
    """
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    line = status if isinstance(status, str) else f"{status} {HTTPStatus(status).phrase}"
    sent = CIMultiDict({"Content-Type": "application/json", "Content-Length": str(len(data))})
    sent.update(headers or {})
    return (
        "\r\n".join([f"HTTP/1.1 {line}", *(f"{name}: {value}" for name, value in sent.items()), "", ""]).encode() + data
    )


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request that a `ScriptedServer` received.

    Attributes:
        method: Its method.
        path: Its path and query, as sent.
        headers: Its headers; names ignore case.
        body: Its body.
        connection: The number of its connection, from 1.
    """

    method: str
    path: str
    headers: CIMultiDict[str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        """The body, decoded from JSON."""
        return msgspec.json.decode(self.body)


class ScriptedServer:
    """An HTTP server on 127.0.0.1 that responds to each request with the next script, byte for byte.

    ::

        async with ScriptedServer() as server:
            server.add_response({"detail": "busy"}, 503, {"Retry-After": "0"})
            server.add_script(STREAM_HEAD, http_chunk(b"data: half"), 0.1, Action.RESET)
            client = AnyClient(base_url=server.url)

    The server runs on asyncio. In tests that block, and under trio, use `in_thread`.

    Args:
        tls: Context of an https server. Default: http.
        repeat: Whether the last script is the response to all further requests. Otherwise, as without any script, a
            request gets 404.

    Attributes:
        url: Its URL, without a path; set inside the block.
        requests: The requests received, in order.
        connections: Number of accepted connections.
        open_connections: Number of connections that are open.
        arrived: Set when a request has arrived.
        client_left: Set when a client has closed the connection during `Action.WAIT`.
        left_at: When that was, for each such client, by `time.monotonic`.
    """

    url: str

    def __init__(self, *, tls: ssl.SSLContext | None = None, repeat: bool = True) -> None:
        self._scripts: list[Sequence[Step]] = []
        self.requests: list[ReceivedRequest] = []
        self.connections = 0
        self.open_connections = 0
        self.arrived = asyncio.Event()
        self.client_left = asyncio.Event()
        self.left_at: list[float] = []
        self._tls = tls
        self._repeat = repeat
        self._last: Sequence[Step] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._all_closed = asyncio.Event()
        self._all_closed.set()

    def add_script(self, *steps: Step) -> None:
        """Add a script. After its last step the connection stays open for further requests."""
        self._scripts.append(steps)

    def add_response(self, body: object, status: int | str = 200, headers: Mapping[str, str] | None = None) -> None:
        """Add a whole response; the arguments are those of `http_response`."""
        self.add_script(http_response(body, status, headers))

    def add_stream(self, *events: object, end: Sequence[Step] = (LAST_CHUNK,), size: int | None = None) -> None:
        r"""Add an event stream.

        Args:
            events: The events: bytes such as ``b"data: [DONE]\n\n"`` to send as they are, or objects to send as JSON.
            end: The steps after the last event.
            size: Bytes per chunk of the body. Default: one event per chunk.
        """
        pieces = [event if isinstance(event, bytes) else encode_event(msgspec.json.encode(event)) for event in events]
        if size is not None:
            data = b"".join(pieces)
            pieces = [data[at : at + size] for at in range(0, len(data), size)]
        self.add_script(STREAM_HEAD, *map(http_chunk, pieces), *end)

    async def wait_until_closed(self, timeout: float = 10.0) -> None:
        """Wait until no connection is open.

        Raises:
            TimeoutError: One is still open after `timeout` seconds.
        """
        async with asyncio.timeout(timeout):
            await self._all_closed.wait()

    @contextmanager
    def in_thread(self) -> Generator[Self]:
        """Run the server in another thread inside the block."""
        with start_blocking_portal() as portal, portal.wrap_async_context_manager(self):
            yield self

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls, limit=_MAX_HEAD)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if self._tls else ''}://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        self.open_connections += 1
        self._all_closed.clear()
        try:
            await self._converse(reader, writer, self.connections)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except (ValueError, asyncio.LimitOverrunError) as exc:
            writer.write(http_response(error_body(400, f"the scripted server cannot read this request: {exc}"), 400))
        except asyncio.CancelledError:  # the server stops, and does not wait for clients that do not read
            writer.transport.abort()
        finally:
            self.open_connections -= 1
            if not self.open_connections:
                self._all_closed.set()
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        """Answer the requests of one connection, until a script or the client ends it."""
        while True:
            request = await _read_request(reader, connection)
            self.requests.append(request)
            self.arrived.set()
            for step in self._next_script(request):
                if isinstance(step, bytes):
                    writer.write(step)
                    await writer.drain()
                elif isinstance(step, float | int):
                    await asyncio.sleep(step)
                elif isinstance(step, asyncio.Event):
                    await step.wait()
                elif step is Action.HALF_CLOSE:
                    writer.write_eof()
                else:
                    await self._end(step, reader, writer)
                    return

    def _next_script(self, request: ReceivedRequest) -> Sequence[Step]:
        if self._scripts:
            self._last = self._scripts.pop(0)
            return self._last
        if self._repeat and self._last is not None:
            return self._last
        message = f"the scripted server has no script for request {len(self.requests)}, {request.method} {request.path}"
        return (http_response(error_body(404, message), 404),)

    async def _end(self, action: Action, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if action is Action.WAIT:
            with contextlib.suppress(ConnectionError):
                await reader.read()
            self.left_at.append(time.monotonic())
            self.client_left.set()
        elif action is Action.RESET:
            reset(writer.transport)


_MAX_HEAD = 1024 * 1024


async def _read_request(reader: asyncio.StreamReader, connection: int) -> ReceivedRequest:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    start, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = start.split(" ")
    headers = CIMultiDict[str]()
    for line in lines:
        name, _, value = line.partition(":")
        headers.add(name, value.strip())
    if headers.get("Transfer-Encoding", "").lower() != "chunked":
        body = await reader.readexactly(int(headers.get("Content-Length", 0)))
        return ReceivedRequest(method, path, headers, body, connection)
    pieces: list[bytes] = []
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        pieces.append((await reader.readexactly(size + 2))[:-2])
    while await reader.readuntil(b"\r\n") != b"\r\n":  # trailers
        pass
    return ReceivedRequest(method, path, headers, b"".join(pieces), connection)


def reset(transport: asyncio.WriteTransport) -> None:
    """Break a connection with a TCP reset."""
    connection: socket.socket = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
