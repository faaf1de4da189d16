"""Serve a transport over HTTP, to clients in any language: a recording, a broken server, a server that is recorded."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Self
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from ..errors import ApiConnectionError, ApiException, InvalidArgument
from ..transport.base import ResponseStream, Transport
from ..wire.requests import HttpRequest
from .errors import UnmatchedRequest
from .faults import error_body
from .record import was_reset
from .scripted import reset

_HOP_BY_HOP = frozenset(
    {
        *("connection", "content-encoding", "content-length", "date", "keep-alive", "proxy-authenticate", "server"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    }
)
"""Headers that describe a connection or its framing and not the response (RFC 9110, section 7.6.1). A recorded body is
decompressed."""

_NOT_SENT = _HOP_BY_HOP | {"accept-encoding", "expect", "host"}

_RESET_DELAY = 0.05
"""Seconds between the last bytes and a reset. The client's system drops bytes that it has not read when the reset
arrives."""

_MAX_BODY = 256 * 1024 * 1024


class TransportServer:
    """An HTTP server on 127.0.0.1 that gets each response from a `Transport`, and passes on every read at once.

    ::

        async with TransportServer(ReplayTransport("recordings/chat.jsonl", repeat=True)) as server:
            client = AnyClient(base_url=f"{server.url}/v4")

    A connection that breaks in the transport breaks here: it is closed or reset. A request without a recorded response
    gets 404, with the difference from the closest one.

    Args:
        transport: The transport. Leaving the block closes it.
        upstream: URL of the server to which the transport sends, without a path. Not needed for a `ReplayTransport`.
        host: Address to listen on.
        port: Port to listen on; 0 selects a free one.

    Attributes:
        url: The server's URL, without a trailing slash; set inside the block.

    Raises:
        InvalidArgument: `upstream` is not an http(s) URL.
        OSError: On entering: the server cannot listen on the address.
    """

    url: str

    def __init__(
        self,
        transport: Transport,
        *,
        upstream: str = "http://upstream.invalid",
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        parts = urlsplit(upstream)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
            raise InvalidArgument(f"upstream={upstream!r} is invalid; pass one such as 'http://127.0.0.1:8460'")
        self._transport = transport
        self._upstream = f"{parts.scheme}://{parts.netloc}"
        self._host, self._port = host, port
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        # `handler_cancellation`: a client that leaves closes the transport's response.
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._transport.aclose)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, self._host, self._port)
            await site.start()
            self._stack = stack.pop_all()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_SENT}
        sent = HttpRequest(request.method, f"{self._upstream}{request.raw_path}", headers, body or None)
        try:
            response = await self._transport.send(sent, None)
        except TimeoutError:  # a recorded one: the server did not respond in time
            return await _never()
        except ApiConnectionError as exc:
            return await _break(request, exc)
        except ApiException as exc:
            status = 404 if isinstance(exc, UnmatchedRequest) else 502
            return web.Response(status=status, body=error_body(status, str(exc)), content_type="application/json")
        try:
            return await self._forward(request, response)
        finally:
            await response.aclose()

    async def _forward(self, request: web.Request, response: ResponseStream) -> web.StreamResponse:
        out = web.StreamResponse(status=response.status, reason=response.reason or None)
        for name, value in response.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                out.headers.add(name, value)
        if response.headers.get("Content-Type") is None:
            out.headers["Content-Type"] = "application/octet-stream"  # aiohttp's default, made explicit
        writer = await out.prepare(request)
        if isinstance(writer, AbstractStreamWriter):
            writer.send_headers()  # now, and not with the first bytes of the body
        try:
            while data := await response.read(None):
                await out.write(data)
        except TimeoutError:
            return await _never()
        except ApiConnectionError as exc:
            return await _break(request, exc, out)
        await out.write_eof()
        return out


async def _never() -> web.StreamResponse:
    """Wait until the client leaves, which cancels the handler."""
    await asyncio.Event().wait()
    raise AssertionError


async def _break(
    request: web.Request, exc: ApiConnectionError, out: web.StreamResponse | None = None
) -> web.StreamResponse:
    """Close the client's connection as the transport's was: with a reset, or without the end of the body."""
    if (transport := request.transport) is not None:
        if was_reset(exc):
            await asyncio.sleep(_RESET_DELAY)
            reset(transport)
        else:
            transport.close()  # after the bytes that were written
    return out if out is not None else web.Response()
