"""Reading of requests: the API key, the query and the body."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from types import NoneType
from typing import Any, TypeVar, get_origin

from aiohttp import HttpVersion11, web
from msgspec import Struct

from ...wire.operations import AnyOperation
from ...wire.requests import InvalidBody, MalformedBody, decode_batch, decode_ids, decode_request
from ...wire.urls import decode_query
from ..errors import ApiError, InvalidRequest
from ..service import Service
from ..storage.keys import valid_key_id
from .calls import Batch
from .nesting import MAX_DEPTH, is_too_deep

MAX_BATCH = 10_000
"""Most objects in a body that is a list (422 above)."""

CODINGS = ("", "identity", "gzip", "deflate", "br", "zstd")
"""Values of ``Content-Encoding`` that aiohttp decodes, the last two with a package each (415 for others)."""

DecodedT = TypeVar("DecodedT")


async def check_key(service: Service, request: web.Request) -> str:
    """Return the id of the request's API key.

    Raises:
        ApiError: The key is missing or not valid (401).
    """
    key = request.headers.get("X-API-KEY")
    if not key:
        raise ApiError(401, "the X-API-KEY header is missing; send a key of this server")
    async with service.database.read() as connection:
        key_id = await valid_key_id(connection, key)
    if key_id is None:
        raise ApiError(401, "the key in X-API-KEY is not a key of this server")
    return key_id


async def read_body(service: Service, request: web.Request) -> bytes:
    """Read and decompress the body of a request.

    A client that sent ``Expect: 100-continue`` gets its 100 here (RFC 9110, section 10.1.1), so that it does not send
    the body of a call that is rejected because of its headers.

    Raises:
        ApiError: The body does not arrive in time (408), or cannot be decompressed (400, 415).
        HTTPRequestEntityTooLarge: The body is larger than `ServerSettings.max_body_bytes`.
    """
    limit, announced = service.settings.max_body_bytes, request.content_length or 0
    if announced > limit:
        raise web.HTTPRequestEntityTooLarge(limit, announced)
    coding = request.headers.get("Content-Encoding", "identity").lower()
    if coding not in CODINGS:
        raise ApiError(415, f"unsupported Content-Encoding {coding!r:.80}; send gzip, deflate or none")
    if "Expect" in request.headers and request.version >= HttpVersion11 and not request.content.is_eof():
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # or aiohttp would think that the response has begun
    seconds = service.settings.body_timeout
    try:
        async with asyncio.timeout(seconds):
            return await request.read()
    except TimeoutError as exc:
        raise ApiError(408, f"the body did not arrive within {seconds:g} seconds") from exc
    except web.RequestPayloadError as exc:
        request.content.feed_eof()  # or aiohttp would wait for the rest, and log that it is broken
        raise ApiError(400, "the body does not match its Content-Encoding or Transfer-Encoding") from exc


def decode_body(body: bytes, decode: Callable[[bytes], DecodedT]) -> DecodedT:
    """Decode the body of a request with one of the decoders of `humanloop_async.wire.requests`.

    Raises:
        ApiError: The body is malformed (400), does not fit the operation's schema, or is nested too deeply (422).
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


def decode_call_body(operation: AnyOperation, raw: bytes) -> Struct | Batch[Struct] | list[str] | None:
    """Decode a body by its operation's row in the table.

    Raises:
        ApiError: As `decode_body` does; also for a list of more than `MAX_BATCH` objects (422).
    """
    kind: Any = operation.request
    if kind is NoneType:
        return None
    if get_origin(kind) is list:
        return decode_body(raw, decode_ids)
    if not raw and operation.method == "PATCH":  # the official client 0.7 sends no body: change nothing
        raw = b"[]" if operation.batch else b"{}"
    if not operation.batch:
        decoded: Struct = decode_body(raw, partial(decode_request, kind=kind))
        return decoded
    batch: Struct | list[Struct] = decode_body(raw, partial(decode_batch, kind=kind))
    if not isinstance(batch, list):
        return {(): batch}
    if len(batch) > MAX_BATCH:
        raise InvalidRequest.at(msg=f"a list holds at most {MAX_BATCH} objects; send several", kind="value_error")
    return {(index,): item for index, item in enumerate(batch)}


def decode_call_query(operation: AnyOperation, request: web.Request) -> Struct | None:
    """Decode the query of a request by its operation's row in the table.

    Raises:
        ApiError: The query does not fit the operation's schema (422).
    """
    if operation.query is None:
        return None
    try:
        return decode_query(request.query.items(), operation.query)
    except InvalidBody as exc:
        raise InvalidRequest(exc.issues) from exc
