"""``anthropic``: the Messages API.

Sources, read on 2026-11-30: platform.claude.com/docs/en/api/messages, .../build-with-claude/streaming,
.../api/versioning, .../api/errors and .../docs/en/models; the types of ``anthropic`` 2.14.0 on PyPI.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
from msgspec import Struct

from ...types import (
    ChatMessage,
    FunctionTool,
    ImageChatContent,
    Json,
    TextChatContent,
    ToolCall,
    ToolChoice,
    ToolChoiceValue,
    Usage,
)
from ...wire.requests import drop_nulls
from .base import ProviderCall, ProviderChunk, ProviderSample
from .capabilities import Capabilities
from .messages import call_messages, merged, message_text, tool_arguments, tool_result_id
from .reading import UNDECODABLE, ErrorEvent, MalformedResponse, repaired, token_count
from .single_sample import SingleSampleAdapter, SingleSampleReader, v4_finish_reason

ORIGIN = "Anthropic"
BASE_URL = "https://api.anthropic.com"

CAPABILITIES = Capabilities(
    native_samples=False,
    penalties=False,
    unlimited=False,
    seed=False,
    json_object=False,
    completions=False,
    budget=True,
)

VERSION = "2026-10-21"
SAMPLING_VERSION = "2023-06-01"
"""The latest version of the API with `temperature` and `top_p`. Calls that set neither use `VERSION`."""

# The largest `max_tokens` of each model. The API requires a limit, and rejects a larger one.
_OUTPUT_LIMITS = (
    (re.compile(r"claude-3-(opus|sonnet|haiku)"), 4096),
    (re.compile(r"claude-3-5"), 8192),
    (re.compile(r"claude-3-7|claude-(sonnet|haiku)-4(-5)?($|-\d{8})|claude-opus-4-5|claude-sonnet-4-0"), 64_000),
    (re.compile(r"claude-opus-4(-[01])?($|-\d{8})"), 32_000),
    (re.compile(r"claude-"), 128_000),
)
_UNKNOWN_MODEL_LIMIT = 4096

_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""HTTP statuses of the error types, which an error event does not contain."""

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_call",
}


class AnthropicAdapter(SingleSampleAdapter):
    """The wire format of the Messages API."""

    capabilities = CAPABILITIES

    def path(self, call: ProviderCall) -> str:
        return "/v1/messages"

    def headers(self, call: ProviderCall, key: str | None) -> dict[str, str]:
        if call.temperature != 1 or call.top_p != 1 or call.other.keys() & {"temperature", "top_p", "top_k"}:
            return {"anthropic-version": SAMPLING_VERSION} | ({"x-api-key": key} if key else {})
        # Both headers: the SDKs of this version send the second one, and gateways made for the first read only that.
        keys = {"x-api-key": key, "Authorization": f"Bearer {key}"} if key else {}
        return {"anthropic-version": VERSION} | keys

    def body(self, call: ProviderCall) -> dict[str, Json]:
        return message_body(call)

    def read_response(self, data: bytes, num_samples: int) -> tuple[list[ProviderSample], Usage | None]:
        return read_message(data)

    def reader(self, num_samples: int) -> MessageReader:
        return MessageReader()


def message_body(call: ProviderCall) -> dict[str, Json]:
    """Return the body for ``/v1/messages``.

    System messages become the top-level `system`, and results of tools become blocks of a user message.

    Raises:
        ProviderError: A message cannot be expressed in the API (422).
    """
    messages = call_messages(call)
    body: dict[str, Json] = {"model": call.model, "messages": _messages(messages)}
    if system := [text for message in messages if message.role == "system" if (text := message_text(message))]:
        body["system"] = "\n\n".join(system)
    if call.temperature != 1:
        body["temperature"] = call.temperature
    if call.top_p != 1:
        body["top_p"] = call.top_p
    if call.stop:
        body["stop_sequences"] = list(call.stop)
    if call.user is not None:
        body["metadata"] = {"user_id": call.user}
    if call.tools:
        body["tools"] = [
            drop_nulls(
                {
                    "name": tool.name,
                    "description": tool.description,
                    "input_schema": tool.parameters or {"type": "object", "properties": {}},
                    "strict": tool.strict,
                }
            )
            for tool in call.tools
        ]
        if call.tool_choice is not None:
            body["tool_choice"] = _tool_choice(call.tool_choice)
    output: dict[str, Json] = {}
    if call.response_format is not None:
        output["format"] = {"type": "json_schema", "schema": _schema(call.response_format.json_schema or {})}
    if isinstance(call.reasoning_effort, int):
        body["thinking"] = {"type": "enabled", "budget_tokens": call.reasoning_effort}
    elif call.reasoning_effort is not None:
        output["effort"] = call.reasoning_effort
        body["thinking"] = {"type": "adaptive", "display": "summarized"}
    if output:
        body["output_config"] = output
    body = merged(body, call.other)
    body["max_tokens"] = call.max_tokens or output_limit(call.model)
    return body


