"""The path of every call: parameters -> request -> attempts -> response or stream."""

from __future__ import annotations

import re
import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Mapping, Sequence
from functools import partial
from types import NoneType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict, TypeVar, cast, get_origin, overload

import msgspec

from .. import __version__
from ..config import ClientConfig, Timeout, as_timeout, check_count, plain_limit
from ..errors import ApiException, ClientClosed, InvalidArgument
from ..transport.base import Transport
from ..types import ChatChunk, ChatResponse, CompletionChunk, CompletionResponse, Response, ResponseList, ResponseText
from ..wire.demux import Demultiplexer
from ..wire.operations import Operation
from ..wire.requests import HttpRequest, as_builtins, encode_body
from ..wire.responses import decode_list, decode_response
from ..wire.urls import pop_url
from .attributes import missing_attribute
from .call import Call
from .reader import ChunkReader
from .stream import ChatStream, CompletionStream

ResponseT = TypeVar("ResponseT", bound=Response | ResponseList[Any] | ResponseText | None)
RecordT = TypeVar("RecordT", bound=Response)
StreamT = TypeVar("StreamT", CompletionStream, ChatStream)

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
"""The name of a header, in lower case (RFC 9110, section 5.6.2)."""


class CallOptions(TypedDict, total=False):
    """The options that every call accepts.

    Attributes:
        timeout: Limits of this call: a `Timeout`, or the longest silence in seconds. Default: the client's.
        max_retries: Attempts after the first one. Default: the client's.
        extra_headers: Headers to send in addition to the client's, or instead of those with the same name.
        idempotency_key: The ``Idempotency-Key`` of all attempts of this call. Default: a random one.
    """

    timeout: Timeout | float | None
    max_retries: int | None
    extra_headers: Mapping[str, str] | None
    idempotency_key: str | None


class OpeningStream(Coroutine[Any, Any, StreamT]):
    """A streamed call that has not been sent yet.

    ``async with`` it, or ``await`` it to get the opened stream, which the caller closes. ``async for`` sends the call
    and yields the chunks of all samples; leaving the loop closes the stream. As a coroutine, it can also be given to
    `asyncio.create_task`. One that is dropped without being used warns, as a coroutine does.
    """

    __slots__ = ("_coroutine", "_open", "_stream")

    def __init__(self, open_stream: Callable[[], Coroutine[Any, Any, StreamT]]) -> None:
        self._open: Callable[[], Coroutine[Any, Any, StreamT]] | None = open_stream
        self._coroutine: Coroutine[Any, Any, StreamT] | None = None
        self._stream: StreamT | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {'not sent' if self._open is not None else 'sent'}>"

    def send(self, value: Any, /) -> Any:
        """Run the call until it waits: the protocol of coroutines, for event loops."""
        return self._running().send(value)

    def throw(self, *args: Any) -> Any:
        """Raise an exception where the call waits: the protocol of coroutines, for event loops."""
        return self._running().throw(*args)

    def close(self) -> None:
        """Give up the call: the protocol of coroutines, for event loops."""
        self._open = None
        if self._coroutine is not None:
            self._coroutine.close()

    def _running(self) -> Coroutine[Any, Any, StreamT]:
        if self._coroutine is None:
            self._coroutine = self._opened()
        return self._coroutine

    def __del__(self) -> None:
        if self._open is not None:
            warnings.warn(
                "a streamed call was never sent; use `async with` or `await`", RuntimeWarning, stacklevel=2, source=self
            )

    def __await__(self) -> Generator[Any, Any, StreamT]:
        return self._opened().__await__()

    async def __aenter__(self) -> StreamT:
        self._stream = await self._opened()
        return await self._stream.__aenter__()

    def _opened(self) -> Coroutine[Any, Any, StreamT]:
        if (open_stream := self._open) is None:
            raise InvalidArgument("a streamed call is sent once; call the method again for another stream")
        self._open = None  # frees the call's arguments: a stream may run for long
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
    # Not a generator: an abandoned generator stays open until the event loop closes it.
    def __init__(self, opening: OpeningStream[Any]) -> None:
        self._opening = opening
        self._chunks: AsyncIterator[Any] | None = None

    async def __anext__(self) -> Any:
        if self._chunks is None:
            self._chunks = aiter(await self._opening)
        return await anext(self._chunks)


