"""Routes of the operations, and the way of a call from its HTTP request to its handler and back.

The generation operations stream; `humanloop_async.server.http.handlers.generation` has their part of this.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, get_origin

import msgspec
from aiohttp import web

from ...types import ResponseList
from ...wire.operations import AnyOperation
from ..errors import ApiError
from ..generation.idempotency import StoredResponse
from ..service import Service
from ..storage.database import retry_transaction
from .calls import HANDLERS, ApiCall, Handler
from .requests import check_key, decode_call_body, decode_call_query, read_body

BASE_PATH = "/v4"

SERVICE = web.AppKey("service", Service)

REPLAYED = {"Idempotent-Replayed": "true"}
"""Header of a response that was stored by an earlier call with the same ``Idempotency-Key``."""


def add_routes(app: web.Application, operations: Iterable[AnyOperation]) -> None:
    """Serve operations with their registered handlers."""
    for operation in operations:
        add_route(app, operation, partial(_respond, operation, HANDLERS[operation.id]))


def add_route(
    app: web.Application, operation: AnyOperation, route: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> None:
    """Serve one operation. HEAD is served like GET, without a response body."""
    for method in ("GET", "HEAD") if operation.method == "GET" else (operation.method,):
        app.router.add_route(method, BASE_PATH + operation.path, route, expect_handler=check_expectation)


async def check_expectation(request: web.Request) -> web.Response | None:
    """Accept ``Expect: 100-continue`` without sending the 100, which `read_body` does once the headers are checked."""
    if request.headers["Expect"].lower() == "100-continue":
        return None
    error = ApiError(417, "unsupported Expect header; this server supports only 100-continue")
    return json_response(error.body(), error.status)


def json_response(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a JSON response. It names no charset: JSON has none, and some clients compare the whole value."""
    return web.Response(status=status, body=body, headers={"Content-Type": "application/json", **(headers or {})})


async def _respond(operation: AnyOperation, handler: Handler[Any, Any], request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    key_id = await check_key(service, request)
    raw = await read_body(service, request)
    query, body = decode_call_query(operation, request), decode_call_body(operation, raw)
    call = ApiCall(service, operation, request.match_info, query, body)

    async def run() -> StoredResponse:
        response = await handler(call)
        if isinstance(body, Mapping) and () in body and get_origin(operation.response) is not ResponseList:
            # The body is one object, not a list of them, and so is the response.
            (response,) = response
        # Official clients fail on an empty body and on null, also where v4 defines no response.
        return StoredResponse(operation.status, b"{}" if response is None else msgspec.json.encode(response))

    idempotent_call = service.idempotency.identify(request, key_id, raw) if operation.creates else None
    replayed = False
    if idempotent_call is not None:
        answer, replayed = await retry_transaction(partial(service.idempotency.run_once, idempotent_call, run))
    else:
        answer = await retry_transaction(run)
    if answer.status == 204:
        return web.Response(status=204)
    return json_response(answer.body, answer.status, REPLAYED if replayed else None)
