"""Error responses: every exception of a handler becomes JSON of v4's shape."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from ..errors import ApiError
from ..storage.errors import first_line, is_unreachable
from .routing import BASE_PATH, SERVICE, json_response

logger = logging.getLogger(__name__)


@web.middleware
async def error_middleware(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every error as JSON of v4's shape. Errors nobody foresaw go to the log, not to the client."""
    try:
        return await handler(request)
    except Exception as exc:  # noqa: BLE001 - the last stop
        refusal = _error_of(request, exc)
        headers = refusal.headers()
        if isinstance(exc, web.HTTPMethodNotAllowed):
            headers["Allow"] = exc.headers["Allow"]
    response = json_response(refusal.body(), refusal.status, headers)
    if request.content.exception() is not None or not request.content.is_eof():
        response.force_close()  # the client's next request could be taken for the rest of this one's body
    return response


def _error_of(request: web.Request, exc: Exception) -> ApiError:
    match exc:
        case ApiError():
            return exc
        case web.HTTPRequestEntityTooLarge():
            return ApiError(413, f"the body is larger than {request.app[SERVICE].settings.max_body_bytes} bytes")
        case web.HTTPMethodNotAllowed():
            return ApiError(405, f"{request.method} is not allowed here; use {', '.join(sorted(exc.allowed_methods))}")
        case web.HTTPNotFound():
            where = f"what it has is below {BASE_PATH}, and listed in /openapi.json"
            return ApiError(404, f"this server has nothing at {request.path}; {where}")
        case web.HTTPException():
            return ApiError(exc.status, exc.reason)
        case _:
            return unexpected_error(exc)


def unexpected_error(exc: BaseException) -> ApiError:
    if is_unreachable(exc):
        logger.error("the database does not answer: %s", first_line(exc))
        return ApiError(503, "the database does not answer", retry_after=1)
    logger.error("a request failed", exc_info=exc)
    return ApiError(500, "the server failed on this request; its log tells more")
