"""Providers that are HTTP APIs: one runner for every wire format.

A wire format is an `Adapter`: pure functions that turn a call into a request, and bytes into samples and chunks.
`HttpProvider` does the rest: keys, sending, retries, timeouts, limits, errors, and one call as several.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol

import msgspec

from ...errors import ApiConnectionError, EventTooLarge, InvalidArgument
from ...transport.aiohttp_transport import AiohttpResponse, AiohttpTransport
from ...transport.base import ResponseStream, Transport
from ...transport.certificates import is_certificate_error, tls_error
from ...types import Json, ProviderApiKeys, Usage
from ...wire.requests import HttpRequest
from ...wire.retry import parse_retry_after, retry_delay
from ...wire.sse import EventStreamDecoder
from . import fan_out
from .base import (
    BatchCallback,
    ProviderCall,
    ProviderChunk,
    ProviderError,
    ProviderReply,
    ProviderSample,
    ProviderStream,
    v4_status,
)
from .capabilities import Capabilities, check
from .network import MAX_CONNECTIONS, ForbiddenAddress
from .reading import ErrorEvent, MalformedResponse, decoded, error_message, redacted

MAX_RESPONSE_BYTES = 64 * 1024 * 1024
"""Limit of an unstreamed response, and of each sample of a streamed one."""
MAX_MESSAGE = 2000
"""Limit of a provider's error message, in characters."""

_MAX_ERROR_BYTES = 64 * 1024
_TRAILER_TIMEOUT = 1.0  # for the end of a body after its last event, so that the connection can be used again
_STALE_CONNECTION = 1.0  # seconds within which the closing of a kept connection is noticed
_MAX_REMEMBERED = 1000  # models whose rejected parameters are remembered
_REJECTIONS = (400, 422, 501)  # statuses of a response to parameters that the server does not support


class EventReader(Protocol):
    """Turns the events of one streamed response into chunks.

    Attributes:
        unfinished: The samples without a finish reason so far.
        ended: Whether the format's end marker has arrived.
        words: A message in an event that is not part of a sample, "" if there was none. It may explain an early end.
        missing: Samples that the server did not generate, when the stream has ended after the others.
        usage: Token counts so far.
    """

    unfinished: set[int]
    ended: bool
    words: str

    @property
    def missing(self) -> set[int]: ...
    @property
    def usage(self) -> Usage | None: ...

    def read(self, events: Iterable[bytes], emit: Callable[[ProviderChunk], object]) -> None:
        """Emit a chunk for each event that adds something to a sample.

        Raises:
            MalformedResponse: An event cannot be understood, or contradicts earlier ones.
            ErrorEvent: The provider reports an error.
        """
        ...

    def end(self, emit: Callable[[ProviderChunk], object]) -> None:
        """Emit the chunks that the reader has held back: the stream has ended, or an error follows."""
        ...


class Adapter(Protocol):
    """One wire format.

    Attributes:
        capabilities: The parameters that the provider has.
    """

    @property
    def capabilities(self) -> Capabilities: ...

    def path(self, call: ProviderCall) -> str:
        """Return the path of the request, which follows the provider's base URL."""
        ...

    def headers(self, call: ProviderCall, key: str | None) -> dict[str, str]:
        """Return the headers that are specific to the format, such as the one with the key."""
        ...

    def body(self, call: ProviderCall) -> dict[str, Json]:
        """Return the body of an unstreamed request.

        Raises:
            ProviderError: The format cannot express the call (422).
        """
        ...

    def stream_body(self, body: dict[str, Json], call: ProviderCall) -> dict[str, Json]:
        """Return the body of the streamed request for the same call."""
        ...

    def read_response(self, data: bytes, num_samples: int) -> tuple[list[ProviderSample], Usage | None]:
        """Return the samples of an unstreamed response, in order of their index, and its token counts.

        There is at least one sample. A server that does not support several at once returns fewer than requested.

        Raises:
            MalformedResponse: The bytes are not a response with finished samples.
            ErrorEvent: The provider reports an error.
        """
        ...

    def reader(self, num_samples: int) -> EventReader:
        """Return a reader for the events of one streamed response."""
        ...

    def rejected_parameter(self, body: dict[str, Json], message: str) -> str | None:
        """Return the optional parameter of a body that this error message rejects, or None if it rejects none.

        "n" means that the server generates one sample per request.
        """
        ...

    def without_parameters(self, body: dict[str, Json], rejected: set[str]) -> dict[str, Json]:
        """Return the body without parameters that the server has rejected, or with others in their place."""
        ...


