"""The v4 API as an aiohttp application: routes, key check, error replies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from functools import cache, partial

import msgspec
from aiohttp import web
from sqlalchemy.exc import IntegrityError

from .. import types as t
from ..wire.openapi import openapi_document
from ..wire.operations import GENERATION_OPERATIONS, LOG_OPERATIONS, PROJECT_OPERATIONS, Operation
from ..wire.requests import decode_request
from .answers import encode_answer
from .generation import Generation
from .handlers import HANDLERS
from .idempotency import Answer, CallOnce
from .log_writer import ClaimTaken
from .providers.base import ProviderError
from .refusals import Refusal
from .replay import replayed_events
from .routing import BASE_PATH, REPLAYED, add_route, add_routes, check_key, decode_body, json_response, read_body
from .service import Service
from .settings import ServerSettings
from .storage.database import first_line, is_unreachable
from .streaming import ClientGone, EventStream, stream_answer

SERVICE = web.AppKey("service", Service)
CLIENT_GONE = "the client went away before the generation finished"
STOPPING = "the server is stopping"
DELETED = "the project of this call, or something else that it is about, has just been deleted"

logger = logging.getLogger(__name__)

GenerationOperation = Operation[t.GenerationRequest, t.CompletionResponse | t.ChatResponse]


def create_app(settings: ServerSettings | None = None) -> web.Application:
    """The server as an application of its own or a part of another's tests.

    It opens its database when the application starts. The runner must be made with ``handler_cancellation=True``,
    or a client that goes away does not stop the generation; `EmbeddedServer` and `serve` see to that.

    Raises:
        DatabaseError: On start: the database cannot be opened.
    """
    settings = settings or ServerSettings()
    service = Service(settings)
    app = web.Application(middlewares=[_answer_errors], client_max_size=settings.max_body_bytes)
    app[SERVICE] = service
    app.router.add_get("/health", _health)
    app.router.add_get("/ready", _ready)
    app.router.add_get("/openapi.json", _openapi)
    for operation in GENERATION_OPERATIONS:
        add_route(app, operation, partial(_generate, operation))
    add_routes(app, service, (*PROJECT_OPERATIONS, *LOG_OPERATIONS), HANDLERS)
    app.cleanup_ctx.append(lambda _: service.run())
    app.on_shutdown.append(lambda _: service.drain())
    return app


@web.middleware
async def _answer_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every error as JSON of v4's shape. Errors nobody foresaw go to the log, not to the client."""
    try:
        return await handler(request)
    except Exception as exc:  # noqa: BLE001 - the last stop
        refusal = _refusal(request, exc)
        headers = refusal.headers()
        if isinstance(exc, web.HTTPMethodNotAllowed):
            headers["Allow"] = exc.headers["Allow"]
    response = json_response(refusal.body(), refusal.status, headers)
    if request.content.exception() is not None or not request.content.is_eof():
        response.force_close()  # the client's next request could be taken for the rest of this one's body
    return response


def _refusal(request: web.Request, exc: Exception) -> Refusal:
    match exc:
        case Refusal():
            return exc
        case web.HTTPRequestEntityTooLarge():
            return Refusal(413, f"the body is larger than {request.app[SERVICE].settings.max_body_bytes} bytes")
        case web.HTTPMethodNotAllowed():
            return Refusal(405, f"{request.method} is not allowed here; use {', '.join(sorted(exc.allowed_methods))}")
        case web.HTTPNotFound():
            where = f"what it has is below {BASE_PATH}, and listed in /openapi.json"
            return Refusal(404, f"this server has nothing at {request.path}; {where}")
        case web.HTTPException():
            return Refusal(exc.status, exc.reason)
        case _:
            return _unforeseen(exc)


def _unforeseen(exc: BaseException) -> Refusal:
    if is_unreachable(exc):
        logger.error("the database does not answer: %s", first_line(exc))
        return Refusal(503, "the database does not answer", retry_after=1)
    logger.error("a request failed", exc_info=exc)
    return Refusal(500, "the server failed on this request; its log tells more")


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


async def _generate(operation: GenerationOperation, request: web.Request) -> web.StreamResponse:
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
    once: CallOnce | None,
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
            raise Refusal(404, DELETED) from exc
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
        answer = encode_answer(generation, reply.usage, answers)
        await generation.complete(generation.samples, reply.usage, lambda: answer)
    except (Exception, asyncio.CancelledError) as exc:
        raise await _ended_by(exc, service, generation) from exc
    return json_response(answer)


async def _streamed(
    service: Service, body: t.GenerationRequest, once: CallOnce | None, request: web.Request
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
            stopped = Refusal(503, STOPPING, retry_after=1)
            if not events.opened:
                raise stopped from exc
            await events.send_error(stopped.body())
        except Exception as exc:
            if not events.opened:
                raise
            await events.send_error((exc if isinstance(exc, Refusal) else _unforeseen(exc)).body())
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


async def _ended_by(exc: BaseException, service: Service, generation: Generation) -> Refusal:
    """End the logs of a generation that was cut short, and say how to answer; raises when nobody is there to answer."""
    if generation.not_begun is not None and not isinstance(exc, ClientGone):
        exc = generation.not_begun
    if isinstance(exc, asyncio.CancelledError) and service.stopping:
        generation.abandon("interrupted", STOPPING)
        return Refusal(503, STOPPING, retry_after=1)
    if isinstance(exc, (asyncio.CancelledError, ClientGone)):  # whichever comes first; the other may follow
        generation.abandon("cancelled", CLIENT_GONE)
        raise exc
    if isinstance(exc, ProviderError):
        refusal, error = Refusal.from_provider(exc), str(exc)
    elif isinstance(exc, IntegrityError):  # its logs refer to what is gone by now
        refusal, error = Refusal(404, DELETED), DELETED
    else:
        refusal, error = _unforeseen(exc), f"{type(exc).__name__} in the server"
    with suppress(Exception):  # when the log cannot be written, the writer has said so
        await generation.fail(error, refusal)
    return refusal
