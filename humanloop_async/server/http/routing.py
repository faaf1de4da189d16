"""Routes of the operations, and the way of a call from its HTTP request to its handler and back.

The generation operations stream; `humanloop_async.server.http.handlers.generation` has their part of this.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, get_origin

import msgspec
from aiohttp import web

from ...types import ResponseList, ResponseText
from ...wire.operations import AnyOperation
from ..errors import ApiError, with_request_id
from ..generation.idempotency import StoredResponse
from ..storage.database import retry_transaction
from .calls import HANDLERS, ApiCall, Handler
from .request_ids import set_id
from .requests import SERVICE, check_key, decode_call, decode_call_body, decode_call_query, received_body, unread_rest

BASE_PATH = "/v4"

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
    """Accept ``Expect: 100-continue``. `received_body` sends the 100, once the headers are checked."""
    if request.headers["Expect"].lower() == "100-continue":
        return None
    set_id(request)  # this runs before the middlewares
    error = ApiError(417, "unsupported Expect header; this server supports only 100-continue")
    return json_response(error.body(), error.status)


def json_response(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a JSON response; that of an error gets the request's id.

    It names no charset: JSON has none, and some clients compare the whole value.
    """
    if status >= 400:
        body = with_request_id(body)
    return web.Response(status=status, body=body, headers={"Content-Type": "application/json", **(headers or {})})


async def _respond(operation: AnyOperation, handler: Handler[Any, Any], request: web.Request) -> web.Response:
    """Serve a call. A write runs to its end once its body has arrived, also if its client disconnects."""
    serving = _serve(operation, handler, request, unread_rest(request))
    if operation.method == "GET":
        return await serving
    return await request.app[SERVICE].finish(serving)


async def _serve(
    operation: AnyOperation, handler: Handler[Any, Any], request: web.Request, rest: list[bytes]
) -> web.Response:
    service = request.app[SERVICE]
    key_id = await check_key(service, request)
    async with received_body(operation, request, rest) as raw:
        query = decode_call_query(operation, request)
        body = await decode_call(service, raw, partial(decode_call_body, operation))
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
    accept = request.headers.get("Accept", "")
    # The official Python client accepts both types, and decodes only JSON with its async methods.
    if operation.response is ResponseText and "text/prompt" in accept and "application/json" not in accept:
        text = msgspec.json.decode(answer.body, type=str)
        return web.Response(text=text, content_type="text/prompt", charset="utf-8")
    return json_response(answer.body, answer.status, REPLAYED if replayed else None)