class HttpProvider:
    """A provider that is an HTTP API.

    Args:
        name: The v4 name, such as "openai".
        origin: The display name, such as "OpenAI".
        adapter: The wire format.
        base_url: The part of every URL before the adapter's path.
        api_key: The key for calls without one.
        key_variable: The environment variable of the key, for the error of a call without a key. None if the
            provider does not need a key.
        query: A query for every URL, without "?".
        extra_headers: Headers for every request.
        max_n: Number of samples that one request can ask for. Larger calls are several requests at once.
        max_retries: Most attempts after the first one. A request is repeated only before its first token.
        transport: Sends the requests, and is closed with the provider. An `AiohttpTransport` if None.

    Attributes:
        response_timeout: Longest wait for the headers of a response, in seconds. A large prompt or an unstreamed
            response can take minutes.
        idle_timeout: Longest silence within a response, in seconds.
    """

    def __init__(
        self,
        name: str,
        origin: str,
        adapter: Adapter,
        *,
        base_url: str,
        api_key: str | None = None,
        key_variable: str | None = None,
        query: str = "",
        extra_headers: Mapping[str, str] | None = None,
        max_n: int = 1,
        max_retries: int = 0,
        transport: Transport | None = None,
    ) -> None:
        self.name = name
        self.origin = origin
        self.adapter = adapter
        self._base_url = base_url
        self._api_key = api_key
        self._key_variable = key_variable
        self._query = query
        self._extra_headers = dict(extra_headers or {})
        self._max_n = max_n
        self._max_retries = max_retries
        self._transport = transport or AiohttpTransport(max_connections=MAX_CONNECTIONS)
        self.response_timeout, self.idle_timeout = 600.0, 120.0  # `Providers` sets those of the settings
        self._has_responded = False  # whether there may be a kept connection
        self._rejected: dict[str, set[str]] = {}  # model -> parameters that the server rejects

    def request_body(self, call: ProviderCall) -> dict[str, Json]:
        check(call, self.adapter.capabilities, self.origin)
        return self._without_rejected(call, self.adapter.body(call))

    async def generate(self, call: ProviderCall) -> ProviderReply:
        parts = fan_out.split(call, self._max_n_of(call))
        if len(parts) == 1:
            return await self._generate(call)
        return await fan_out.generate_all([(first, self._generate(part)) for first, part in parts])

    def stream(self, call: ProviderCall) -> AbstractAsyncContextManager[ProviderStream]:
        parts = fan_out.split(call, self._max_n_of(call))
        if len(parts) == 1:
            return self._stream(call)
        return fan_out.stream_all([(first, self._stream(part)) for first, part in parts])

    async def aclose(self) -> None:
        await self._transport.aclose()

    def key(self, call: ProviderCall) -> str | None:
        """Return the call's key if v4 has a field for this provider's, else the server's.

        Raises:
            ProviderError: The provider needs a key and there is none, or it cannot be sent in a header (401).
        """
        has_field = self.name in ProviderApiKeys.__struct_fields__
        key: str | None = getattr(call.keys, self.name) if has_field else None
        key = key or self._api_key
        if key is None:
            if self._key_variable is None:
                return None
            message = f"no API key for {self.name}: set {self._key_variable} for the server"
            if has_field:
                message += f", or send provider_api_keys.{self.name} with the request"
            raise ProviderError(401, message, self.origin)
        if not key.isascii() or not key.isprintable():
            raise ProviderError(
                401, "the API key contains characters that no key has; check that it was copied correctly", self.origin
            )
        return key

    def url(self, call: ProviderCall) -> str:
        """Return the URL of a call."""
        query = f"?{self._query}" if self._query else ""
        return f"{self._base_url}{self.adapter.path(call)}{query}"

    async def _generate(self, call: ProviderCall) -> ProviderReply:
        """Generate with one request, and with others for the samples that the server does not generate with it."""
        try:
            reply = await self._request(call)
        except _OneSampleOnly:
            return await self._generate_single(call, range(call.num_samples))
        missing = set(range(call.num_samples)) - {sample.index for sample in reply.samples}
        if not missing:
            return reply
        rest = await self._generate_single(call, sorted(missing))
        samples = sorted(reply.samples + rest.samples, key=lambda sample: sample.index)
        usage = fan_out.total_usage([reply.usage, rest.usage])
        return ProviderReply(samples, usage, reply.responses + rest.responses)

    async def _request(self, call: ProviderCall) -> ProviderReply:
        key = self.key(call)
        response = await self._send(call, self.request_body(call), key, _Retries(self._max_retries))
        try:
            data = await self.read_all(response, MAX_RESPONSE_BYTES)
            samples, usage = self.adapter.read_response(data, call.num_samples)
        except (ErrorEvent, MalformedResponse) as exc:
            raise self.as_provider_error(exc, key) from None  # the cause may contain the key
        finally:
            response.close()
        whole = decoded(data)
        for sample in samples:
            sample.response = whole
        return ProviderReply(samples, usage, [whole])

    async def _generate_single(self, call: ProviderCall, indexes: Iterable[int]) -> ProviderReply:
        """Generate samples with one request each."""
        parts = [(index, fan_out.part(call, index, 1)) for index in indexes]
        reply = await fan_out.generate_all([(index, self._request(part)) for index, part in parts])
        self._remember(call, {"n"})
        return reply

    @asynccontextmanager
    async def _stream(self, call: ProviderCall) -> AsyncGenerator[ProviderStream]:
        key = self.key(call)
        body = self._without_rejected(call, self.adapter.stream_body(self.request_body(call), call))
        async with AsyncExitStack() as stack:

            async def stream_single(indexes: Iterable[int]) -> ProviderStream:
                parts = [(index, self.stream(fan_out.part(call, index, 1))) for index in indexes]
                stream = await stack.enter_async_context(fan_out.stream_all(parts))
                self._remember(call, {"n"})
                return stream

            try:
                retries = _Retries(self._max_retries)
                response = await self._send(call, body, key, retries)
            except _OneSampleOnly:
                yield await stream_single(range(call.num_samples))
                return

            async def reopen(error: ProviderError) -> ResponseStream:
                await retries.wait(error)
                return await self._send(call, body, key, retries)

            stream = HttpStream(self, response, call.num_samples, key, stream_single, reopen)
            stack.callback(stream.close)
            yield stream
            await stream.finish()

    def _max_n_of(self, call: ProviderCall) -> int:
        return 1 if "n" in self._rejected.get(call.model, ()) else self._max_n

    def _without_rejected(self, call: ProviderCall, body: dict[str, Json]) -> dict[str, Json]:
        rejected = self._rejected.get(call.model)
        return self.adapter.without_parameters(body, rejected) if rejected else body

    def _remember(self, call: ProviderCall, rejected: set[str]) -> None:
        """Remember the parameters that the server rejects for a model, so that they cost one request only once."""
        if call.model in self._rejected or len(self._rejected) < _MAX_REMEMBERED:
            self._rejected.setdefault(call.model, set()).update(rejected)

    async def _send(
        self, call: ProviderCall, body: dict[str, Json], key: str | None, retries: _Retries
    ) -> ResponseStream:
        """Send a request, with retries, and return the response, whose status is 200 to 299.

        A request with an optional parameter that the server rejects is repeated without it.

        Raises:
            _OneSampleOnly: The server rejects requests for several samples.
        """
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        headers |= self._extra_headers | self.adapter.headers(call, key)
        url = self.url(call)
        bodies = [msgspec.json.encode(body)]
        rejected: set[str] = set()
        rejection: ProviderError | None = None
        while True:
            try:
                response = await self._attempt(HttpRequest("POST", url, headers, bodies[-1]), key)
            except _Failed as failed:
                error = failed.error
                if failed.rejection and (parameter := self.adapter.rejected_parameter(body, failed.rejection)):
                    if parameter == "n":
                        raise _OneSampleOnly from None
                    body = self.adapter.without_parameters(body, {parameter})
                    if (encoded := msgspec.json.encode(body)) not in bodies:
                        bodies.append(encoded)
                        rejected.add(parameter)
                        rejection = rejection or error
                        continue
                if not failed.retryable:
                    raise (rejection if rejection and failed.rejection else error) from None
                await retries.wait(error)
            else:
                if rejected:
                    self._remember(call, rejected)
                return response

    async def _attempt(self, request: HttpRequest, key: str | None) -> ResponseStream:
        response = await self._respond(request)
        if 200 <= response.status <= 299:
            return response
        try:
            body = await self.read_all(response, _MAX_ERROR_BYTES)
            message = error_message(body) or response.reason
        except ProviderError:
            body = b""
            message = response.reason
        finally:
            response.close()
        message = redact(message or f"status {response.status}, without an explanation", key)
        if response.status == 404:
            message += f" (requested {without_credentials(request.url)})"
        raise _Failed(
            ProviderError(v4_status(response.status), message, self.origin, _retry_after(response.headers)),
            retryable=response.status in (408, 409, 429) or response.status >= 500,
            rejection=body.decode(errors="replace") if response.status in _REJECTIONS else "",
        )

    async def _respond(self, request: HttpRequest, again: bool = True) -> ResponseStream:
        started = time.monotonic()
        try:
            response = await self._transport.send(request, self.response_timeout)
        except TimeoutError:
            error = ProviderError(503, f"no response within {self.response_timeout:g} seconds", self.origin)
            raise _Failed(error, retryable=False) from None
        except ForbiddenAddress as exc:
            raise _Failed(ProviderError(422, str(exc), self.origin), retryable=False) from None
        except ApiConnectionError as exc:
            # A kept connection that its server has closed in the meantime breaks at once, before the first byte of a
            # response: nothing was lost, and another connection will work. A later break is a failure of the server.
            if again and self._has_responded and time.monotonic() - started < _STALE_CONNECTION:
                return await self._respond(request, again=False)
            error = ProviderError(503, f"cannot reach the provider{_reason(exc)}", self.origin)
            raise _Failed(error, retryable=not is_certificate_error(exc)) from exc
        except InvalidArgument as exc:
            error = ProviderError(503, f"the request to the provider is invalid{_reason(exc)}", self.origin)
            raise _Failed(error, retryable=False) from None
        self._has_responded = True
        return response

    async def read(self, response: ResponseStream) -> bytes:
        """Return the bytes that have arrived, with the transport's exceptions as `ProviderError`."""
        try:
            return await response.read(self.idle_timeout)
        except TimeoutError as exc:
            raise ProviderError(
                503, f"no data for {self.idle_timeout:g} seconds within a response", self.origin
            ) from exc
        except ApiConnectionError as exc:
            raise ProviderError(503, f"the connection broke within a response{_reason(exc)}", self.origin) from exc

    async def read_all(self, response: ResponseStream, limit: int) -> bytes:
        """Return the rest of a body of at most `limit` bytes."""
        parts: list[bytes] = []
        size = 0
        while data := await self.read(response):
            parts.append(data)
            size += len(data)
            if size > limit:
                raise ProviderError(503, f"a response above {limit:,} bytes", self.origin)
        return b"".join(parts)

    def as_provider_error(self, exc: ErrorEvent | MalformedResponse, key: str | None) -> ProviderError:
        """Return the error to raise for a response that reports an error, or cannot be understood."""
        if isinstance(exc, ErrorEvent):
            return ProviderError(v4_status(exc.status), redact(exc.message, key), self.origin)
        return ProviderError(503, redact(f"a response that is not as documented: {exc}", key), self.origin)


