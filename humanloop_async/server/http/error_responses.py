"""Error responses: every exception of a handler becomes JSON in the form of v4."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from ..errors import ApiError
from ..storage.errors import is_unreachable
from .access_log import cut
from .routing import BASE_PATH, json_response

logger = logging.getLogger(__name__)


@web.middleware
async def error_middleware(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn every exception into an error response. Details of unexpected ones go to the log, not to the client."""
    try:
        return await handler(request)
    except Exception as exc:  # noqa: BLE001 - every error gets a response
        error = _api_error(request, exc)
        headers = error.headers()
        if isinstance(exc, web.HTTPMethodNotAllowed):
            headers["Allow"] = exc.headers["Allow"]
    response = json_response(error.body(), error.status, headers)
    if request.content.exception() is not None or not request.content.is_eof():
        response.force_close()  # the rest of this body would be read as the next request
    return response


def _api_error(request: web.Request, exc: Exception) -> ApiError:
    match exc:
        case ApiError():
            return exc
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(exc.allowed_methods))
            return ApiError(405, f"{request.method} is not allowed for {cut(request.path)}; use {allowed}")
        case web.HTTPNotFound():
            return ApiError(404, f"no route for {cut(request.path)}; the API is under {BASE_PATH}, see /openapi.json")
        case web.HTTPException():
            return ApiError(exc.status, exc.reason)
        case _:
            return unexpected_error(exc)


def unexpected_error(exc: BaseException) -> ApiError:
    """Log an unexpected exception, and return the error that its client gets (500, or 503 without the database)."""
    if is_unreachable(exc):  # `DatabaseHealth` writes a line for all calls that fail
        return ApiError(503, "the database is unreachable", retry_after=1)
    logger.error("a request failed", exc_info=exc)
    return ApiError(500, "internal server error; see the server log")
