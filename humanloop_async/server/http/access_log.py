"""A line for each request, in the log ``humanloop_async.server.access``.

Neither bodies nor headers nor queries are in it: those hold prompts and keys.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

CLIENT_LEFT = 499
"""Stands for the status of a request whose client did not wait for its end, as in nginx's log."""

access_logger = logging.getLogger("humanloop_async.server.access")


class AccessLog(AbstractAccessLogger):
    """Writes the lines of requests that were answered."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        _write(request, CLIENT_LEFT if request.transport is None else response.status, time)

    @property
    def enabled(self) -> bool:
        return access_logger.isEnabledFor(logging.INFO)


@web.middleware
async def log_left_requests(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Write the lines of those that ended because their client left, of which aiohttp says nothing."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    try:
        return await handler(request)
    except asyncio.CancelledError:
        if request.transport is None:
            _write(request, CLIENT_LEFT, clock() - begun)
        raise


def _write(request: web.BaseRequest, status: int, seconds: float) -> None:
    version = f"HTTP/{request.version.major}.{request.version.minor}"
    line = f'{request.remote or "-"} "{request.method} {request.rel_url.raw_path} {version}"'
    access_logger.info("%s %s %s bytes %.6f s", line, status, request.writer.output_size, seconds)