class Connections:
    """The transport of a client and of its copies, which is closed once for all of them.

    Args:
        owned: Whether to close the transport.

    Attributes:
        closed: Whether no further call may be made.
        on_loop_thread: Whether the loop's thread of a sync client closes the transport.
    """

    def __init__(self, transport: Transport, base_url: str, *, owned: bool) -> None:
        self.transport = transport
        self.closed = False
        self.on_loop_thread = False
        self._base_url = base_url
        self._owned = owned

    async def aclose(self) -> None:
        """Close the transport, if it is owned."""
        self.closed = True
        if self._owned:
            await self.transport.aclose()

    def __del__(self) -> None:
        if self.on_loop_thread:
            return
        self.closed = True
        close = getattr(self.transport, "close", None)
        if self._owned and close is not None and close():
            message = f"AsyncHumanloop(base_url={self._base_url!r}) was not closed; use `async with`, or aclose()"
            warnings.warn(message, ResourceWarning, stacklevel=2, source=self)


class Core:
    """Calls operations through a transport."""

    def __init__(self, config: ClientConfig, connections: Connections) -> None:
        self.config = config
        self.connections = connections

    # Error trackers send the variables of every frame in a traceback, and parameters have keys: see `_forget`.

    async def call(self, operation: Operation[Any, ResponseT], params: dict[str, Any]) -> ResponseT:
        """Call an operation; `params` are the fields of its path, query and body, and the `CallOptions`.

        An exception empties `params`.
        """
        try:
            call, _ = self._call(operation, params, stream=False)
            return await self._decoded(call, partial(decode_response, operation.response))
        except BaseException as exc:
            _forget(params, exc)
            raise

    @overload
    async def call_batch(
        self, operation: Operation[Any, ResponseList[RecordT]], body: object, params: dict[str, Any]
    ) -> ResponseList[RecordT]: ...
    @overload
    async def call_batch(
        self, operation: Operation[Any, RecordT], body: object, params: dict[str, Any]
    ) -> RecordT | ResponseList[RecordT]: ...
    async def call_batch(self, operation: Operation[Any, Any], body: object, params: dict[str, Any]) -> Any:
        """Call an operation whose body is an object or a list of them, in `body`, or fields in `params`.

        An exception empties `params`.

        Raises:
            InvalidArgument: `body` is of another type, or a field is given beside it.
        """
        if body is None:
            return await self.call(operation, params)
        try:
            return await self._call_batch(operation, body, params)
        except BaseException as exc:
            _forget(params, exc)
            raise

    async def _call_batch(self, operation: Operation[Any, Any], body: object, params: Mapping[str, Any]) -> Any:
        rest = {name: value for name, value in params.items() if value is not None}
        if fields := sorted(rest.keys() & set(operation.request.__struct_encode_fields__)):
            raise InvalidArgument(f"give {fields[0]!r} in the body or as a keyword, not beside a body")
        if isinstance(body, msgspec.Struct):
            body = as_builtins(body)
        if isinstance(body, Mapping):
            return await self.call(operation, {**cast("Mapping[str, Any]", body), **rest})
        items = _checked_list(body, "an object or a list of objects")
        call, _ = self._call(operation, rest, items, stream=False)
        response = operation.response
        decode = decode_response if get_origin(response) is ResponseList else decode_list
        return await self._decoded(call, partial(decode, response))

    async def _decoded(self, call: Call, decode: Callable[[bytes], ResponseT]) -> ResponseT:
        http, raw = await call.read(self.config.max_event_bytes)
        try:
            response = decode(raw)
        except ApiException as exc:
            call.attach_response_info(exc, http)
            raise
        if response is not None:
            response.attach(raw=raw, headers=http.headers, status=http.status, round_trip_time=call.elapsed)
        return response

    def open_completion(
        self, operation: Operation[Any, CompletionResponse], params: dict[str, Any]
    ) -> Coroutine[Any, Any, CompletionStream]:
        """Open a streamed completion and wait for its headers."""
        return self._open(CompletionStream, operation, params)

    def open_chat(
        self, operation: Operation[Any, ChatResponse], params: dict[str, Any]
    ) -> Coroutine[Any, Any, ChatStream]:
        """Open a streamed chat and wait for its headers."""
        return self._open(ChatStream, operation, params)

    async def _open(self, kind: type[StreamT], operation: Operation[Any, Any], params: dict[str, Any]) -> StreamT:
        samples = params.get("num_samples")
        if not isinstance(samples, int) or samples < 1:
            samples = 1  # the default; the server rejects an invalid number
        try:
            call, timeout = self._call(operation, params, stream=True)
            params.clear()  # before the wait: less heap fragmentation when many streams open at once
            response = await call.open()
        except BaseException as exc:
            _forget(params, exc)
            raise
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
        if self.connections.closed:
            raise ClientClosed("the client is closed; create a new one")
        fields = {name: value for name, value in params.items() if value is not None}
        timeout = fields.pop("timeout", self.config.timeout)
        max_retries = fields.pop("max_retries", self.config.max_retries)
        check_count("max_retries", max_retries)
        headers = {
            **self.config.headers,
            "accept": "text/event-stream" if stream else "application/json",
        }
        if operation.creates:
            headers["idempotency-key"] = uuid.uuid4().hex
        if stream:
            headers["accept-encoding"] = "identity"  # compression would delay tokens
        if key := fields.pop("idempotency_key", None):
            headers.update(checked_headers({"Idempotency-Key": key}))
        if extra := fields.pop("extra_headers", None):
            headers.update(checked_headers(extra))
        _check_query(operation, fields)
        url = pop_url(operation, fields)
        body = self._body(operation, fields, items, stream=stream)
        if body is None:
            headers.pop("content-type", None)
        request = HttpRequest(operation.method, self.config.base_url + url, headers, body)
        clocks = as_timeout(timeout)
        call = Call(
            self.connections.transport,
            request,
            connect=clocks.connect if stream else None,
            first_token=clocks.first_token if stream else None,
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
        if operation.request == list[str]:
            return encode_body(_checked_list(fields["body"], "a list of ids"))
        known: set[str] = set(getattr(operation.request, "__struct_encode_fields__", ()))
        for item in (fields, *(items or ())):
            # The server would ignore it, and a misspelt field would have no effect.
            if isinstance(item, Mapping) and (unknown := cast("Mapping[str, object]", item).keys() - known):
                raise InvalidArgument(f"{min(unknown)!r} is not a field of {operation.id}")
        return None if operation.request is NoneType else encode_body(fields if items is None else items)


def _checked_list(body: object, expected: str) -> Sequence[object]:
    if not isinstance(body, Sequence) or isinstance(body, str | bytes):
        raise InvalidArgument(f"the body is of type {type(body).__name__}; give {expected}")
    return cast("Sequence[object]", body)


def _forget(params: dict[str, Any], exc: BaseException) -> None:
    """Empty the parameters of a failed call, and drop the frames below, whose variables hold headers and bodies."""
    params.clear()
    if isinstance(exc, ApiException):
        exc.__traceback__ = None


def _check_query(operation: Operation[Any, Any], fields: Mapping[str, object]) -> None:
    """Reject a required query parameter that is empty, which the server might read as "all"."""
    for field in msgspec.structs.fields(operation.query) if operation.query else ():
        value = fields.get(field.name)
        items = cast("Sequence[object]", value) if isinstance(value, list | tuple | set | frozenset) else [value]
        if field.required and not (items and all(items)):
            raise InvalidArgument(f"{field.name}={value!r}: give at least one value, and no empty ones")


class Resource:
    """Base of the classes whose methods call operations."""

    def __init__(self, core: Core) -> None:
        self._core = core

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise missing_attribute(self, name, sync=False)


def base_headers(api_key: str | None, headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return the headers of every request.

    Raises:
        InvalidArgument: A header cannot be sent.
    """
    base = {"content-type": "application/json", "user-agent": f"humanloop_async/{__version__}"}
    if api_key is not None:
        base["x-api-key"] = api_key
    return base | checked_headers(headers or {})


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the caller's headers with lower-case names.

    Raises:
        InvalidArgument: A transport could not send a header as it is. The message does not repeat its value.
    """
    _check_names(headers)
    lowered = {name.lower(): value for name, value in headers.items()}  # so that one can replace another
    for name, value in lowered.items():
        if not _TOKEN.fullmatch(name):
            raise InvalidArgument(f"{name!r} is not a valid header name")
        if name in {"content-length", "transfer-encoding"}:
            raise InvalidArgument(f"header {name!r} is set by the transport; remove it")
        if not _is_header_value(value):
            raise InvalidArgument(f"header {name!r}: give ASCII text without control characters or outer whitespace")
    return lowered


def _check_names(headers: object) -> None:
    if not isinstance(headers, Mapping):
        raise InvalidArgument(f"headers of type {type(headers).__name__}: give a mapping of names to values")
    for name in cast("Mapping[object, object]", headers):
        if not isinstance(name, str):
            raise InvalidArgument(f"the name of a header is of type {type(name).__name__}; give text")


def _is_header_value(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and value == value.strip()