class HttpStream:
    """The chunks of a streamed response, in batches of one read each.

    Args:
        stream_single: Opens a stream of other samples, for a server that generated fewer than requested.
        reopen: Repeats the request after an error before the first chunk, or raises that error.
    """

    def __init__(
        self,
        provider: HttpProvider,
        response: ResponseStream,
        num_samples: int,
        key: str | None,
        stream_single: Callable[[Iterable[int]], Awaitable[ProviderStream]] | None = None,
        reopen: Callable[[ProviderError], Awaitable[ResponseStream]] | None = None,
    ) -> None:
        self._provider = provider
        self._num_samples = num_samples
        self._key = key
        self._stream_single = stream_single
        self._reopen = reopen  # None after the first chunk
        self._rest: ProviderStream | None = None  # the samples that are missing in this response
        self._rest_batches: AsyncIterator[list[ProviderChunk]] | None = None
        self._batch: list[ProviderChunk] = []  # to be returned
        self.on_batch: BatchCallback | None = None
        self._begin(response)

    def _begin(self, response: ResponseStream) -> None:
        """Start to read a response, the first one or that of a repeated request."""
        self._response = response
        self._decoder = EventStreamDecoder()
        self._reader: EventReader = self._provider.adapter.reader(self._num_samples)
        self._failure: ProviderError | None = None  # raised after the chunks before it
        self._is_final = False  # the failure would be the same after another attempt
        self._ended = False
        self._room = self._num_samples * MAX_RESPONSE_BYTES
        self._start: bytes | None = b""  # the start of the body, until its form is known
        self._whole: bytearray | None = None  # a body that is one response, and no stream
        self._decoded = 0  # how many bytes of the next read the batch contains already
        if isinstance(response, AiohttpResponse):
            response.on_data = self._on_data

    @property
    def usage(self) -> Usage | None:
        if self._rest is None:
            return self._reader.usage
        return fan_out.total_usage([self._reader.usage, self._rest.usage])

    def __aiter__(self) -> HttpStream:
        return self

    async def __anext__(self) -> list[ProviderChunk]:
        while not self._batch:
            if self._failure is not None:
                await self._retry(self._failure)
            if self._ended:
                return await self._next_rest()
            try:
                data = await self._next_bytes()
            except ProviderError as error:
                await self._retry(error)
                continue
            decoded, self._decoded = self._decoded, 0
            if not decoded or len(data) > decoded:
                self._read_events(data[decoded:], self._batch)
        batch, self._batch = self._batch, []
        self._reopen = None
        return batch

    async def _retry(self, error: ProviderError) -> None:
        """Repeat the request after an error before the first chunk, or raise the error."""
        if self._reopen is None or self._is_final or error.status not in (429, 503):
            raise error
        self._response.close()
        self._begin(await self._reopen(error))

    async def _next_rest(self) -> list[ProviderChunk]:
        """Return a batch of the samples that are missing in this response."""
        if self._rest_batches is None:
            if not self._reader.missing or self._stream_single is None:
                raise StopAsyncIteration
            self._rest = await self._stream_single(sorted(self._reader.missing))
            self._rest_batches = aiter(self._rest)
        return await anext(self._rest_batches)

    async def finish(self) -> None:
        """Read the rest of a body that has no more events, which returns its connection to the pool."""
        if self._reader.ended and self._failure is None:
            try:
                while await self._response.read(_TRAILER_TIMEOUT):
                    pass
            except (TimeoutError, ApiConnectionError):
                pass

    def close(self) -> None:
        """Close the connection, unless the body has been read to its end."""
        self._response.close()

    async def _next_bytes(self) -> bytes:
        try:
            return await self._provider.read(self._response)
        except ProviderError:
            if self._reader.unfinished:
                raise
            return b""  # every sample is complete: only the usage can be missing

    def _on_data(self, data: bytes) -> bool:
        if self.on_batch is None:
            return False
        self._read_events(data, self._batch)
        if self._failure is None and not self._ended and (not self._batch or self.on_batch(self._batch)):
            if self._batch:
                self._batch = []
                self._reopen = None
            return True
        self._decoded = len(data)
        return False

    def _read_events(self, data: bytes, batch: list[ProviderChunk]) -> None:
        """Decode the bytes of one read, none at the end of the body, and add their chunks to the batch."""
        reader = self._reader
        is_end = not data
        self._room -= len(data)
        if self._start is not None:
            data = self._check_start(data)
        if self._whole is not None:
            self._read_whole(data, is_end, batch)
            reader = self._reader
        else:
            try:
                # A blank line completes an event whose own one is missing at the end. One that was cut is no JSON.
                events = self._decoder.feed(b"\n\n" if is_end and self._start is None else data)
            except EventTooLarge as exc:
                events = exc.events
                self._failure = ProviderError(503, str(exc), self._provider.origin)
            try:
                reader.read(events, batch.append)
            except (ErrorEvent, MalformedResponse) as exc:
                if not reader.unfinished:  # all text has arrived: what follows it does not matter
                    self._ended = True
                elif not is_end or isinstance(exc, ErrorEvent):
                    self._failure = self._provider.as_provider_error(exc, self._key)
                    self._is_final = isinstance(exc, MalformedResponse)
            if is_end or reader.ended or self._ended or self._failure is not None:
                try:
                    reader.end(batch.append)
                except MalformedResponse as exc:
                    self._failure = self._failure or self._provider.as_provider_error(exc, self._key)
        if self._failure is None and (is_end or reader.ended):
            self._ended = True
            if unfinished := reader.unfinished - reader.missing:
                numbers = ", ".join(map(str, sorted(unfinished)))
                message = f"the response ended before sample {numbers} had a finish reason"
                if reader.words:
                    message += f": {redact(reader.words, self._key)}"
                self._failure = ProviderError(503, message, self._provider.origin)
        if self._room < 0 and not self._ended and self._failure is None:
            limit = self._num_samples * MAX_RESPONSE_BYTES
            self._failure = ProviderError(503, f"a response above {limit:,} bytes", self._provider.origin)

    def _check_start(self, data: bytes) -> bytes:
        """Find out whether the body is a stream. Returns its bytes so far once that is known, until then none.

        Some servers send one JSON response or error although a stream was requested, after blanks that keep the
        connection open. Servers that fail may send HTML.
        """
        assert self._start is not None
        self._start += data
        stripped = self._start.lstrip(b"\xef\xbb\xbf \t\r\n")
        if not stripped and data:
            self._start = self._start[-2:]  # it may be a part of a byte order mark
            return b""
        data, self._start = self._start, None
        if stripped.startswith((b"{", b"[", b"<")):
            self._whole = bytearray()
            return stripped
        return data

    def _read_whole(self, data: bytes, is_end: bool, batch: list[ProviderChunk]) -> None:
        """Read a body that is one response; its samples are one chunk each."""
        assert self._whole is not None
        self._whole += data
        if not is_end:
            return
        body = bytes(self._whole)
        try:
            samples, usage = self._provider.adapter.read_response(body, self._num_samples)
        except (ErrorEvent, MalformedResponse) as exc:
            error = MalformedResponse(error_message(body)) if body.startswith(b"<") else exc  # HTML
            self._failure = self._provider.as_provider_error(error, self._key)
            self._is_final = isinstance(error, MalformedResponse)
            return
        self._reader = _WholeReader(samples, usage, self._num_samples)
        raw = msgspec.json.encode(decoded(body))
        batch += [
            ProviderChunk(sample.index, sample.text, sample.finish_reason, sample.tool_calls, raw, sample.reasoning)
            for sample in samples
        ]


