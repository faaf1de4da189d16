"""The v4 API as an aiohttp application."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from ...wire.openapi import openapi_document
from ...wire.operations import GENERATION_OPERATIONS, OPERATIONS
from ..service import Service
from ..settings import ServerSettings
from .error_responses import error_middleware
from .handlers.generation import generate
from .origins import allow_origins
from .page import add_page
from .request_ids import identify, return_id
from .requests import DECOMPRESSED, SERVICE
from .routing import BASE_PATH, add_route, add_routes, json_response

if TYPE_CHECKING:
    from ..metrics import Metrics


def create_app(settings: ServerSettings | None = None, *, auto_decompress: bool = True) -> web.Application:
    """Return the server as an application, for your runner or as a sub-application.

    The application opens its database when it starts. Pass ``handler_cancellation=True`` to its runner: without it a
    client that disconnects does not stop its generation. Pass ``auto_decompress=False`` to both: aiohttp decompresses
    a body on the event loop, before the API key is checked. `EmbeddedServer` and `serve` do this.

    Args:
        settings: Configuration of the server; None is the default.
        auto_decompress: Whether the runner decompresses request bodies, as it does by default.

    Raises:
        DatabaseError: On start: the database cannot be opened.
    """
    settings = settings or ServerSettings()
    service = Service(settings)
    app = web.Application(middlewares=[identify, error_middleware])
    app[SERVICE], app[DECOMPRESSED] = service, auto_decompress
    app.router.add_get("/health", _health)
    app.router.add_get("/ready", _ready)
    app.router.add_get("/openapi.json", _openapi)
    if service.metrics is not None:
        app.router.add_get("/metrics", partial(_metrics, service.metrics))
    for operation in GENERATION_OPERATIONS:
        add_route(app, operation, partial(generate, operation))
    add_routes(app, [operation for operation in OPERATIONS if operation.event is None])
    if settings.page:
        add_page(app)
    if settings.cors_origins:
        allow_origins(app, settings.cors_origins)
    app.cleanup_ctx.append(lambda _: service.run())
    app.on_response_prepare.append(return_id)
    app.on_response_prepare.append(partial(_close_when_leaving, service))
    app.on_shutdown.append(lambda _: service.drain())
    return app


async def _close_when_leaving(service: Service, _: web.Request, response: web.StreamResponse) -> None:
    """Have clients open their next connection elsewhere: one that is closed while they send a request loses it."""
    if service.leaving:
        response.force_close()
        response.headers["Connection"] = "close"


async def _health(_: web.Request) -> web.Response:
    """Report that the process runs."""
    return json_response(b'{"status":"ok"}')


async def _ready(request: web.Request) -> web.Response:
    """Report whether the server accepts calls: its database is reachable, and it is not stopping."""
    await request.app[SERVICE].check_ready()
    return json_response(b'{"status":"ready"}')


async def _metrics(metrics: Metrics, _: web.Request) -> web.Response:
    """Report metrics of this process and the workers beside it. This needs no key: scrapers have none."""
    return web.Response(body=metrics.text(), headers={"Content-Type": "text/plain; version=1.0.0; charset=utf-8"})


async def _openapi(_: web.Request) -> web.Response:
    """Describe the API. This needs no key: the description is as public as the package."""
    return json_response(_encoded_document())


@cache
def _encoded_document() -> bytes:
    return msgspec.json.encode(openapi_document(BASE_PATH))
