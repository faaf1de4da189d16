"""A server with OpenAI's chat completions API, called through this package's transport and event decoder."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from time import perf_counter
from typing import Any, cast

import msgspec
from msgspec import Struct

from ..client.core import base_headers
from ..errors import (
    ApiConnectionError,
    ApiException,
    ConnectTimeout,
    EventTooLarge,
    FirstTokenTimeout,
    IdleTimeout,
    InvalidEvent,
    InvalidResponse,
    StreamTruncated,
    status_error,
)
from ..transport.base import Transport
from ..wire.requests import HttpRequest, encode_body
from ..wire.responses import decode_error
from ..wire.sse import EventStreamDecoder
from .prompts import Prompt
from .recording import OK, Record
from .settings import TargetSettings
from .timed import TimedResponse, TimedTransport

_MAX_ERROR_BODY = 64 * 1024
_DRAIN = 0.5
_DONE = b"[DONE]"


# Not tracked by the garbage collector: decoded JSON has no cycles.
class _Delta(Struct, gc=False):
    content: str | list[Any] | None = None  # Mistral sends parts
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[Any] | None = None


class _Choice(Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Usage(Struct, gc=False):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Event(Struct, gc=False):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


def _texts(delta: _Delta) -> Iterator[str]:
    """Yield the text of a delta: content, reasoning, and names and arguments of tool calls."""
    content = delta.content
    yield from _strings(content, "text") if isinstance(content, list) else [content or ""]
    yield delta.reasoning_content or delta.reasoning or ""
    for call in delta.tool_calls or ():
        if isinstance(call, dict):
            yield from _strings([cast("dict[str, Any]", call).get("function")], "name", "arguments")


def _strings(parts: list[Any], *names: str) -> Iterator[str]:
    for part in parts:
        fields = cast("dict[str, Any]", part) if isinstance(part, dict) else {}
        yield from (value for name in names if isinstance(value := fields.get(name), str))


_decode = msgspec.json.Decoder(_Event).decode


class OpenAITarget:
    """Streams ``POST /chat/completions``."""

    def __init__(self, settings: TargetSettings, transport: TimedTransport) -> None:
        self._settings = settings
        self._transport = transport
        self._url = f"{settings.base_url}/chat/completions"
        self._headers = base_headers(None, None) | {"accept": "text/event-stream", "accept-encoding": "identity"}
        if settings.api_key is not None:
            self._headers["authorization"] = f"Bearer {settings.api_key}"

    async def stream(self, prompt: Prompt, record: Record) -> None:
        """Stream one chat completion; see `Target.stream`."""
        record.arrivals = [array("d") for _ in range(self._settings.num_samples)]
        texts: list[list[str]] | None = [[] for _ in record.arrivals] if self._settings.keep_text else None
        request = HttpRequest("POST", self._url, self._headers, encode_body(self._body(prompt)))
        response: TimedResponse | None = None
        record.sent = perf_counter()
        try:
            response = await self._open(request)
            await _Reading(record, response, self._settings.timeout, texts).read()
            record.outcome = OK
        except ApiException as exc:
            record.fail(exc, opened=response is not None)
        finally:
            record.ended = record.ended or perf_counter()
            record.texts = ["".join(pieces) for pieces in texts or ()]
            if response is not None:
                response.close()

    def _body(self, prompt: Prompt) -> dict[str, object]:
        settings = self._settings
        body: dict[str, object] = {"model": settings.model, "messages": prompt.messages, "stream": True}
        if settings.ask_usage:
            body["stream_options"] = {"include_usage": True}
        if (max_tokens := prompt.max_tokens or settings.max_tokens) is not None:
            body["max_tokens"] = max_tokens
        if settings.num_samples > 1:
            body["n"] = settings.num_samples
        if settings.temperature is not None:
            body["temperature"] = settings.temperature
        return {**body, **settings.extra}

    async def _open(self, request: HttpRequest) -> TimedResponse:
        try:
            response = await self._transport.send(request, self._settings.timeout)
        except TimeoutError as exc:
            raise ConnectTimeout(f"no response headers within {self._settings.timeout:g} s") from exc
        if response.status == 200:
            return response
        raw = b""
        try:
            while len(raw) < _MAX_ERROR_BODY and (data := await response.read(5.0)):
                raw += data
        except (TimeoutError, ApiConnectionError):
            pass
        finally:
            response.close()
        raise decode_error(response.status, response.reason, response.headers, raw)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


class _Reading:
    """One stream while it is read."""

    def __init__(self, record: Record, response: TimedResponse, timeout: float, texts: list[list[str]] | None) -> None:
        self._record = record
        self._texts = texts
        self._response = response
        self._timeout = timeout
        self._last_token = record.sent
        self._unfinished = set(range(len(record.arrivals)))
        self._done = False
        self._started = False

    async def read(self) -> None:
        """Read to the end of the response body.

        Raises:
            ApiException: The stream failed or ended early.
        """
        decoder = EventStreamDecoder()
        cause: ApiConnectionError | None = None
        while not self._done:
            try:
                data = await self._response.read(max(0.0, self._last_token + self._timeout - perf_counter()))
            except TimeoutError as exc:
                raise self._timeout_error() from exc
            except ApiConnectionError as exc:
                cause = exc
                break
            if not data:
                break
            try:
                self._take(decoder.feed(data))
                while self._response.has_kept and not self._done:
                    self._take(decoder.feed(self._response.take()))
            except EventTooLarge as exc:
                self._take(exc.events)
                raise
        self._record.ended = perf_counter()
        if self._unfinished:
            raise self._truncated() from cause
        if self._done:
            await self._drain()

    async def _drain(self) -> None:
        """Read the end of the body, so that the connection is reused."""
        try:
            while await self._response.read(_DRAIN):
                pass
        except (TimeoutError, ApiConnectionError):
            pass

    def _take(self, events: list[bytes]) -> None:
        arrived = self._response.arrived
        arrivals = self._record.arrivals
        for data in events:
            try:
                event = _decode(data)
            except (msgspec.DecodeError, UnicodeDecodeError) as exc:
                if data.strip() == _DONE:
                    self._done = True
                    return
                raise InvalidEvent(f"received an event that is not a chat completion chunk: {exc}", data) from exc
            self._started = True
            if event.error is not None:
                raise _error(event.error)
            for choice in event.choices:
                if not 0 <= choice.index < len(arrivals):
                    raise InvalidEvent(f"received a chunk with index {choice.index} of {len(arrivals)} sample(s)", data)
                delta = choice.delta
                if delta and (delta.content or delta.reasoning_content or delta.reasoning or delta.tool_calls):
                    arrivals[choice.index].append(arrived)
                    self._last_token = arrived
                    if self._texts is not None:
                        self._texts[choice.index] += _texts(delta)
                if choice.finish_reason is not None:
                    self._unfinished.discard(choice.index)
            if event.usage is not None:
                self._record.prompt_tokens = event.usage.prompt_tokens
                self._record.tokens = event.usage.completion_tokens

    def _timeout_error(self) -> ApiException:
        if self._record.chunks:
            return IdleTimeout(f"no further token within {self._timeout:g} s")
        return FirstTokenTimeout(f"no token within {self._timeout:g} s")

    def _truncated(self) -> ApiException:
        kind = self._response.headers.get("Content-Type", "")
        if not self._started and not kind.startswith("text/event-stream"):
            return InvalidResponse(f"expected an event stream, got {kind or 'a body of unknown type'}")
        missing = ", ".join(map(str, sorted(self._unfinished)))
        return StreamTruncated(f"the stream ended before sample {missing} had a finish_reason")


def _error(error: Any) -> ApiException:
    code = cast("dict[str, Any]", error).get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) and 400 <= code <= 599 else 500
    return status_error(status, {"detail": error})


async def list_models(base_url: str, api_key: str | None, transport: Transport) -> list[str]:
    """Return the names of a server's models (``GET /models``).

    Raises:
        ApiException: The server is unreachable or has no such list.
    """
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        response = await transport.send(HttpRequest("GET", f"{base_url}/models", headers), 10.0)
        raw = b""
        while data := await response.read(10.0):
            raw += data
    except TimeoutError as exc:
        raise ConnectTimeout(f"no list of models from {base_url} within 10 s") from exc
    if response.status != 200:
        raise decode_error(response.status, response.reason, response.headers, raw)
    try:
        models = msgspec.json.decode(raw, type=_Models)
    except msgspec.DecodeError as exc:
        raise InvalidResponse(f"{base_url}/models is not a list of models: {exc}") from exc
    return [model.id for model in models.data]


class _Model(Struct):
    id: str


class _Models(Struct):
    data: list[_Model]
