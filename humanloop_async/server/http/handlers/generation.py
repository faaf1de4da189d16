"""The eight generation operations, plain and streamed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from functools import partial

from aiohttp import web
from sqlalchemy.exc import IntegrityError

from .... import types as t
from ....wire.operations import Operation
from ....wire.requests import decode_request
from ...errors import ApiError
from ...generation.generation import Generation
from ...generation.idempotency import IdempotentCall, StoredResponse
from ...generation.log_writer import ClaimTaken
from ...generation.replay import replayed_events
from ...generation.responses import encode_response
from ...generation.streaming import ClientGone, EventStream, stream_generation
from ...providers.base import ProviderError
from ...request_context import current_request
from ...service import Service
from ..error_responses import unexpected_error
from ..requests import SERVICE, check_key, decode_body, decode_call, received_body
from ..routing import REPLAYED, json_response

CLIENT_GONE = "the client disconnected before the generation finished"
MAX_LOGGED = 300
"""Most characters of a provider's error message in the server log."""

STOPPING = "the server is stopping"
DELETED = "the project, or another object this request refers to, was deleted during the request"

logger = logging.getLogger(__name__)

GenerationOperation = Operation[t.GenerationRequest, t.CompletionResponse | t.ChatResponse]


async def generate(operation: GenerationOperation, request: web.Request) -> web.StreamResponse:
    """Serve a call of a generation operation."""
    service = request.app[SERVICE]
    key_id = await check_key(service, request)
    async with received_body(operation, request) as raw:
        decode = partial(decode_request, kind=operation.request)
        body = await decode_call(service, raw, partial(decode_body, decode=decode))
        idempotent_call = service.idempotency.identify(request, key_id, raw)
        del raw  # a stream may run for long
        with service.admission():
            if body.stream:
                return await _respond_stream(service, body, idempotent_call, request, key_id)
            started = await _start_or_replay(service, body, idempotent_call, key_id)
            if isinstance(started, StoredResponse):
                return json_response(started.body, started.status, REPLAYED)
            return await _respond(service, started)


async def _start_or_replay(
    service: Service,
    body: t.GenerationRequest,
    idempotent_call: IdempotentCall | None,
    key_id: str,
    waiting: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
) -> Generation | StoredResponse:
    """Start a generation, or return the response of an earlier call with the same key.

    The wait for an earlier call that is still running is inside the context `waiting`.

    Raises:
        ApiError: The request is rejected, or an object it refers to was deleted (404).
    """
    while True:
        if idempotent_call is not None:
            async with waiting():
                answer = await service.idempotency.previous_response(idempotent_call)
            if answer is not None:
                return answer
        try:
            generation = await service.generation_builder.build(body, key_id)
            if service.metrics is not None:
                generation.on_fallback = service.metrics.provider_failed
            await generation.begin(service.log_writer, idempotent_call)
        except ClaimTaken:  # by a request with the same key that arrived at the same time
            continue
        except IntegrityError as exc:
            raise ApiError(404, DELETED) from exc
        return generation


async def _respond(service: Service, generation: Generation) -> web.Response:
    try:
        reply = await generation.generate()
        body = encode_response(generation, reply.usage, reply.responses)
        await generation.complete(generation.samples, reply.usage, lambda: body)
    except (Exception, asyncio.CancelledError) as exc:
        raise await _finish_failed(exc, service, generation) from exc
    return json_response(body)


async def _respond_stream(
    service: Service,
    body: t.GenerationRequest,
    idempotent_call: IdempotentCall | None,
    request: web.Request,
    key_id: str,
) -> web.StreamResponse:
    """Respond with a stream of events.

    Comments keep it alive while it waits for a provider or for an earlier call. No comment is sent while the request
    itself may still be rejected: the first one sends the headers, after which the error could have no status.
    """
    events = EventStream(request, service.settings.write_timeout)
    kept_alive = partial(events.kept_alive, service.settings.keep_alive)
    try:
        try:
            started = await _start_or_replay(service, body, idempotent_call, key_id, kept_alive)
            if isinstance(started, Generation):
                async with kept_alive():
                    await _run_stream(service, started, events)
            elif started.status == 200:
                await _replay(started, events)
            elif events.opened:
                await events.send_error(started.body)
            else:
                return json_response(started.body, started.status, REPLAYED)
        except ClientGone:
            raise
        except asyncio.CancelledError as exc:
            if not service.stopping:
                raise
            stopped = ApiError(503, STOPPING, retry_after=1)
            if not events.opened:
                raise stopped from exc
            await events.send_error(stopped.body())
        except Exception as exc:
            if not events.opened:
                raise
            await events.send_error((exc if isinstance(exc, ApiError) else unexpected_error(exc)).body())
        await events.end()
    except ClientGone:
        pass
    except asyncio.CancelledError:
        events.abort()
        raise
    return events.response


async def _run_stream(service: Service, generation: Generation, events: EventStream) -> None:
    try:
        await stream_generation(generation, events, None if service.metrics is None else service.metrics.stream)
    except (Exception, asyncio.CancelledError) as exc:
        raise await _finish_failed(exc, service, generation) from exc


async def _replay(answer: StoredResponse, events: EventStream) -> None:
    if not events.opened:
        events.response.headers.update(REPLAYED)
    for event in replayed_events(answer.body):
        await events.send(event)


async def _finish_failed(exc: BaseException, service: Service, generation: Generation) -> ApiError:
    """Finish the logs of a generation that failed, and return the error for its client.

    Raises:
        BaseException: `exc` itself, if the client has disconnected.
    """
    if generation.begin_error is not None and not isinstance(exc, ClientGone):
        exc = generation.begin_error
    if isinstance(exc, asyncio.CancelledError) and service.stopping:
        generation.abandon("interrupted", STOPPING)
        return ApiError(503, STOPPING, retry_after=1)
    if isinstance(exc, (asyncio.CancelledError, ClientGone)):  # whichever comes first; the other may follow
        generation.abandon("cancelled", CLIENT_GONE)
        raise exc
    if isinstance(exc, ProviderError):
        api_error, message = ApiError.from_provider(exc), str(exc)
        shown = " ".join(exc.message.split())[:MAX_LOGGED]
        if service.metrics is not None:
            service.metrics.provider_failed(generation.target.call.provider, exc.status)
        name, status = generation.target.call.provider, exc.status
        logger.warning("provider %s failed with %s in %s: %s", name, status, current_request.get(), shown)
    elif isinstance(exc, IntegrityError):  # the logs refer to a deleted row
        api_error, message = ApiError(404, DELETED), DELETED
    else:
        api_error, message = unexpected_error(exc), f"{type(exc).__name__} in the server"
    with suppress(Exception):  # if the log cannot be written, the writer has logged that
        await generation.fail(message, api_error)
    return api_error
