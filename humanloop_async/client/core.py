"""One path for every call: parameters -> request -> attempts -> answer or stream."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Generator, Mapping
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar, cast

from .. import __version__
from ..config import ClientConfig, Timeout, as_timeout, plain_limit
from ..errors import ApiException, ClientClosed, InvalidArgument
from ..transport.base import Transport
from ..types import ChatResponse, CompletionResponse
from ..wire.demux import Demultiplexer
from ..wire.operations import Operation
from ..wire.requests import HttpRequest, encode_body
from ..wire.responses import decode_response
from .call import Call
from .reader import ChunkReader
from .stream import ChatStream, CompletionStream

ResponseT = TypeVar("ResponseT", bound=CompletionResponse | ChatResponse)


class _AsyncCloseable(Protocol):
    async def aclose(self) -> None: ...


StreamT = TypeVar("StreamT", bound=_AsyncCloseable)


class OpeningStream(Generic[StreamT]):
    """A streamed call that has not been sent yet.

    ``async with`` it, or ``await`` it to get the opened stream and close that yourself.
    """

    __slots__ = ("_open", "_stream")

    def __init__(self, open_stream: Callable[[], Awaitable[StreamT]]) -> None:
        self._open = open_stream
        self._stream: StreamT | None = None

    def __await__(self) -> Generator[Any, Any, StreamT]:
        return self._open().__await__()

    async def __aenter__(self) -> StreamT:
        stream = self._stream = await self._open()
        del self._open  # and with it the call's arguments: a stream may run for long
        return stream

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._stream is not None:
            await self._stream.aclose()


class Core:
    """Calls operations through a transport."""

    def __init__(self, config: ClientConfig, transport: Transport) -> None:
        self.config = config
        self.transport = transport
        self.closed = False

    async def call(self, operation: Operation[Any, ResponseT], params: Mapping[str, Any]) -> ResponseT:
        """A plain call."""
        call, _ = self._call(operation, params, stream=False)
        response, raw = await call.read(self.config.max_event_bytes)
        try:
            answer = decode_response(operation.response, raw)
        except ApiException as exc:
            call.describe(exc, response)
            raise
        answer.attach(raw=raw, headers=response.headers, status=response.status, round_trip_time=call.elapsed)
        return answer

    async def open_completion(
        self, operation: Operation[Any, CompletionResponse], params: Mapping[str, Any]
    ) -> CompletionStream:
        """A streamed completion, whose headers have come."""
        return cast("CompletionStream", await self._open(CompletionStream, operation, params))

    async def open_chat(self, operation: Operation[Any, ChatResponse], params: Mapping[str, Any]) -> ChatStream:
        """A streamed chat, whose headers have come."""
        return cast("ChatStream", await self._open(ChatStream, operation, params))

    async def _open(
        self,
        kind: type[CompletionStream] | type[ChatStream],
        operation: Operation[Any, Any],
        params: Mapping[str, Any],
    ) -> CompletionStream | ChatStream:
        call, timeout = self._call(operation, params, stream=True)
        response = await call.open()
        samples = params.get("num_samples")
        demux: Demultiplexer[Any, Any] = Demultiplexer(
            cast("type[Any]", operation.event), operation.response, samples if isinstance(samples, int) else 1
        )
        reader = ChunkReader(call, response, demux, timeout, self.config.max_event_bytes)
        return kind(reader, self.config.max_buffered_bytes)

    def _call(self, operation: Operation[Any, Any], params: Mapping[str, Any], *, stream: bool) -> tuple[Call, Timeout]:
        if self.closed:
            raise ClientClosed("the client is closed; make a new one")
        fields = dict(params)
        timeout = _option(fields, "timeout", self.config.timeout)
        max_retries = _option(fields, "max_retries", self.config.max_retries)
        headers = {
            **self.config.headers,
            "Idempotency-Key": _option(fields, "idempotency_key", None) or uuid.uuid4().hex,
            "Accept": "text/event-stream" if stream else "application/json",
        }
        if stream:
            headers["Accept-Encoding"] = "identity"  # compression would hold tokens back
        headers.update(_option(fields, "extra_headers", None) or {})
        if self.config.provider_keys:
            fields["provider_api_keys"] = {**self.config.provider_keys, **(fields.get("provider_api_keys") or {})}
        fields["stream"] = stream
        request = HttpRequest(operation.method, self.config.base_url + operation.path, headers, encode_body(fields))
        clocks = as_timeout(timeout)
        call = Call(
            self.transport,
            request,
            connect=clocks.connect if stream else None,
            total=clocks.total if stream else plain_limit(timeout),
            max_retries=max_retries,
        )
        return call, clocks


def _option(fields: dict[str, Any], name: str, default: Any) -> Any:
    value = fields.pop(name, None)
    return default if value is None else value


def base_headers(api_key: str | None, headers: Mapping[str, str] | None) -> dict[str, str]:
    """Headers of every request.

    Raises:
        InvalidArgument: One cannot be sent.
    """
    made = {"Content-Type": "application/json", "User-Agent": f"humanloop_async/{__version__}"}
    if api_key is not None:
        made["X-API-KEY"] = api_key
    for name, value in (headers or {}).items():
        if not f"{name}{value}".isprintable():
            raise InvalidArgument(f"header {name!r} has characters that cannot stand in a header")
        made[name] = value
    return made
