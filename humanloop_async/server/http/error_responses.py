"""Error responses: every exception of a handler becomes JSON in the form of v4."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from ..errors import ApiError
from ..request_context import current_request
from ..storage.errors import first_line, is_unreachable
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
    request = current_request.get()
    if is_unreachable(exc):  # `DatabaseHealth` writes one line for all calls that fail
        logger.debug("%s failed, the database is unreachable: %s", request or "a request", first_line(exc))
        return ApiError(503, "the database is unreachable", retry_after=1)
    logger.error("%s failed", request or "a request", exc_info=exc)
    where = "" if request is None else f" at request {request.id}"
    return ApiError(500, f"internal server error; see the server log{where}")
