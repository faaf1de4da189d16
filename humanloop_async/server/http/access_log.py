"""A line for each request, in the log ``humanloop_async.server.access``.

Bodies, headers and queries are left out: they contain prompts and keys.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

CLIENT_CLOSED_REQUEST = 499
"""Logged as the status of a request whose client disconnected before the end of the response, as nginx does."""

MAX_PATH = 200
"""Longest path in the log and in error messages, in characters; a longer one is cut."""

REQUEST_ID = web.RequestKey("request_id", str)
"""The id of a request, in the request."""

access_logger = logging.getLogger("humanloop_async.server.access")


def cut(path: str) -> str:
    """Return the start of a path that is longer than `MAX_PATH`, or the path."""
    return path if len(path) <= MAX_PATH else path[:MAX_PATH] + "..."


class AccessLog(AbstractAccessLogger):
    """Writes the lines of requests that got a response."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        _write(request, CLIENT_CLOSED_REQUEST if request.transport is None else response.status, time)

    @property
    def enabled(self) -> bool:
        return access_logger.isEnabledFor(logging.INFO)


@web.middleware
async def log_disconnects(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Write the lines of requests that their client cancelled by disconnecting, which aiohttp does not log."""
    clock = asyncio.get_running_loop().time
    start = clock()
    try:
        return await handler(request)
    except asyncio.CancelledError:
        if request.transport is None:
            _write(request, CLIENT_CLOSED_REQUEST, clock() - start)
        raise


def _write(request: web.BaseRequest, status: int, seconds: float) -> None:
    version = f"HTTP/{request.version.major}.{request.version.minor}"
    line = f'{request.remote or "-"} "{request.method} {cut(request.rel_url.raw_path)} {version}"'
    fields: dict[str, object] = {
        "remote": request.remote,
        "method": request.method,
        "path": cut(request.rel_url.raw_path),
        "status": status,
        "bytes": request.writer.output_size,
        "seconds": round(seconds, 6),
        "request_id": request.get(REQUEST_ID),
    }
    text = "%s %s %s bytes %.6f s %s"
    values = (line, status, request.writer.output_size, seconds, fields["request_id"] or "-")
    access_logger.info(text, *values, extra={"fields": fields})
