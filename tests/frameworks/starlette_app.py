"""Return streams with Starlette, behind a middleware, which runs its handlers in further tasks."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.frameworks.streams import VIEWS


async def read(request: Request) -> StreamingResponse:
    return StreamingResponse(await VIEWS[request.path_params["view"]]())


async def passed_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


app = Starlette(routes=[Route("/{view}", read)], middleware=[Middleware(BaseHTTPMiddleware, dispatch=passed_on)])
