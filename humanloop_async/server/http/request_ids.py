"""``X-Request-Id``: accepted from callers, created if missing, and returned with every response."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from aiohttp import web

from ..ids import new_id
from ..request_context import RequestInfo, current_request
from .access_log import REQUEST_ID, cut

HEADER = "X-Request-Id"

_VALID = re.compile(r"[\x21-\x7e]{1,128}")  # others could forge log lines


@web.middleware
async def identify(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Give the request an id, unless its caller has."""
    set_id(request)
    return await handler(request)


def set_id(request: web.Request) -> None:
    """Set the id of a request that has just arrived."""
    id = request.headers.get(HEADER, "")
    if not _VALID.fullmatch(id):
        id = new_id("req")
    request[REQUEST_ID] = id
    current_request.set(RequestInfo(id, request.method, cut(request.rel_url.raw_path)))


async def return_id(request: web.Request, response: web.StreamResponse) -> None:
    """Add the id to a response that is about to be sent."""
    if (id := request.get(REQUEST_ID)) is not None:
        response.headers[HEADER] = id