def output_limit(model: str) -> int:
    """Return the largest `max_tokens` of a model."""
    return next((limit for pattern, limit in _OUTPUT_LIMITS if pattern.match(model)), _UNKNOWN_MODEL_LIMIT)


def _schema(json_schema: dict[str, Json]) -> Json:
    """Return the schema in OpenAI's form, ``{"name": ..., "schema": {...}}``, or the schema itself."""
    schema = json_schema.get("schema")
    return schema if isinstance(schema, dict) else json_schema


def _tool_choice(choice: ToolChoiceValue) -> Json:
    if isinstance(choice, ToolChoice):
        return {"type": "tool", "name": choice.function.name}
    return {"type": "any" if choice == "required" else choice}


def _messages(messages: list[ChatMessage]) -> list[Json]:
    done: list[Json] = []
    results: list[Json] = []  # those of one assistant message must be in one user message
    for message in messages:
        if message.role == "tool":
            if not results:
                done.append({"role": "user", "content": results})
            result: dict[str, Json] = {"type": "tool_result", "tool_use_id": tool_result_id(message, ORIGIN)}
            if content := _content(message):
                result["content"] = content
            results.append(result)
            continue
        results = []
        content = _content(message)
        if message.role == "assistant":
            calls: list[Json] = [
                {
                    "type": "tool_use",
                    "id": tool_call.id,
                    "name": tool_call.function.name,
                    "input": tool_arguments(tool_call, ORIGIN),
                }
                for tool_call in message.tool_calls or ()
            ]
            thinking: list[Json] = [drop_nulls(msgspec.to_builtins(block)) for block in message.thinking or ()]
            if calls or thinking:
                text: list[Json] = [{"type": "text", "text": content}] if isinstance(content, str) else content
                content = [*thinking, *(text if content else ()), *calls]
        if content and message.role != "system":  # the API rejects empty content
            done.append({"role": message.role, "content": content})
    return done


def _content(message: ChatMessage) -> str | list[Json]:
    if not isinstance(message.content, list):
        return message.content or ""
    blocks: list[Json] = []
    for part in message.content:
        if isinstance(part, TextChatContent):
            if part.text:
                blocks.append({"type": "text", "text": part.text})
        else:
            blocks.append({"type": "image", "source": _image_source(part)})
    return blocks


def _image_source(part: ImageChatContent) -> Json:
    url = part.image_url.url
    if data := re.fullmatch(r"data:([\w/+.-]+);base64,(.*)", url, re.DOTALL):
        return {"type": "base64", "media_type": data[1], "data": data[2]}
    return {"type": "url", "url": url}


