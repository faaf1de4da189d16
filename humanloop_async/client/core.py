"""One path for every call: parameters -> request -> attempts -> answer or stream."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from functools import partial
from types import NoneType, TracebackType
from typing import Any, Generic, TypeVar, cast, overload

from .. import __version__
from ..config import ClientConfig, Timeout, as_timeout, check_count, plain_limit
from ..errors import ApiException, ClientClosed, InvalidArgument
from ..transport.base import Transport
from ..types import ChatChunk, ChatResponse, CompletionChunk, CompletionResponse, Response, ResponseList
from ..wire.demux import Demultiplexer
from ..wire.operations import Operation
from ..wire.requests import HttpRequest, encode_body
from ..wire.responses import decode_list, decode_response
from ..wire.urls import pop_url
from .call import Call
from .reader import ChunkReader
from .stream import ChatStream, CompletionStream

ResponseT = TypeVar("ResponseT", bound=Response | ResponseList[Any] | None)
RecordT = TypeVar("RecordT", bound=Response)
StreamT = TypeVar("StreamT", CompletionStream, ChatStream)

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
"""The name of a header, in lower case (RFC 9110, section 5.6.2)."""


class OpeningStream(Generic[StreamT]):
    """A streamed call that has not been sent yet.

    ``async with`` it, or ``await`` it to get the opened stream and close that yourself. ``async for`` over it sends it
    and gives the chunks of all samples; leaving the loop closes the stream.
    """

    __slots__ = ("_open", "_stream")

    def __init__(self, open_stream: Callable[[], Awaitable[StreamT]]) -> None:
        self._open: Callable[[], Awaitable[StreamT]] | None = open_stream
        self._stream: StreamT | None = None

    def __await__(self) -> Generator[Any, Any, StreamT]:
        return self._opened().__await__()

    async def __aenter__(self) -> StreamT:
        self._stream = await self._opened()
        return self._stream

    def _opened(self) -> Awaitable[StreamT]:
        if (open_stream := self._open) is None:
            raise InvalidArgument("a streamed call is sent once; make the call again for another stream")
        self._open = None  # and with it the call's arguments: a stream may run for long
        return open_stream()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._stream is not None:
            await self._stream.aclose()

    @overload
    def __aiter__(self: OpeningStream[CompletionStream]) -> AsyncIterator[CompletionChunk]: ...
    @overload
    def __aiter__(self: OpeningStream[ChatStream]) -> AsyncIterator[ChatChunk]: ...
    def __aiter__(self: OpeningStream[Any]) -> AsyncIterator[Any]:
        return _Chunks(self)


class _Chunks(AsyncIterator[Any]):
    # Not a generator: one that is left early waits for the event loop to close it.
    def __init__(self, opening: OpeningStream[Any]) -> None:
        self._opening = opening
        self._chunks: AsyncIterator[Any] | None = None

    async def __anext__(self) -> Any:
        if self._chunks is None:
            self._chunks = aiter(await self._opening)
        return await anext(self._chunks)


class Core:
    """Calls operations through a transport."""

    def __init__(self, config: ClientConfig, transport: Transport) -> None:
        self.config = config
        self.transport = transport
        self.closed = False

    async def call(self, operation: Operation[Any, ResponseT], params: Mapping[str, Any]) -> ResponseT:
        """A plain call; `params` are those of the path, the query and the body, and `CallOptions`."""
        call, _ = self._call(operation, params, stream=False)
        return await self._answer(call, partial(decode_response, operation.response))

    async def call_batch(
        self, operation: Operation[Any, RecordT], items: Sequence[object], options: Mapping[str, Any]
    ) -> ResponseList[RecordT]:
        """A plain call whose body is a list."""
        call, _ = self._call(operation, options, items, stream=False)
        return await self._answer(call, partial(decode_list, operation.response))

    async def _answer(self, call: Call, decode: Callable[[bytes], ResponseT]) -> ResponseT:
        response, raw = await call.read(self.config.max_event_bytes)
        try:
            answer = decode(raw)
        except ApiException as exc:
            call.attach_response_info(exc, response)
            raise
        if answer is not None:
            answer.attach(raw=raw, headers=response.headers, status=response.status, round_trip_time=call.elapsed)
        return answer

    def open_completion(
        self, operation: Operation[Any, CompletionResponse], params: Mapping[str, Any]
    ) -> Coroutine[Any, Any, CompletionStream]:
        """A streamed completion, whose headers have come."""
        return self._open(CompletionStream, operation, params)

    def open_chat(
        self, operation: Operation[Any, ChatResponse], params: Mapping[str, Any]
    ) -> Coroutine[Any, Any, ChatStream]:
        """A streamed chat, whose headers have come."""
        return self._open(ChatStream, operation, params)

    async def _open(self, kind: type[StreamT], operation: Operation[Any, Any], params: Mapping[str, Any]) -> StreamT:
        samples = params.get("num_samples")
        if not isinstance(samples, int) or samples < 1:
            samples = 1  # the default; what is no number of samples, the server refuses
        call, timeout = self._call(operation, params, stream=True)
        del params  # what is dropped before the wait leaves no hole in the heap when many streams open at once
        response = await call.open()
        demux: Demultiplexer[Any, Any] = Demultiplexer(cast("type[Any]", operation.event), operation.response, samples)
        reader = ChunkReader(call, response, demux, timeout, self.config.max_event_bytes)
        return kind(reader, self.config.max_buffered_bytes)

    def _call(
        self,
        operation: Operation[Any, Any],
        params: Mapping[str, Any],
        items: Sequence[object] | None = None,
        *,
        stream: bool,
    ) -> tuple[Call, Timeout]:
        if self.closed:
            raise ClientClosed("the client is closed; make a new one")
        fields = dict(params)
        timeout = _option(fields, "timeout", self.config.timeout)
        max_retries = _option(fields, "max_retries", self.config.max_retries)
        check_count("max_retries", max_retries)
        headers = {
            **self.config.headers,
            "accept": "text/event-stream" if stream else "application/json",
        }
        if operation.creates:
            headers["idempotency-key"] = uuid.uuid4().hex
        if stream:
            headers["accept-encoding"] = "identity"  # compression would hold tokens back
        if key := _option(fields, "idempotency_key", None):
            headers.update(checked_headers({"Idempotency-Key": key}))
        if extra := _option(fields, "extra_headers", None):
            headers.update(checked_headers(extra))
        address = pop_url(operation, fields)
        body = self._body(operation, fields, items, stream=stream)
        if body is None:
            headers.pop("content-type", None)
        request = HttpRequest(operation.method, self.config.base_url + address, headers, body)
        clocks = as_timeout(timeout)
        call = Call(
            self.transport,
            request,
            connect=clocks.connect if stream else None,
            total=clocks.total if stream else plain_limit(timeout),
            max_retries=max_retries,
        )
        return call, clocks

    def _body(
        self, operation: Operation[Any, Any], fields: dict[str, Any], items: Sequence[object] | None, *, stream: bool
    ) -> bytes | None:
        if operation.event is not None:
            keys = fields.get("provider_api_keys")
            if self.config.provider_keys and (keys is None or isinstance(keys, Mapping)):
                fields["provider_api_keys"] = {**self.config.provider_keys, **cast("Mapping[str, str]", keys or {})}
            fields["stream"] = stream
            return encode_body(fields)
        known: set[str] = set(getattr(operation.request, "__struct_fields__", ()))
        for item in (fields, *(items or ())):
            # The server would read past it, and a misspelt name would do nothing at all.
            if isinstance(item, Mapping) and (unknown := cast("Mapping[str, object]", item).keys() - known):
                raise InvalidArgument(f"{min(unknown)!r} is not an argument of this call ({operation.id})")
        return None if operation.request is NoneType else encode_body(fields if items is None else items)


class Resource:
    """Calls operations, which its methods are."""

    def __init__(self, core: Core) -> None:
        self._core = core


def _option(fields: dict[str, Any], name: str, default: Any) -> Any:
    value = fields.pop(name, None)
    return default if value is None else value


def base_headers(api_key: str | None, headers: Mapping[str, str] | None) -> dict[str, str]:
    """Headers of every request.

    Raises:
        InvalidArgument: One cannot be sent.
    """
    made = {"content-type": "application/json", "user-agent": f"humanloop_async/{__version__}"}
    if api_key is not None:
        made["x-api-key"] = api_key
    return made | checked_headers(headers or {})


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers of the caller's, each of which every transport sends as it is.

    Raises:
        InvalidArgument: One cannot be sent. The text does not repeat its value.
    """
    try:
        made = {name.lower(): value for name, value in headers.items()}  # so that one can replace another
    except AttributeError as exc:
        raise InvalidArgument("headers are a mapping from names to values, all text") from exc
    for name, value in made.items():
        if not _TOKEN.fullmatch(name):
            raise InvalidArgument(f"{name!r} cannot be the name of a header")
        if name in {"content-length", "transfer-encoding"}:
            raise InvalidArgument(f"header {name!r} is for the transport to send")
        if not _can_be_sent(value):
            raise InvalidArgument(f"header {name!r}: a value is text of ASCII characters, without blanks around it")
    return made


def _can_be_sent(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and value == value.strip()
