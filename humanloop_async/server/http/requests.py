"""Reading of requests: the API key, the query and the body."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
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
from ..settings import ServerSettings
from ..storage.columns import utc_now
from ..storage.keys import valid_key_id
from .calls import Batch
from .json_size import MAX_DEPTH, MAX_VALUES, measure

MAX_BATCH = 10_000
"""Most objects in a body that is a list (422 above)."""

MAX_SMALL_BODY = 2 * 1024 * 1024
"""Largest body of an operation that neither generates nor stores logs, feedback or datapoints, in bytes (413 above)."""

LARGE_BODY = 64 * 1024
"""Bodies above this size are decoded in a thread, in bytes: decoding a smaller one takes about a millisecond."""

CODINGS = ("", "identity", "gzip", "deflate")
"""Accepted values of ``Content-Encoding`` (415 for others)."""

_WITH_CONTENT = {"Logs", "Feedback", "Datasets", "Datapoints"}  # resources with long texts, or lists of objects

SERVICE = web.AppKey("service", Service)

DECOMPRESSED = web.AppKey("decompressed", bool)
"""Whether aiohttp has decompressed the bodies, which is the default of its runners."""

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
        key_id = await valid_key_id(connection, key, service.settings.api_key)
    if key_id is None:
        raise ApiError(401, "the key in X-API-KEY is not a key of this server")
    service.key_uses[key_id] = utc_now()
    return key_id


def unread_rest(request: web.Request) -> list[bytes]:
    """Return a list that gets the unread rest of the body as its only item, as soon as the body has arrived.

    Call it before the first wait of a call that must not depend on the client's presence: once the client has
    disconnected, aiohttp raises on every read, also if the whole body is in its buffer.
    """
    content, rest = request.content, list[bytes]()

    def take() -> None:
        if content.exception() is None:
            rest.append(content.read_nowait())

    def at_eof() -> None:
        # Not at once: a read may resume the parser, which is still calling.
        asyncio.get_running_loop().call_soon(take)

    if content.is_eof():
        take()
    else:
        content.on_eof(at_eof)
    return rest


@asynccontextmanager
async def received_body(
    operation: AnyOperation, request: web.Request, rest: list[bytes] | None = None
) -> AsyncGenerator[bytes]:
    """Read and decompress the body of a request. Inside the block, its bytes count as in flight.

    Args:
        operation: The operation that is called.
        request: The request.
        rest: From `unread_rest`, if the call runs to its end although its client leaves.

    A client that sent ``Expect: 100-continue`` gets its 100 here (RFC 9110, section 10.1.1), so that it does not send
    the body of a call that is rejected because of its headers.

    Raises:
        ApiError: The body is larger than `body_limit` (413), does not arrive in time (408), cannot be decompressed
            (400, 415), or too many other bodies are in flight (503).
    """
    service = request.app[SERVICE]
    limit = body_limit(operation, service.settings)
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    coding = request.headers.get("Content-Encoding", "identity").lower()
    if coding not in CODINGS:
        raise ApiError(415, f"unsupported Content-Encoding {coding!r:.80}; send gzip, deflate or none")
    if "Expect" in request.headers and request.version >= HttpVersion11 and not request.content.is_eof():
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # or aiohttp would think that the response has begun
    with service.body_bytes.accounted() as add:
        if rest is None:
            rest = unread_rest(request)
        body = await _read(request, rest, limit, service.settings.body_timeout, add)
        if coding in ("gzip", "deflate") and not request.app[DECOMPRESSED]:
            async with service.decoding:
                body = await asyncio.to_thread(decompress, body, coding, limit)
            add(len(body))
        yield body


async def _read(
    request: web.Request, rest: list[bytes], limit: int, seconds: float, add: Callable[[int], None]
) -> bytes:
    pieces: list[bytes] = []
    size = 0

    def take(piece: bytes) -> None:
        nonlocal size
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        add(len(piece))
        pieces.append(piece)

    try:
        async with asyncio.timeout(seconds):
            while not request.content.is_eof():
                take(await request.content.readany())
        take(rest[0] if rest else request.content.read_nowait())
    except TimeoutError as exc:
        raise ApiError(408, f"the body did not arrive within {seconds:g} seconds") from exc
    except web.RequestPayloadError as exc:
        request.content.feed_eof()  # or aiohttp would wait for the rest, and log that it is broken
        raise _mismatch() from exc
    return b"".join(pieces)


def decompress(body: bytes, coding: str, limit: int) -> bytes:
    """Decompress a body of one gzip member (RFC 1952), or a deflate stream with or without its zlib header.

    Raises:
        ApiError: The result is larger than `limit` bytes (413), or the body does not match the coding (400).
    """
    if coding == "gzip":
        window_bits = 16 + zlib.MAX_WBITS
    else:  # some clients leave out the header, whose first byte has the method 8 in its low bits
        window_bits = zlib.MAX_WBITS if body[:1] and body[0] & 0xF == zlib.DEFLATED else -zlib.MAX_WBITS
    decoder = zlib.decompressobj(window_bits)
    try:
        decompressed = decoder.decompress(body, limit + 1)
    except zlib.error as exc:
        raise _mismatch() from exc
    if len(decompressed) > limit:
        raise _too_large(limit)
    if not decoder.eof or decoder.unused_data:
        raise _mismatch()
    return decompressed


def body_limit(operation: AnyOperation, settings: ServerSettings) -> int:
    """Return the largest body of an operation, in bytes."""
    has_content = operation.event is not None or operation.resource in _WITH_CONTENT
    if has_content and issubclass(operation.request, Struct):
        return settings.max_body_bytes
    return min(settings.max_body_bytes, MAX_SMALL_BODY)


def _too_large(limit: int) -> ApiError:
    return ApiError(413, f"the body is larger than {limit} bytes, the limit of this operation")


def _mismatch() -> ApiError:
    return ApiError(400, "the body does not match its Content-Encoding or Transfer-Encoding")


async def decode_call(service: Service, body: bytes, decode: Callable[[bytes], DecodedT]) -> DecodedT:
    """Decode a body with `decode`. Large bodies are decoded in a thread, one at a time.

    Raises:
        ApiError: As `decode` does.
    """
    if len(body) <= LARGE_BODY:
        return decode(body)
    async with service.decoding:
        return await asyncio.to_thread(decode, body)


def decode_body(body: bytes, decode: Callable[[bytes], DecodedT]) -> DecodedT:
    """Decode the body of a request with one of the decoders of `humanloop_async.wire.requests`.

    Raises:
        ApiError: The body is malformed (400), does not fit the operation's schema, has too many values, or is
            nested too deeply (422).
    """
    size = measure(body)  # before decoding, which holds Python's lock and takes memory for each value
    if size.values > MAX_VALUES:
        raise ApiError(422, f"the body has more than {MAX_VALUES} JSON values; send several requests")
    try:
        decoded = decode(body)
    except MalformedBody as exc:
        raise ApiError(400, str(exc)) from exc
    except InvalidBody as exc:
        raise InvalidRequest(exc.issues) from exc
    if size.depth > MAX_DEPTH:
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
