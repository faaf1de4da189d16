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
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Protocol

import msgspec

from ...errors import ApiConnectionError, EventTooLarge, InvalidArgument
from ...transport.aiohttp_transport import AiohttpResponse, AiohttpTransport
from ...transport.base import ResponseStream, Transport
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
from .reading import ErrorEvent, MalformedResponse, decoded, error_message

RESPONSE_TIMEOUT = 600.0
"""Longest wait for the headers of a response, in seconds. A large prompt or an unstreamed response can take minutes."""
IDLE_TIMEOUT = 120.0
"""Longest silence within a response, in seconds."""
MAX_CONNECTIONS = 4096
"""Connections to one provider from one process. `max_generations` limits the calls."""
MAX_RESPONSE_BYTES = 64 * 1024 * 1024
"""Limit of an unstreamed response, and of each sample of a streamed one."""
MAX_MESSAGE = 2000
"""Limit of a provider's error message, in characters."""

_MAX_ERROR_BYTES = 64 * 1024
_TRAILER_TIMEOUT = 1.0  # for the end of a body after its last event, so that the connection can be used again
_STALE_CONNECTION = 1.0  # seconds within which the closing of a kept connection is noticed
_SHORTEST_KEY = 8  # a shorter one is found in ordinary text by chance


class EventReader(Protocol):
    """Turns the events of one streamed response into chunks.

    Attributes:
        unfinished: The samples without a finish reason so far.
        ended: Whether the format's end marker has arrived.
        words: A message in an event that is not part of a sample, "" if there was none. It may explain an early end.
        usage: Token counts so far.
    """

    unfinished: set[int]
    ended: bool
    words: str

    @property
    def usage(self) -> Usage | None: ...

    def read(self, events: Iterable[bytes], emit: Callable[[ProviderChunk], object]) -> None:
        """Emit a chunk for each event that adds something to a sample.

        Raises:
            MalformedResponse: An event cannot be understood, or contradicts earlier ones.
            ErrorEvent: The provider reports an error.
        """
        ...


