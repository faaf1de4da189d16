"""The v4 API as an aiohttp application: routes, key check, error replies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial

from aiohttp import web

from .. import types as t
from ..wire.operations import GENERATION_OPERATIONS, Operation
from ..wire.requests import InvalidBody, MalformedBody, decode_request
from .answers import encode_answer
from .generation import Generation
from .nesting import MAX_DEPTH, is_too_deep
from .providers.base import ProviderError
from .refusals import InvalidRequest, Refusal
from .service import Service
from .settings import ServerSettings
from .storage.keys import is_valid
from .streaming import ClientGone, EventStream, stream_answer

BASE_PATH = "/v4"
SERVICE = web.AppKey("service", Service)
CLIENT_GONE = "the client went away before the generation finished"
STOPPING = "the server is stopping"

logger = logging.getLogger(__name__)

GenerationOperation = Operation[t.GenerationRequest, t.CompletionResponse | t.ChatResponse]

# What these need comes with deployments and experiments.
_NOT_SERVED = (
    t.ChatDeployedRequest,
    t.ChatExperimentRequest,
    t.CompletionDeployedRequest,
    t.CompletionExperimentRequest,
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
    app = web.Application(middlewares=[_answer_errors], client_max_size=settings.max_body_bytes)
    app[SERVICE] = service
    app.router.add_get("/health", _health)
    app.router.add_get("/ready", _ready)
    for operation in GENERATION_OPERATIONS:
        app.router.add_route(operation.method, BASE_PATH + operation.path, partial(_generate, operation))
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
    except Refusal as refusal:
        return _error(refusal)
    except web.HTTPRequestEntityTooLarge as exc:
        limit = request.app[SERVICE].settings.max_body_bytes
        return _error(Refusal(413, f"the body is larger than {limit} bytes"), exc)
    except web.HTTPMethodNotAllowed as exc:
        allowed = ", ".join(sorted(exc.allowed_methods))
        return _error(Refusal(405, f"{request.method} is not allowed here; use {allowed}"), exc)
    except web.HTTPNotFound as exc:
        return _error(Refusal(404, f"there is nothing at {request.path}; the API is below {BASE_PATH}"), exc)
    except web.HTTPException as exc:
        return _error(Refusal(exc.status, exc.reason), exc)
    except Exception as exc:  # noqa: BLE001 - the last stop
        return _error(_unforeseen(exc))


def _error(refusal: Refusal, cause: web.HTTPException | None = None) -> web.Response:
    headers = refusal.headers()
    if cause is not None and "Allow" in cause.headers:
        headers["Allow"] = cause.headers["Allow"]
    return _json(refusal.body(), refusal.status, headers)


def _unforeseen(exc: BaseException) -> Refusal:
    logger.error("a request failed", exc_info=exc)
    return Refusal(500, "the server failed on this request; its log tells more")


async def _health(_: web.Request) -> web.Response:
    """Whether the process runs."""
    return _json(b'{"status":"ok"}')


async def _ready(request: web.Request) -> web.Response:
    """Whether it takes calls: its database answers, and it is not stopping."""
    await request.app[SERVICE].check_ready()
    return _json(b'{"status":"ready"}')


async def _generate(operation: GenerationOperation, request: web.Request) -> web.StreamResponse:
    """The eight generation operations."""
    service = request.app[SERVICE]
    await _check_key(service, request)
    if issubclass(operation.request, _NOT_SERVED):
        raise Refusal(501, f"{operation.path} is not served yet; send the configuration or its id instead")
    with service.admitted():
        generation = await service.preparation.prepare(_decode(await request.read(), operation))
        await generation.begin(service.log_writer)
        if generation.request.stream:
            return await _streamed(service, generation, request)
        return await _whole(service, generation)


async def _check_key(service: Service, request: web.Request) -> None:
    key = request.headers.get("X-API-KEY")
    if not key:
        raise Refusal(401, "the X-API-KEY header is missing; it takes a key of this server")
    async with service.database.read() as connection:
        if not await is_valid(connection, key):
            raise Refusal(401, "the key in X-API-KEY is not a key of this server")


def _decode(body: bytes, operation: GenerationOperation) -> t.GenerationRequest:
    try:
        request = decode_request(body, operation.request)
    except MalformedBody as exc:
        raise Refusal(400, str(exc)) from exc
    except InvalidBody as exc:
        raise InvalidRequest(exc.issues) from exc
    if is_too_deep(body):
        raise Refusal(422, f"the body is nested more than {MAX_DEPTH} levels deep")
    return request


async def _whole(service: Service, generation: Generation) -> web.Response:
    try:
        reply = await generation.provider.generate(generation.call)
        answers = reply.responses
        for sample, made in zip(generation.samples, reply.samples, strict=True):
            sample.pieces = [made.text]
            sample.finish_reason, sample.tool_calls = made.finish_reason, made.tool_calls
            if answers:  # one for all samples, or one for each
                sample.response = answers[sample.index if len(answers) > 1 else 0]
        await generation.complete(generation.samples, reply.usage)
    except (Exception, asyncio.CancelledError) as exc:
        raise await _ended_by(exc, service, generation) from exc
    return _json(encode_answer(generation, reply.usage, answers))


async def _streamed(service: Service, generation: Generation, request: web.Request) -> web.StreamResponse:
    events = EventStream(request)
    try:
        async with events.kept_alive(service.settings.keep_alive):
            try:
                await stream_answer(generation, events)
            except (Exception, asyncio.CancelledError) as exc:
                refusal = await _ended_by(exc, service, generation)
                if not events.opened:
                    raise refusal from exc
                await events.send(b"data: " + refusal.body() + b"\n\n")
        await events.end()
    except ClientGone:
        pass
    except asyncio.CancelledError:
        events.abort()
        raise
    return events.response


async def _ended_by(exc: BaseException, service: Service, generation: Generation) -> Refusal:
    """End the logs of a generation that was cut short, and say how to answer; raises when nobody is there to answer."""
    if isinstance(exc, asyncio.CancelledError) and service.stopping:
        generation.abandon("interrupted", STOPPING)
        return Refusal(503, STOPPING, retry_after=1)
    if isinstance(exc, (asyncio.CancelledError, ClientGone)):  # whichever comes first; the other may follow
        generation.abandon("cancelled", CLIENT_GONE)
        raise exc
    if isinstance(exc, ProviderError):
        refusal, error = Refusal.from_provider(exc), str(exc)
    else:
        refusal, error = _unforeseen(exc), f"{type(exc).__name__} in the server"
    with suppress(Exception):  # when the log cannot be written, the writer has said so
        await generation.fail(error)
    return refusal


def _json(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    # No charset: JSON has none, and some clients compare the whole value.
    return web.Response(status=status, body=body, headers={"Content-Type": "application/json", **(headers or {})})
