"""``openai``, and every server with an OpenAI-compatible API under a name of its own."""

from __future__ import annotations

import os
import re
import time
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import msgspec

from ...errors import ApiConnectionError, EventTooLarge, InvalidArgument
from ...transport.aiohttp_transport import AiohttpResponse, AiohttpTransport
from ...transport.base import ResponseStream, Transport
from ...types import Json, Usage
from ...wire.requests import HttpRequest
from ...wire.retry import parse_retry_after
from ...wire.sse import EventStreamDecoder
from . import fan_out
from .base import BatchCallback, ProviderCall, ProviderChunk, ProviderError, ProviderReply, ProviderStream, v4_status
from .openai_body import chat_body, completion_body
from .openai_events import ErrorEvent, EventReader, MalformedAnswer, decoded, error_message, read_answer
from .settings import OPENAI_BASE_URL, CompatibleServer

ANSWER_TIMEOUT = 600.0
"""Longest wait for an answer's headers, in seconds; a large prompt, or a whole answer, can take minutes."""
IDLE_TIMEOUT = 120.0
"""Longest silence inside an answer, in seconds."""
MAX_CONNECTIONS = 4096
"""Connections to one provider in one process. Calls beyond them wait; how many there are, `max_generations` bounds."""
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Bound of an answer that is not streamed, and of one that is, for each of its samples."""
MAX_WORDS = 2000
"""Most characters that are passed on of what a provider says."""

_MAX_ERROR_BYTES = 64 * 1024
_TRAILER_TIMEOUT = 1.0  # for the end of a body after its last event, so that the connection can be used again
_STALE_CONNECTION = 1.0  # seconds within which a connection that was closed while kept is noticed

# Models that OpenAI serves at /completions only.
_LEGACY_MODEL = re.compile(r"(ft:)?(davinci-002|babbage-002)(:.*)?|text-.+|.+-instruct(-\d+)?(:.*)?")
_LEGACY_CONTEXT = {"gpt-3.5-turbo-instruct": 4096, "davinci-002": 16_384, "babbage-002": 16_384}  # tokens


class CompatibleProvider:
    """A server with an OpenAI-compatible API.

    Args:
        name: v4 name of the provider.
        server: Where it is, and what it can do.
        origin: Name for people; the v4 name when not given.
        transport: What sends the requests; closed with the provider. An `AiohttpTransport` when not given.
    """

    def __init__(
        self, name: str, server: CompatibleServer, *, origin: str | None = None, transport: Transport | None = None
    ) -> None:
        self.name = name
        self.origin = origin or name
        self._server = server
        self._transport = transport or AiohttpTransport(max_connections=MAX_CONNECTIONS)
        self._answered = False  # whether there may be a kept connection

    def request_body(self, call: ProviderCall) -> dict[str, Json]:
        if self._at_completions(call):
            return completion_body(call)
        return chat_body(call, self.origin)

    async def generate(self, call: ProviderCall) -> ProviderReply:
        parts = fan_out.split(call, self._server.max_n)
        if len(parts) == 1:
            return await self._generate(call)
        return await fan_out.generate_all([(first, self._generate(part)) for first, part in parts])

    def stream(self, call: ProviderCall) -> AbstractAsyncContextManager[ProviderStream]:
        parts = fan_out.split(call, self._server.max_n)
        if len(parts) == 1:
            return self._stream(call)
        return fan_out.stream_all([(first, self._stream(part)) for first, part in parts])

    async def aclose(self) -> None:
        await self._transport.aclose()

    def _at_completions(self, call: ProviderCall) -> bool:
        return call.endpoint == "complete" and self._server.completions

    def _key(self, call: ProviderCall) -> str | None:
        """The key to use: the call's own, where v4 has a field for this provider's, or the server's."""
        own = getattr(call.keys, self.name) if self.name in call.keys.__struct_fields__ else None
        return own or self._server.api_key

    async def _generate(self, call: ProviderCall) -> ProviderReply:
        response = await self._send(call, self.request_body(call))
        try:
            data = await self._read_all(response, MAX_ANSWER_BYTES)
            samples, usage = read_answer(data, call.num_samples)
        except (ErrorEvent, MalformedAnswer) as exc:
            raise self._refusal(exc, self._key(call)) from exc
        finally:
            response.close()
        return ProviderReply(samples, usage, [decoded(data)])

    @asynccontextmanager
    async def _stream(self, call: ProviderCall) -> AsyncGenerator[ProviderStream]:
        body = self.request_body(call)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        response = await self._send(call, body)
        try:
            stream = OpenAIStream(self, response, call.num_samples, self._key(call))
            if response.headers.get("Content-Type", "").startswith("application/json"):
                await stream.expect_refusal()
            yield stream
            await stream.finish()
        finally:
            response.close()

    async def _send(self, call: ProviderCall, body: dict[str, Json]) -> ResponseStream:
        """Send the call and return the answer once it is known to be a good one."""
        key = self._key(call)
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if key is not None:
            if not key.isascii() or not key.isprintable():
                raise ProviderError(401, "the API key holds characters that no key has", self.origin)
            headers["Authorization"] = f"Bearer {key}"
        path = "/completions" if self._at_completions(call) else "/chat/completions"
        request = HttpRequest("POST", self._server.base_url + path, headers, msgspec.json.encode(body))
        response = await self._answer(request)
        if 200 <= response.status <= 299:
            return response
        try:
            words = error_message(await self._read_all(response, _MAX_ERROR_BYTES)) or response.reason
        finally:
            response.close()
        raise ProviderError(
            v4_status(response.status),
            _shown(words or f"status {response.status}, without an explanation", key),
            self.origin,
            parse_retry_after(response.headers),
        )

    async def _answer(self, request: HttpRequest, again: bool = True) -> ResponseStream:
        started = time.monotonic()
        try:
            response = await self._transport.send(request, ANSWER_TIMEOUT)
        except TimeoutError as exc:
            raise ProviderError(503, f"no answer within {ANSWER_TIMEOUT:g} seconds", self.origin) from exc
        except ApiConnectionError as exc:
            # A kept connection that its server has closed meanwhile breaks at once, before any byte of an answer:
            # nothing was lost, and another connection will do. What takes longer is a failure of the server.
            if again and self._answered and time.monotonic() - started < _STALE_CONNECTION:
                return await self._answer(request, again=False)
            raise ProviderError(503, f"cannot reach the provider{_reason(exc)}", self.origin) from exc
        except InvalidArgument as exc:
            raise ProviderError(503, "no request can be sent to the provider's base URL", self.origin) from exc
        self._answered = True
        return response

    async def _read(self, response: ResponseStream) -> bytes:
        try:
            return await response.read(IDLE_TIMEOUT)
        except TimeoutError as exc:
            raise ProviderError(503, f"silent for {IDLE_TIMEOUT:g} seconds inside an answer", self.origin) from exc
        except ApiConnectionError as exc:
            raise ProviderError(503, f"the connection broke inside an answer{_reason(exc)}", self.origin) from exc

    async def _read_all(self, response: ResponseStream, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while data := await self._read(response):
            parts.append(data)
            size += len(data)
            if size > limit:
                raise ProviderError(503, f"an answer above {limit:,} bytes", self.origin)
        return b"".join(parts)

    def _refusal(self, exc: ErrorEvent | MalformedAnswer, key: str | None) -> ProviderError:
        if isinstance(exc, ErrorEvent):
            return ProviderError(v4_status(exc.status), _shown(exc.message, key), self.origin)
        return ProviderError(503, _shown(f"an answer that is not as documented: {exc}", key), self.origin)


class OpenAIProvider(CompatibleProvider):
    """OpenAI, or what stands in for it at ``OPENAI_BASE_URL``: needs a key, and knows which models are legacy."""

    def __init__(
        self, base_url: str = OPENAI_BASE_URL, api_key: str | None = None, transport: Transport | None = None
    ) -> None:
        server = CompatibleServer(base_url=base_url, api_key=api_key, completions=True, max_n=128)
        super().__init__("openai", server, origin="OpenAI", transport=transport)

    def request_body(self, call: ProviderCall) -> dict[str, Json]:
        body = super().request_body(call)
        if self._at_completions(call):
            # Left out, it means 16 there. How many fit is known only to the tokenizer; a token is seldom less
            # than two bytes, so half the prompt's bytes are room enough for it.
            room = _LEGACY_CONTEXT.get(call.model, 2048) - len(call.prompt.encode()) // 2
            body.setdefault("max_tokens", max(room, 16))
        return body

    def _at_completions(self, call: ProviderCall) -> bool:
        return super()._at_completions(call) and _LEGACY_MODEL.fullmatch(call.model) is not None

    def _key(self, call: ProviderCall) -> str:
        if key := super()._key(call):
            return key
        words = "no API key: set OPENAI_API_KEY for the server, or send provider_api_keys.openai with the request"
        raise ProviderError(401, words, self.origin)


class OpenAIStream:
    """Chunks of a streamed answer, in batches of what one read held."""

    def __init__(
        self, provider: CompatibleProvider, response: ResponseStream, num_samples: int, key: str | None
    ) -> None:
        self._provider = provider
        self._response = response
        self._key = key
        self._decoder = EventStreamDecoder()
        self._reader = EventReader(num_samples)
        self._failure: ProviderError | None = None  # raised once the chunks before it are handed over
        self._ended = False
        self._room = num_samples * MAX_ANSWER_BYTES
        self._batch: list[ProviderChunk] = []  # to be handed over
        self._decoded = 0  # how many of the bytes that the next read brings are in it already
        self.on_batch: BatchCallback | None = None
        if isinstance(response, AiohttpResponse):
            response.on_data = self._on_data

    @property
    def usage(self) -> Usage | None:
        return self._reader.usage

    def __aiter__(self) -> OpenAIStream:
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

    async def expect_refusal(self) -> None:
        """Read the beginning of an answer that says it is JSON. Some servers refuse with status 200; others stream."""
        data = await self._next_bytes()
        if data.lstrip().startswith(b"{"):
            provider = self._provider
            body = data + await provider._read_all(self._response, MAX_ANSWER_BYTES)
            with suppress(MalformedAnswer):
                try:
                    read_answer(body, 1)
                except ErrorEvent as exc:
                    raise provider._refusal(exc, self._key) from exc
            raise provider._refusal(MalformedAnswer(f"one piece, no stream: {error_message(body)}"), self._key)
        self._read_events(data, self._batch)

    async def finish(self) -> None:
        """Read the rest of a body that has no more events, which gives its connection back."""
        if self._reader.ended and self._failure is None:
            try:
                while await self._response.read(_TRAILER_TIMEOUT):
                    pass
            except (TimeoutError, ApiConnectionError):
                pass

    async def _next_bytes(self) -> bytes:
        try:
            return await self._provider._read(self._response)
        except ProviderError:
            if self._reader.unfinished:
                raise
            return b""  # every sample is whole: what is missing is the usage at most

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
        except (ErrorEvent, MalformedAnswer) as exc:
            self._failure = self._provider._refusal(exc, self._key)
        if self._failure is None and (not data or reader.ended):
            self._ended = True
            if reader.unfinished:
                missing = ", ".join(map(str, sorted(reader.unfinished)))
                words = f"the answer ended before sample {missing} had a finish reason"
                if reader.words:
                    words += f": {_shown(reader.words, self._key)}"
                self._failure = ProviderError(503, words, self._provider.origin)
        if self._room < 0 and not self._ended and self._failure is None:
            self._failure = ProviderError(503, "an answer that does not end", self._provider.origin)


def _shown(words: str, key: str | None) -> str:
    """A provider's words without keys: some repeat the key they refuse, whole or with its middle blotted out."""
    if key:
        words = words.replace(key, "...")
    return re.sub(r"\b(sk|pk)-[\w*-]{4,}", "...", words)[:MAX_WORDS]


def _reason(exc: ApiConnectionError) -> str:
    """What kind of failure it was. Its words are not for callers: they hold addresses, and what could not be read."""
    cause = exc.__cause__
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno > 0:
        return f": {os.strerror(cause.errno)}"
    return f": {type(cause).__name__}" if cause is not None else ""