class Adapter(Protocol):
    """One wire format."""

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

    def stream_body(self, body: dict[str, Json]) -> dict[str, Json]:
        """Return the body of the streamed request for the same call."""
        ...

    def read_response(self, data: bytes, num_samples: int) -> tuple[list[ProviderSample], Usage | None]:
        """Return the samples of an unstreamed response, in order of their index, and its token counts.

        Raises:
            MalformedResponse: The bytes are not a response with one finished sample for each requested one.
            ErrorEvent: The provider reports an error.
        """
        ...

    def reader(self, num_samples: int) -> EventReader:
        """Return a reader for the events of one streamed response."""
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
        self._has_responded = False  # whether there may be a kept connection

    def request_body(self, call: ProviderCall) -> dict[str, Json]:
        return self.adapter.body(call)

    async def generate(self, call: ProviderCall) -> ProviderReply:
        parts = fan_out.split(call, self._max_n)
        if len(parts) == 1:
            return await self._generate(call)
        return await fan_out.generate_all([(first, self._generate(part)) for first, part in parts])

    def stream(self, call: ProviderCall) -> AbstractAsyncContextManager[ProviderStream]:
        parts = fan_out.split(call, self._max_n)
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
        key = self.key(call)
        response = await self._send(call, self.request_body(call), key)
        try:
            data = await self.read_all(response, MAX_RESPONSE_BYTES)
            samples, usage = self.adapter.read_response(data, call.num_samples)
        except (ErrorEvent, MalformedResponse) as exc:
            raise self.as_provider_error(exc, key) from None  # the cause may contain the key
        finally:
            response.close()
        return ProviderReply(samples, usage, [decoded(data)])

    @asynccontextmanager
    async def _stream(self, call: ProviderCall) -> AsyncGenerator[ProviderStream]:
        key = self.key(call)
        body = self.adapter.stream_body(self.request_body(call))
        response = await self._send(call, body, key)
        stream = HttpStream(self, response, call.num_samples, key)
        try:
            await stream.check_head()
            yield stream
            await stream.finish()
        finally:
            stream.close()

    async def _send(self, call: ProviderCall, body: dict[str, Json], key: str | None) -> ResponseStream:
        """Send a request, with retries, and return the response, whose status is 200 to 299."""
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        headers |= self._extra_headers | self.adapter.headers(call, key)
        request = HttpRequest("POST", self.url(call), headers, msgspec.json.encode(body))
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._attempt(request, key)
            except _Failed as failed:
                error = failed.error
                delay = retry_delay(attempt, jitter=random.random(), retry_after=error.retry_after)
                if not failed.retryable or attempt > self._max_retries or delay is None:
                    raise error from None
            await asyncio.sleep(delay)

    async def _attempt(self, request: HttpRequest, key: str | None) -> ResponseStream:
        response = await self._respond(request)
        if 200 <= response.status <= 299:
            return response
        try:
            message = error_message(await self.read_all(response, _MAX_ERROR_BYTES)) or response.reason
        except ProviderError:
            message = response.reason
        finally:
            response.close()
        message = redact(message or f"status {response.status}, without an explanation", key)
        if response.status == 404:
            message += f" (requested {without_credentials(request.url)})"
        raise _Failed(
            ProviderError(v4_status(response.status), message, self.origin, _retry_after(response.headers)),
            retryable=response.status in (408, 409, 429) or response.status >= 500,
        )

    async def _respond(self, request: HttpRequest, again: bool = True) -> ResponseStream:
        started = time.monotonic()
        try:
            response = await self._transport.send(request, RESPONSE_TIMEOUT)
        except TimeoutError:
            error = ProviderError(503, f"no response within {RESPONSE_TIMEOUT:g} seconds", self.origin)
            raise _Failed(error, retryable=False) from None
        except ApiConnectionError as exc:
            # A kept connection that its server has closed in the meantime breaks at once, before the first byte of a
            # response: nothing was lost, and another connection will work. A later break is a failure of the server.
            if again and self._has_responded and time.monotonic() - started < _STALE_CONNECTION:
                return await self._respond(request, again=False)
            error = ProviderError(503, f"cannot reach the provider{_reason(exc)}", self.origin)
            raise _Failed(error, retryable=True) from exc
        except InvalidArgument as exc:
            error = ProviderError(503, f"the request to the provider is invalid{_reason(exc)}", self.origin)
            raise _Failed(error, retryable=False) from None
        self._has_responded = True
        return response

    async def read(self, response: ResponseStream) -> bytes:
        """Return the bytes that have arrived, with the transport's exceptions as `ProviderError`."""
        try:
            return await response.read(IDLE_TIMEOUT)
        except TimeoutError as exc:
            raise ProviderError(503, f"no data for {IDLE_TIMEOUT:g} seconds within a response", self.origin) from exc
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
    """The chunks of a streamed response, in batches of one read each."""

    def __init__(self, provider: HttpProvider, response: ResponseStream, num_samples: int, key: str | None) -> None:
        self._provider = provider
        self._response = response
        self._num_samples = num_samples
        self._key = key
        self._decoder = EventStreamDecoder()
        self._reader = provider.adapter.reader(num_samples)
        self._failure: ProviderError | None = None  # raised after the chunks before it
        self._ended = False
        self._room = num_samples * MAX_RESPONSE_BYTES
        self._batch: list[ProviderChunk] = []  # to be returned
        self._decoded = 0  # how many bytes of the next read the batch contains already
        self.on_batch: BatchCallback | None = None
        if isinstance(response, AiohttpResponse):
            response.on_data = self._on_data

    @property
    def usage(self) -> Usage | None:
        return self._reader.usage

    def __aiter__(self) -> HttpStream:
        return self

    async def __anext__(self) -> list[ProviderChunk]:
        while not self._batch:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                raise StopAsyncIteration
            data = await self._next_bytes()
            decoded, self._decoded = self._decoded, 0
            if not decoded or len(data) > decoded:
                self._read_events(data[decoded:], self._batch)
        batch, self._batch = self._batch, []
        return batch

    async def check_head(self) -> None:
        """Raise the error of a response that claims to be JSON. Some servers send errors with status 200."""
        if not self._response.headers.get("Content-Type", "").startswith("application/json"):
            return
        data = await self._next_bytes()
        if data.lstrip().startswith(b"{"):
            provider = self._provider
            body = data + await provider.read_all(self._response, MAX_RESPONSE_BYTES)
            with suppress(MalformedResponse):
                try:
                    provider.adapter.read_response(body, 1)
                except ErrorEvent as exc:
                    raise provider.as_provider_error(exc, self._key) from None
            raise provider.as_provider_error(
                MalformedResponse(f"one piece, no stream: {error_message(body)}"), self._key
            )
        self._read_events(data, self._batch)

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
            self._batch = []
            return True
        self._decoded = len(data)
        return False

    def _read_events(self, data: bytes, batch: list[ProviderChunk]) -> None:
        reader = self._reader
        self._room -= len(data)
        try:
            events = self._decoder.feed(data)
        except EventTooLarge as exc:
            events = exc.events
            self._failure = ProviderError(503, str(exc), self._provider.origin)
        try:
            reader.read(events, batch.append)
        except (ErrorEvent, MalformedResponse) as exc:
            self._failure = self._provider.as_provider_error(exc, self._key)
        if self._failure is None and (not data or reader.ended):
            self._ended = True
            if reader.unfinished:
                missing = ", ".join(map(str, sorted(reader.unfinished)))
                message = f"the response ended before sample {missing} had a finish reason"
                if reader.words:
                    message += f": {redact(reader.words, self._key)}"
                self._failure = ProviderError(503, message, self._provider.origin)
        if self._room < 0 and not self._ended and self._failure is None:
            limit = self._num_samples * MAX_RESPONSE_BYTES
            self._failure = ProviderError(503, f"a response above {limit:,} bytes", self._provider.origin)


class _Failed(Exception):
    """A failed attempt, with the error to raise if no other attempt follows."""

    def __init__(self, error: ProviderError, *, retryable: bool) -> None:
        super().__init__(str(error))
        self.error, self.retryable = error, retryable


def redact(message: str, key: str | None) -> str:
    """Return a provider's message, shortened and without keys.

    Some providers repeat the key that they reject, whole or with stars in the middle.
    """
    if key and len(key) >= _SHORTEST_KEY:
        message = message.replace(key, "...")
    return re.sub(r"\b(sk|pk)-[\w*-]{4,}", "...", message)[:MAX_MESSAGE]


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
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno > 0:
        return f": {os.strerror(cause.errno)}"
    return f": {type(cause).__name__}" if cause is not None else ""