class _Block(Struct, gc=False):
    """A content block."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw()


class _Delta(Struct, gc=False):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Message(Struct, gc=False):
    content: list[msgspec.Raw] = msgspec.field(default_factory=list[msgspec.Raw])
    stop_reason: str | None = None
    usage: Json = None


_NOTHING = msgspec.Raw(b"{}")


class _Typed(Struct, gc=False):
    type: str = ""


class _Event(Struct, gc=False):
    type: str = ""
    index: int = 0
    message: Json = None  # in an error of another shape it is text
    content_block: msgspec.Raw = _NOTHING
    delta: msgspec.Raw = _NOTHING
    usage: Json = None
    error: Json = None


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_message = msgspec.json.Decoder(_Message).decode
_decode_block = msgspec.json.Decoder(_Block).decode
_decode_delta = msgspec.json.Decoder(_Delta).decode
_decode_type = msgspec.json.Decoder(_Typed).decode


def _block(raw: msgspec.Raw) -> _Block | None:
    """Return a content block, or None if it is of a type that is not read, whatever its fields."""
    if _decode_type(raw).type not in ("text", "thinking", "tool_use"):
        return None
    return _decode_block(raw)


def _delta(raw: msgspec.Raw) -> _Delta:
    """Return a delta; one of a type that is not read has only its type."""
    kind = _decode_type(raw).type
    if kind in ("text_delta", "thinking_delta", "input_json_delta"):
        return _decode_delta(raw)
    return _Delta(type=kind)


class _ToolUse:
    def __init__(self, block: _Block) -> None:
        self._id, self._name = block.id or "", block.name or ""
        self._input = bytes(block.input)
        self.pieces: list[str] = []

    def whole(self) -> ToolCall:
        arguments = "".join(self.pieces) or self._input.decode() or "{}"
        return ToolCall(id=self._id, function=FunctionTool(name=self._name, arguments=arguments))


class MessageReader(SingleSampleReader):
    """Reads the events of one message; see `EventReader`. Events, blocks and deltas of unknown types are skipped."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[int, _ToolUse] = {}
        self._usage: dict[str, Json] = {}

    @property
    def usage(self) -> Usage | None:
        return _usage(self._usage)

    def read_event(self, data: bytes, emit: Callable[[ProviderChunk], object]) -> None:
        event = _decode_event(data)
        kind = event.type
        if kind == "content_block_delta":
            delta = _delta(event.delta)
            if delta.partial_json is None:
                self.emit_text(emit, data, delta.text, delta.thinking)
            else:
                if event.index in self._calls:  # else it is the input of a tool that the provider runs
                    self._calls[event.index].pieces.append(delta.partial_json)
                self.emit_progress(emit, data)
        elif kind == "content_block_start":
            if (block := _block(event.content_block)) is None:
                return
            if block.type == "tool_use":
                self._calls[event.index] = _ToolUse(block)
            else:
                self.emit_text(emit, data, block.text, block.thinking)
        elif kind == "message_start":
            if isinstance(event.message, dict):
                self._count(event.message.get("usage"))
        elif kind == "message_delta":
            self._count(event.usage)
            if reason := _decode_delta(event.delta).stop_reason:
                self._finish(emit, data, reason)
        elif kind == "message_stop":
            self.ended = True
            self._finish(emit, data, "unknown")
        elif kind == "error" or event.error:
            raise _error_event(event.error, event.message)

    def _finish(self, emit: Callable[[ProviderChunk], object], data: bytes, reason: str) -> None:
        calls = [call.whole() for _, call in sorted(self._calls.items())]
        self.emit_end(emit, data, _FINISH_REASONS.get(reason, reason), calls)

    def _count(self, usage: Json) -> None:
        if isinstance(usage, dict):  # the counts are cumulative; a missing one keeps its value
            self._usage |= {name: value for name, value in usage.items() if value is not None}


def read_message(data: bytes) -> tuple[list[ProviderSample], Usage | None]:
    """Return the sample and the token counts of an unstreamed response.

    Raises:
        MalformedResponse: It is not a finished message.
        ErrorEvent: It is an error.
    """
    try:
        try:
            _decode_event(data)
        except UNDECODABLE:
            data = repaired(data)
        event = _decode_event(data)
        if event.type == "error" or event.error:
            raise _error_event(event.error, event.message)
        message = _decode_message(data)
        blocks = [block for raw in message.content if (block := _block(raw)) is not None]
    except UNDECODABLE as exc:
        raise MalformedResponse.undecodable(exc, data) from exc
    if message.stop_reason is None:
        raise MalformedResponse(f"the message has no stop reason: {data.decode(errors='replace')}")
    calls = [_ToolUse(block).whole() for block in blocks if block.type == "tool_use"]
    sample = ProviderSample(
        0,
        "".join(block.text or "" for block in blocks if block.type == "text"),
        v4_finish_reason(_FINISH_REASONS.get(message.stop_reason, message.stop_reason), bool(calls)),
        calls or None,
        "".join(block.thinking or "" for block in blocks if block.type == "thinking"),
    )
    return [sample], _usage(message.usage)


def _usage(counts: Json) -> Usage | None:
    if not isinstance(counts, dict) or not counts:
        return None
    prompt = sum(
        token_count(counts.get(name)) or 0
        for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    )
    generated = token_count(counts.get("output_tokens")) or 0
    details = counts.get("output_tokens_details")
    return Usage(
        prompt_tokens=prompt,
        generation_tokens=generated,
        total_tokens=prompt + generated,
        reasoning_tokens=token_count(details.get("thinking_tokens")) if isinstance(details, dict) else None,
    )


def _error_event(error: Json, message: Json) -> ErrorEvent:
    if isinstance(error, dict):
        kind, message = error.get("type"), error.get("message")
        status = _STATUSES.get(kind, 503) if isinstance(kind, str) else 503
        return ErrorEvent(status, message if isinstance(message, str) and message else str(kind))
    return ErrorEvent(503, str(error or message or "an error without an explanation"))