class _Retries:
    """The attempts of one call after the first one.

    Args:
        max_retries: Their number.
    """

    def __init__(self, max_retries: int) -> None:
        self._max_retries = max_retries
        self._attempt = 0

    async def wait(self, error: ProviderError) -> None:
        """Wait until the next attempt.

        Raises:
            ProviderError: The error, if no attempt is left or the provider requests too long a wait.
        """
        self._attempt += 1
        delay = retry_delay(self._attempt, jitter=random.random(), retry_after=error.retry_after)
        if self._attempt > self._max_retries or delay is None:
            raise error from None
        await asyncio.sleep(delay)


class _WholeReader:
    """The state of a reader after a whole response in place of a stream."""

    words = ""
    ended = True

    def __init__(self, samples: list[ProviderSample], usage: Usage | None, num_samples: int) -> None:
        self.unfinished = set(range(num_samples)) - {sample.index for sample in samples}
        self.missing = self.unfinished
        self.usage = usage

    def read(self, events: Iterable[bytes], emit: Callable[[ProviderChunk], object]) -> None:
        """Ignore events: there are none."""

    def end(self, emit: Callable[[ProviderChunk], object]) -> None:
        """Emit nothing: all chunks have been emitted."""


class _Failed(Exception):
    """A failed attempt, with the error to raise if no other attempt follows.

    Attributes:
        rejection: The body of a response that may reject a parameter, else "".
    """

    def __init__(self, error: ProviderError, *, retryable: bool, rejection: str = "") -> None:
        super().__init__(str(error))
        self.error, self.retryable, self.rejection = error, retryable, rejection


class _OneSampleOnly(Exception):
    """The server rejects requests for several samples."""


def redact(message: str, key: str | None) -> str:
    """Return a provider's message, shortened and without keys."""
    return redacted(message, key)[:MAX_MESSAGE]


def without_credentials(url: str) -> str:
    """Return a URL without user name, password and query."""
    return re.sub(r"//[^/]*@", "//", url).partition("?")[0]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of ``retry-after-ms`` (OpenAI, Azure) or ``Retry-After``."""
    try:
        milliseconds = float(headers.get("retry-after-ms", ""))
    except ValueError:
        return parse_retry_after(headers)
    return milliseconds / 1000 if 0 <= milliseconds < float("inf") else parse_retry_after(headers)


def _reason(exc: Exception) -> str:
    """Return the kind of a failure, without the library's message, which may contain addresses and credentials."""
    cause = exc.__cause__
    if (tls := tls_error(exc)) is not None:
        return f": {tls}"
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno > 0:
        return f": {os.strerror(cause.errno)}"
    return f": {type(cause).__name__}" if cause is not None else ""
