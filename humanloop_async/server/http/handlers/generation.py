"""The eight generation operations, plain and streamed."""

from __future__ import annotations

import asyncio
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
from ...generation.idempotency import Answer, IdempotentCall
from ...generation.log_writer import ClaimTaken
from ...generation.replay import replayed_events
from ...generation.responses import encode_response
from ...generation.streaming import ClientGone, EventStream, stream_answer
from ...providers.base import ProviderError
from ...service import Service
from ..error_responses import unexpected_error
from ..routing import REPLAYED, SERVICE, check_key, decode_body, json_response, read_body

CLIENT_GONE = "the client went away before the generation finished"
STOPPING = "the server is stopping"
DELETED = "the project of this call, or something else that it is about, has just been deleted"

GenerationOperation = Operation[t.GenerationRequest, t.CompletionResponse | t.ChatResponse]


async def generate(operation: GenerationOperation, request: web.Request) -> web.StreamResponse:
    """The eight generation operations."""
    service = request.app[SERVICE]
    key_id = await check_key(service, request)
    raw = await read_body(service, request)
    body = decode_body(raw, partial(decode_request, kind=operation.request))
    once = service.idempotency.call(request, key_id, raw)
    with service.admitted():
        if body.stream:
            return await _streamed(service, body, once, request)
        begun = await _begin(service, body, once)
        if isinstance(begun, Answer):
            return json_response(begun.body, begun.status, REPLAYED)
        return await _whole(service, begun)


async def _begin(
    service: Service,
    body: t.GenerationRequest,
    once: IdempotentCall | None,
    waiting: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
) -> Generation | Answer:
    """A generation that has begun, or what an earlier call with the same key has answered; meanwhile in `waiting`."""
    while True:
        if once is not None:
            async with waiting():
                earlier = await service.idempotency.earlier(once)
            if earlier is not None:
                return earlier
        try:
            generation = await service.preparation.prepare(body)
            await generation.begin(service.log_writer, once)
        except ClaimTaken:  # by a repetition that came at the same moment
            continue
        except IntegrityError as exc:
            raise ApiError(404, DELETED) from exc
        return generation


async def _whole(service: Service, generation: Generation) -> web.Response:
    try:
        reply = await generation.provider.generate(generation.call)
        answers = reply.responses
        for sample, made in zip(generation.samples, reply.samples, strict=True):
            sample.pieces = [made.text]
            sample.finish_reason, sample.tool_calls = made.finish_reason, made.tool_calls
            if answers:  # one for all samples, or one for each
                sample.response = answers[sample.index if len(answers) > 1 else 0]
        answer = encode_response(generation, reply.usage, answers)
        await generation.complete(generation.samples, reply.usage, lambda: answer)
    except (Exception, asyncio.CancelledError) as exc:
        raise await _ended_by(exc, service, generation) from exc
    return json_response(answer)


async def _streamed(
    service: Service, body: t.GenerationRequest, once: IdempotentCall | None, request: web.Request
) -> web.StreamResponse:
    """A stream. Comments keep it alive while it waits for a provider, or for an earlier call's outcome, and not while
    it may still be refused for a reason of its own, with a status."""
    events = EventStream(request, service.settings.write_timeout)
    kept_alive = partial(events.kept_alive, service.settings.keep_alive)
    try:
        try:
            begun = await _begin(service, body, once, kept_alive)
            if isinstance(begun, Generation):
                async with kept_alive():
                    await _generated(service, begun, events)
            elif begun.status == 200:
                await _replayed(begun, events)
            elif events.opened:
                await events.send_error(begun.body)
            else:
                return json_response(begun.body, begun.status, REPLAYED)
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


async def _generated(service: Service, generation: Generation, events: EventStream) -> None:
    try:
        await stream_answer(generation, events)
    except (Exception, asyncio.CancelledError) as exc:
        raise await _ended_by(exc, service, generation) from exc


async def _replayed(earlier: Answer, events: EventStream) -> None:
    if not events.opened:
        events.response.headers.update(REPLAYED)
    for event in replayed_events(earlier.body):
        await events.send(event)


async def _ended_by(exc: BaseException, service: Service, generation: Generation) -> ApiError:
    """End the logs of a generation that was cut short, and say how to answer; raises when nobody is there to answer."""
    if generation.not_begun is not None and not isinstance(exc, ClientGone):
        exc = generation.not_begun
    if isinstance(exc, asyncio.CancelledError) and service.stopping:
        generation.abandon("interrupted", STOPPING)
        return ApiError(503, STOPPING, retry_after=1)
    if isinstance(exc, (asyncio.CancelledError, ClientGone)):  # whichever comes first; the other may follow
        generation.abandon("cancelled", CLIENT_GONE)
        raise exc
    if isinstance(exc, ProviderError):
        refusal, error = ApiError.from_provider(exc), str(exc)
    elif isinstance(exc, IntegrityError):  # its logs refer to what is gone by now
        refusal, error = ApiError(404, DELETED), DELETED
    else:
        refusal, error = unexpected_error(exc), f"{type(exc).__name__} in the server"
    with suppress(Exception):  # when the log cannot be written, the writer has said so
        await generation.fail(error, refusal)
    return refusal
