"""The v4 API as an aiohttp application: routes, key check, error replies."""

from __future__ import annotations

from functools import cache, partial

import msgspec
from aiohttp import web

from ...wire.openapi import openapi_document
from ...wire.operations import GENERATION_OPERATIONS, LOG_OPERATIONS, PROJECT_OPERATIONS
from ..service import Service
from ..settings import ServerSettings
from .error_responses import error_middleware
from .handlers import HANDLERS
from .handlers.generation import generate
from .routing import (
    BASE_PATH,
    SERVICE,
    add_route,
    add_routes,
    json_response,
)


def create_app(settings: ServerSettings | None = None) -> web.Application:
    """The server as an application of its own or a part of another's tests.

    It opens its database when the application starts. The runner must be made with ``handler_cancellation=True``,
    or a client that goes away does not stop the generation; `EmbeddedServer` and `serve` see to that.

    Raises:
        DatabaseError: On start: the database cannot be opened.
    """
    settings = settings or ServerSettings()
    service = Service(settings)
    app = web.Application(middlewares=[error_middleware], client_max_size=settings.max_body_bytes)
    app[SERVICE] = service
    app.router.add_get("/health", _health)
    app.router.add_get("/ready", _ready)
    app.router.add_get("/openapi.json", _openapi)
    for operation in GENERATION_OPERATIONS:
        add_route(app, operation, partial(generate, operation))
    add_routes(app, service, (*PROJECT_OPERATIONS, *LOG_OPERATIONS), HANDLERS)
    app.cleanup_ctx.append(lambda _: service.run())
    app.on_shutdown.append(lambda _: service.drain())
    return app


async def _health(_: web.Request) -> web.Response:
    """Whether the process runs."""
    return json_response(b'{"status":"ok"}')


async def _ready(request: web.Request) -> web.Response:
    """Whether it takes calls: its database answers, and it is not stopping."""
    await request.app[SERVICE].check_ready()
    return json_response(b'{"status":"ready"}')


async def _openapi(_: web.Request) -> web.Response:
    """What the server can do, for tools. It asks for no key, because it tells nothing that the package does not."""
    return json_response(_description())


@cache
def _description() -> bytes:
    return msgspec.json.encode(openapi_document(BASE_PATH))
