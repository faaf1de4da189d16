"""An HTTP server that sends scripted bytes, as a provider."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class ScriptedServer:
    """A server that responds to each request with the next script. Numbers in a script are pauses in seconds.

    A script ends with its last bytes, with ``"cut"``, which aborts the connection, or with ``"hang"``, which keeps it
    open until the client closes it.
    """

    url: str = ""
    scripts: list[list[bytes | float | str]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)  # a client has closed a connection that hung

    def add_script(self, *script: bytes | float | str) -> None:
        self.scripts.append(list(script))

    def streams(self, *events: object, done: bool = True, end: str = "", size: int = 0) -> None:
        """Add a stream of events, as JSON. With a `size`, each HTTP chunk has that many bytes."""
        data = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)
        data += b"data: [DONE]\n\n" if done else b""
        pieces = [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
        self.add_script(OK, *map(chunk, pieces), end or b"0\r\n\r\n")

    def add_response(self, body: object, status: str = "200 OK", headers: Iterable[str] = ()) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", *headers, "", ""])
        self.add_script(head.encode() + data)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                start, *lines = head.strip().split("\r\n")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                body = json.loads(await reader.readexactly(int(headers["content-length"])))
                self.requests.append(Request(start.split()[1], headers, body))
                for step in self.scripts.pop(0):
                    if step == "cut":
                        writer.transport.abort()
                        return
                    if step == "hang":
                        await reader.read()
                        self.left.set()
                        return
                    if isinstance(step, bytes):
                        writer.write(step)
                        await writer.drain()
                    else:
                        await asyncio.sleep(float(step))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedServer]:
    scripted = ScriptedServer()
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    scripted.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    yield scripted
    server.close()
    await server.wait_closed()
