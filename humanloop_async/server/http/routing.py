"""From an HTTP request to the handler of its operation and back; what an operation takes and answers is in the table.

The generation operations stream, and so have routes in `humanloop_async.server.http.handlers.generation`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, TypeVar

import msgspec
from aiohttp import HttpVersion11, web
from msgspec import Struct

from ...wire.operations import AnyOperation
from ...wire.requests import InvalidBody, MalformedBody, decode_batch, decode_request
from ...wire.urls import decode_query
from ..errors import ApiError, BodyPath, InvalidRequest
from ..generation.idempotency import Answer
from ..service import Service
from ..storage.database import retry_transaction
from ..storage.keys import valid_key_id
from .nesting import MAX_DEPTH, is_too_deep

BASE_PATH = "/v4"

SERVICE = web.AppKey("service", Service)

MAX_BATCH = 10_000
"""Most objects of a body that is a list (422 above)."""

CODINGS = ("", "identity", "gzip", "deflate", "br", "zstd")
"""Values of ``Content-Encoding`` that aiohttp reads by itself, the last two with a package each (415 for others)."""

REPLAYED = {"Idempotent-Replayed": "true"}
"""Header of an answer that was given before, to the same ``Idempotency-Key``."""

DecodedT = TypeVar("DecodedT")


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One call of an operation, its key checked and its parts decoded.

    Attributes:
        path: The path's parameters.
        query: The operation's query; None when it has none.
        body: The operation's request, or a list of them where it takes one; None when it has none.
        key_id: Who calls.
    """

    service: Service
    operation: AnyOperation
    path: Mapping[str, str]
    query: Struct | None
    body: Struct | list[Struct] | None
    key_id: str

    @property
    def items(self) -> Mapping[BodyPath, Struct]:
        """The objects of the body by their places in it: one, or those of a list."""
        match self.body:
            case list() as many:
                return {(index,): item for index, item in enumerate(many)}
            case None:
                return {}
            case one:
                return {(): one}


Handler: TypeAlias = Callable[[ApiCall], Awaitable[object]]
"""Does what an operation says; returns its response, or None when it has none.

Raises:
    ApiError: The call is answered with an error.
"""


def add_routes(
    app: web.Application, service: Service, operations: tuple[AnyOperation, ...], handlers: Mapping[str, Handler]
) -> None:
    """Serve operations by the handlers for their ids."""
    for operation in operations:
        route = partial(_answer, service, operation, handlers[operation.id])
        add_route(app, operation, route)


def add_route(
    app: web.Application, operation: AnyOperation, route: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> None:
    """Serve one operation; where it is a GET, HEAD answers the same without its body."""
    for method in ("GET", "HEAD") if operation.method == "GET" else (operation.method,):
        app.router.add_route(method, BASE_PATH + operation.path, route, expect_handler=await_body)


async def check_key(service: Service, request: web.Request) -> str:
    """The id of the request's key.

    Raises:
        ApiError: It has none, or one that is not let in (401).
    """
    key = request.headers.get("X-API-KEY")
    if not key:
        raise ApiError(401, "the X-API-KEY header is missing; it takes a key of this server")
    async with service.database.read() as connection:
        key_id = await valid_key_id(connection, key)
    if key_id is None:
        raise ApiError(401, "the key in X-API-KEY is not a key of this server")
    return key_id


def decode_body(body: bytes, decode: Callable[[bytes], DecodedT]) -> DecodedT:
    """A request's body, by one of `humanloop_async.wire`'s decoders.

    Raises:
        ApiError: It cannot be read (400), does not fit, or is nested too deeply (422).
    """
    try:
        decoded = decode(body)
    except MalformedBody as exc:
        raise ApiError(400, str(exc)) from exc
    except InvalidBody as exc:
        raise InvalidRequest(exc.issues) from exc
    if is_too_deep(body):
        raise ApiError(422, f"the body is nested more than {MAX_DEPTH} levels deep")
    return decoded


def json_response(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer that is JSON. No charset: JSON has none, and some clients compare the whole value."""
    return web.Response(status=status, body=body, headers={"Content-Type": "application/json", **(headers or {})})


async def read_body(service: Service, request: web.Request) -> bytes:
    """A request's body.

    Raises:
        ApiError: It does not come in time (408), or cannot be decompressed (400, 415).
        HTTPRequestEntityTooLarge: It is larger than the server takes.
    """
    limit, announced = service.settings.max_body_bytes, request.content_length or 0
    if announced > limit:
        raise web.HTTPRequestEntityTooLarge(limit, announced)
    coding = request.headers.get("Content-Encoding", "identity").lower()
    if coding not in CODINGS:
        raise ApiError(
            415, f"a body with the Content-Encoding {coding!r:.80} cannot be read; send gzip, deflate or none"
        )
    if "Expect" in request.headers and request.version >= HttpVersion11 and not request.content.is_eof():
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # for aiohttp the answer has not begun
    seconds = service.settings.body_timeout
    try:
        async with asyncio.timeout(seconds):
            return await request.read()
    except TimeoutError as exc:
        raise ApiError(408, f"the body did not arrive within {seconds:g} seconds") from exc
    except web.RequestPayloadError as exc:
        request.content.feed_eof()  # aiohttp would wait for the rest, and log that it is broken
        raise ApiError(400, "the body is not what its Content-Encoding or Transfer-Encoding says") from exc


async def await_body(request: web.Request) -> web.Response | None:
    """Leave it to `read_body` to ask for a body that waits to be asked for (RFC 9110, 10.1.1): a call that can be
    refused by its headers never sends it."""
    if request.headers["Expect"].lower() == "100-continue":
        return None
    refusal = ApiError(417, "the only Expect that this server knows is 100-continue")
    return json_response(refusal.body(), refusal.status)


async def _answer(service: Service, operation: AnyOperation, handler: Handler, request: web.Request) -> web.Response:
    key_id = await check_key(service, request)
    raw = await read_body(service, request)
    call = ApiCall(
        service=service,
        operation=operation,
        path=request.match_info,
        query=_query(operation, request),
        body=_body(operation, raw),
        key_id=key_id,
    )

    async def work() -> Answer:
        response = await handler(call)
        # Where v4 says nothing of what it answers, official clients still break on an empty body and on a null.
        return Answer(operation.status, b"{}" if response is None else msgspec.json.encode(response))

    once = service.idempotency.call(request, key_id, raw) if operation.creates else None
    repeated = False
    if once is not None:
        answer, repeated = await retry_transaction(partial(service.idempotency.make, once, work))
    else:
        answer = await retry_transaction(work)
    if answer.status == 204:
        return web.Response(status=204)
    return json_response(answer.body, answer.status, REPLAYED if repeated else None)


def _query(operation: AnyOperation, request: web.Request) -> Struct | None:
    if operation.query is None:
        return None
    try:
        return decode_query(request.query.items(), operation.query)
    except InvalidBody as exc:
        raise InvalidRequest(exc.issues) from exc


def _body(operation: AnyOperation, raw: bytes) -> Struct | list[Struct] | None:
    kind = operation.request
    if not issubclass(kind, Struct):
        return None
    if operation.batch:
        decoded = decode_body(raw, partial(decode_batch, kind=kind))
        if isinstance(decoded, list) and len(decoded) > MAX_BATCH:
            raise InvalidRequest.at(msg=f"a list holds at most {MAX_BATCH} objects; send several", kind="value_error")
        return decoded
    return decode_body(raw, partial(decode_request, kind=kind))
