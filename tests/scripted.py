"""An HTTP server that sends scripted responses, byte for byte, and records its clients' requests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

from anyio.from_thread import start_blocking_portal


class Action(Enum):
    """A step of a script that is not bytes or a pause."""

    HALF_CLOSE = "end the sending side, but continue to receive"
    RESET = "break the connection with a TCP reset"
    CLOSE = "close the connection"
    WAIT = "send no more, wait until the client closes the connection, and record the time"


Step: TypeAlias = bytes | float | asyncio.Event | Action
"""The server sends bytes, pauses for a number of seconds, and waits for an event."""


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    raw: bytes
    connection: int

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


@dataclass
class ScriptedServer:
    """Responds to each request with the next script, and repeats the last one.

    Attributes:
        url: Its URL, without a trailing slash.
        requests: The requests received, in order.
        connections: Number of accepted connections.
        open_connections: Number of connections that are open.
        left_at: `time.monotonic` of each `Action.WAIT` whose client closed the connection.
        client_left: Set when the first such client has closed.
        arrived: Set when a request has arrived.
    """

    url: str = ""
    scripts: list[tuple[Step, ...]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0
    left_at: list[float] = field(default_factory=list)
    client_left: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def add_script(self, *steps: Step) -> None:
        """Add a script."""
        self.scripts.append(steps)

    def add_response(self, body: object, status: str = "200 OK", **headers: str) -> None:
        """Add a plain response: an object to encode as JSON, or bytes."""
        self.add_script(http_response(body, status, **headers))

    def add_stream(self, *events: bytes, end: tuple[Step, ...] | None = None) -> None:
        """Add a stream that sends one event per chunk."""
        self.add_script(STREAM, *map(chunk, events), *((END,) if end is None else end))

    async def wait_until_closed(self) -> None:
        """Wait until no connection is open. Fail after 10 seconds."""
        async with asyncio.timeout(10):
            while self.open_connections:  # noqa: ASYNC110 - no event is set when the last one closes
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedServer]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._tasks: set[asyncio.Task[None]] = set()
        try:
            yield self
        finally:
            server.close()
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
        try:
            await self._converse(reader, writer, self.connections)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except asyncio.CancelledError:  # the server stops, and does not wait for clients that do not read
            writer.transport.abort()
        finally:
            self.open_connections -= 1
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            start, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            raw = await reader.readexactly(int(headers.get("content-length", 0)))
            method, path, _ = start.split()
            self.requests.append(Request(method, path, headers, raw, connection))
            self.arrived.set()
            script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
            for step in script:
                if isinstance(step, bytes):
                    writer.write(step)
                    await writer.drain()
                elif isinstance(step, float | int):
                    await asyncio.sleep(step)
                elif isinstance(step, asyncio.Event):
                    await step.wait()
                elif step is Action.HALF_CLOSE:
                    writer.write_eof()
                elif step is Action.WAIT:
                    with contextlib.suppress(ConnectionError):
                        await reader.read()
                    self.left_at.append(time.monotonic())
                    self.client_left.set()
                    return
                else:
                    if step is Action.RESET:
                        linger = struct.pack("ii", 1, 0)
                        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                        writer.transport.abort()
                    return


@contextmanager
def in_thread(*, tls: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    """Run a scripted server in another thread, for tests that block."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(ScriptedServer().running(tls)) as server:
        yield server


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
"""The head of a stream in chunks, which another response can follow on the same connection."""
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
"""The head of a stream that the end of the connection ends."""
END = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"
COMMENT = b": keep-alive\n\n"


def chunk(data: bytes) -> bytes:
    """Return data as a chunk of the chunked encoding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def http_response(body: object, status: str = "200 OK", **headers: str) -> bytes:
    """Return a complete response. Underscores in the names of headers become hyphens."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = {} if "Content_Type" in headers else {"Content-Type": "application/json"}
    named = kind | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", *(f"{n}: {v}" for n, v in named.items()), "", ""]
    return "\r\n".join(lines).encode() + data


def event(index: int = 0, output: str = "", finish_reason: str | None = None, **top: object) -> bytes:
    """Return an event of a streamed completion, with one sample."""
    item = {
        "id": f"data_{index}",
        "index": index,
        "output": output,
        "raw_output": output,
        "inputs": {},
        "finish_reason": finish_reason,
        "model_config_id": "config_1",
    }
    return sse({"project_id": "pr_1", "data": [item], "usage": None, "provider_responses": [], **top})


def sse(body: object) -> bytes:
    return b"data: %b\n\n" % json.dumps(body).encode()


def words(*texts: str, index: int = 0) -> list[bytes]:
    """Return the events of one complete sample, the last one with a finish reason."""
    return [*(event(index, text) for text in texts[:-1]), event(index, texts[-1], "stop")]


def completion(*outputs: str, **top: object) -> Mapping[str, object]:
    """Return the body of a response without streaming."""
    data = [
        {"id": f"data_{i}", "index": i, "output": text, "raw_output": text, "inputs": {}, "finish_reason": "stop"}
        for i, text in enumerate(outputs)
    ]
    return {"project_id": "pr_1", "num_samples": len(data), "data": data, "provider_responses": [], **top}


def interleaved(samples: int, chunks: int) -> list[bytes]:
    """Return events of several samples in turn, with texts "index.number "."""
    return [
        event(index, f"{index}.{number} ", "stop" if number == chunks - 1 else None)
        for number in range(chunks)
        for index in range(samples)
    ]


def text_of(index: int, chunks: int) -> str:
    """Return the complete text of one sample of `interleaved`."""
    return "".join(f"{index}.{number} " for number in range(chunks))
