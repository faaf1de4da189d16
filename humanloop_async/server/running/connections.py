"""Connections of a server: listening, malformed HTTP, and idle connections."""

from __future__ import annotations

import asyncio
import logging
import socket

from aiohttp import http_exceptions as http
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from ..errors import ApiError
from ..http.access_log import AccessLog, access_logger
from ..http.error_responses import unexpected_error
from ..http.routing import json_response
from ..settings import ServerSettings

MAX_LINE_BYTES = 256 * 1024
"""Longest request line and longest header, in bytes (400 above). The line of ``DELETE /logs`` contains the ids."""

BACKLOG = 4096
"""Most connections that wait to be accepted; Linux limits it to ``net.core.somaxconn``, which is 4,096 by default."""

LINGERING_TIME = 2.0
"""Seconds for which the rest of a body is read and discarded after its response. A client that sends it would get a
reset otherwise, and might lose the response (RFC 9112, section 9.6)."""

logger = logging.getLogger(__name__)


class Connection(RequestHandler):
    """A connection of a client. Malformed HTTP gets a JSON error, and one line in the log.

    Neither contains bytes of the request, because these may be a key.
    """

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, http.HttpProcessingError):
            reason = _reason(exc)
            logger.warning("rejected a malformed HTTP request from %s: %s", request.remote, reason)
            error = ApiError(400, f"the request is not valid HTTP: {reason}")
        else:
            error = unexpected_error(exc or TimeoutError())
        if request.writer.output_size > 0:
            raise ConnectionError("the response has begun")  # aiohttp then closes the connection
        response = json_response(error.body(), error.status)
        response.force_close()
        return response


def _reason(exc: http.HttpProcessingError) -> str:
    match exc:
        case http.LineTooLong():
            return f"its first line or a header is longer than {MAX_LINE_BYTES} bytes"
        case http.InvalidHeader():
            return "a header has an invalid name or value"
        case http.BadStatusLine() | http.InvalidURLError():
            return "its first line is invalid"
        case http.TransferEncodingError():
            return "its Transfer-Encoding is invalid"
        case http.ContentLengthError():
            return "its Content-Length is invalid"
        case _:
            return "its head or body breaks the syntax of HTTP/1.1"


async def bind(runner: web.AppRunner, settings: ServerSettings, listener: socket.socket | None) -> asyncio.Server:
    """Bind a server to `listener`, or else to the address in the settings. Set up the application before it starts.

    Raises:
        OSError: The address is not available.
        UnicodeError: The host name has an empty or very long label.
    """
    loop = asyncio.get_running_loop()

    def connection() -> Connection:
        assert runner.server is not None
        return Connection(
            runner.server,
            loop=loop,
            keepalive_timeout=settings.idle_timeout,
            access_log=access_logger,
            access_log_class=AccessLog,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            lingering_time=LINGERING_TIME,
            auto_decompress=False,  # `received_body` does, after it has checked the key
        )

    if listener is None:
        return await loop.create_server(connection, settings.host, settings.port, backlog=BACKLOG, start_serving=False)
    return await loop.create_server(connection, sock=listener, backlog=BACKLOG, start_serving=False)


async def close_idle_connections(runner: web.AppRunner, head_timeout: float) -> None:
    """Close connections without a first request, which get a shorter time than those that wait for the next one."""
    assert runner.server is not None
    idle: set[RequestHandler] = set()
    while True:
        await asyncio.sleep(head_timeout / 2)
        before, idle = idle, {connection for connection in runner.server.connections if has_no_request(connection)}
        for connection in before & idle:
            connection.force_close()


def has_no_request(connection: object) -> bool:
    """Return whether a connection has never received a request; False if this aiohttp does not count them."""
    return getattr(connection, "_request_count", 1) == 0
