"""``cohere``: version 2 of the Chat API.

Sources, read on 2026-11-30: docs.cohere.com/v2/reference/chat, docs.cohere.com/v2/docs/streaming,
docs.cohere.com/docs/tool-use-streaming, docs.cohere.com/v2/reference/errors; the types of ``cohere`` 7.3.1 on PyPI.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct, field

from ...types import ChatMessage, FunctionTool, Json, ModelConfigTool, ToolCall, ToolChoice, Usage
from ...wire.requests import drop_nulls
from .base import ProviderCall, ProviderChunk, ProviderError, ProviderSample
from .capabilities import Capabilities
from .messages import call_messages, merged, tool_result_id
from .reading import UNDECODABLE, ErrorEvent, MalformedResponse, decoded, error_message, repaired, token_count
from .single_sample import SingleSampleAdapter, SingleSampleReader, v4_finish_reason

ORIGIN = "Cohere"
BASE_URL = "https://api.cohere.com"

CAPABILITIES = Capabilities(
    native_samples=False, completions=False, user=False, effort=False, budget=True, reasoning_tokens=False
)

_LARGEST_P = 0.99

_FINISH_REASONS = {"COMPLETE": "stop", "STOP_SEQUENCE": "stop", "MAX_TOKENS": "length", "TOOL_CALL": "tool_call"}
_FAILED = ("ERROR", "TIMEOUT")


class CohereAdapter(SingleSampleAdapter):
    """The wire format of ``/v2/chat``."""

    capabilities = CAPABILITIES

    def path(self, call: ProviderCall) -> str:
        return "/v2/chat"

    def headers(self, call: ProviderCall, key: str | None) -> dict[str, str]:
        return {} if key is None else {"Authorization": f"Bearer {key}"}

    def body(self, call: ProviderCall) -> dict[str, Json]:
        return chat_body(call)

    def read_response(self, data: bytes, num_samples: int) -> tuple[list[ProviderSample], Usage | None]:
        return read_response(data)

    def reader(self, num_samples: int) -> ChatReader:
        return ChatReader()


def chat_body(call: ProviderCall) -> dict[str, Json]:
    """Return the body for ``/v2/chat``.

    `temperature` and `p` are always sent: the API's defaults, 0.3 and 0.75, are not v4's.

    Raises:
        ProviderError: The call contains something that the API cannot express (422).
    """
    body: dict[str, Json] = {
        "model": call.model,
        "messages": [_message(message) for message in call_messages(call)],
        "temperature": call.temperature,
        "p": min(call.top_p, _LARGEST_P),
    }
    if call.stop:
        body["stop_sequences"] = list(call.stop)
    if call.presence_penalty:
        body["presence_penalty"] = call.presence_penalty
    if call.frequency_penalty:
        body["frequency_penalty"] = call.frequency_penalty
    if call.seed is not None:
        body["seed"] = call.seed
    if call.response_format is not None:
        response_format: dict[str, Json] = {"type": "json_object"}
        if call.response_format.type == "json_schema":
            json_schema = call.response_format.json_schema or {}
            schema = json_schema.get("schema")  # OpenAI's form
            response_format["json_schema"] = schema if isinstance(schema, dict) else json_schema
        body["response_format"] = response_format
    if isinstance(call.reasoning_effort, int):
        body["thinking"] = {"type": "enabled", "token_budget": call.reasoning_effort}
    body |= _tools(call)
    body = merged(body, call.other)
    if call.max_tokens is not None:
        body["max_tokens"] = call.max_tokens
    return body


def _tools(call: ProviderCall) -> dict[str, Json]:
    tools, choice = call.tools, call.tool_choice
    if isinstance(choice, ToolChoice):  # the API can only require a call; offering one tool decides which
        tools = [tool for tool in tools if tool.name == choice.function.name]
        if not tools:
            raise ProviderError(422, f"tool_choice: there is no tool {choice.function.name!r}", ORIGIN)
        choice = "required"
    if not tools:
        return {}
    body: dict[str, Json] = {"tools": [_tool(tool) for tool in tools]}
    if any(tool.strict for tool in tools):
        body["strict_tools"] = True
    if choice in ("required", "none"):
        body["tool_choice"] = choice.upper()
    return body


def _tool(tool: ModelConfigTool) -> Json:
    parameters = tool.parameters or {"type": "object", "properties": {}}
    function = drop_nulls({"name": tool.name, "description": tool.description, "parameters": parameters})
    return {"type": "function", "function": function}


def _message(message: ChatMessage) -> Json:
    content: Json
    if isinstance(message.content, list):
        content = [_part(part) for part in msgspec.to_builtins(message.content)]
    else:
        content = message.content
    done: dict[str, Json] = {"role": message.role}
    if message.role == "tool":
        done["tool_call_id"] = tool_result_id(message, ORIGIN)
    if message.role == "assistant" and message.tool_calls:
        done["tool_calls"] = [msgspec.to_builtins(tool_call) for tool_call in message.tool_calls]
    if content or "tool_calls" not in done:
        done["content"] = content or ""
    return done


def _part(part: dict[str, Json]) -> Json:
    image = part.get("image_url")
    if isinstance(image, dict):
        part["image_url"] = drop_nulls(image)
    return part


class _Content(Struct, gc=False):
    type: str = ""
    text: str | None = None
    thinking: str | None = None


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(Struct, gc=False):
    id: str | None = None
    function: _Function | None = None


class _Message(Struct, gc=False):
    content: list[_Content] | _Content | None = None
    tool_calls: list[_ToolCall] | _ToolCall | None = None
    tool_plan: str | None = None


class _Delta(Struct, gc=False):
    message: _Message | None = None
    finish_reason: str | None = None
    usage: Json = None
    error: str | None = None


class _Typed(Struct, gc=False):
    type: str = ""


class _Event(Struct, gc=False):
    type: str = ""
    index: int = 0
    delta: _Delta | None = None


class _Response(Struct, gc=False):
    message: _Message | None = None
    finish_reason: str | None = None
    usage: Json = None


_READ = ("content-start", "content-delta", "tool-plan-delta", "tool-call-start", "tool-call-delta", "message-end")

_decode_type = msgspec.json.Decoder(_Typed).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_response = msgspec.json.Decoder(_Response).decode


class _PartialCall(Struct):
    id: str
    name: str = ""
    pieces: list[str] = field(default_factory=list[str])

    def whole(self) -> ToolCall:
        return ToolCall(id=self.id, function=FunctionTool(name=self.name, arguments="".join(self.pieces) or "{}"))


class ChatReader(SingleSampleReader):
    """Reads the events of one response; see `EventReader`. Events of unknown types are skipped.

    The plan that a model makes before it calls tools counts as reasoning.
    """

    def __init__(self) -> None:
        super().__init__()
        self.usage: Usage | None = None
        self._calls: dict[int, _PartialCall] = {}

    def read_event(self, data: bytes, emit: Callable[[ProviderChunk], object]) -> None:
        if data.strip() == b"[DONE]":
            self.ended = True
            return
        event = _decode_event(data) if _decode_type(data).type in _READ else _Event()
        delta = event.delta or _Delta()
        message = delta.message or _Message()
        if event.type in ("content-start", "content-delta"):
            text, thinking = _texts(message.content)
            self.emit_text(emit, data, text, thinking)
        elif event.type == "tool-plan-delta":
            self.emit_text(emit, data, "", message.tool_plan or "")
        elif event.type in ("tool-call-start", "tool-call-delta"):
            self._add_call(event.index, message.tool_calls)
            self.emit_progress(emit, data)
        elif event.type == "message-end":
            self.usage = _usage(delta.usage)
            self.ended = True
            self._finish(emit, data, delta)
        elif isinstance(found := decoded(data), dict) and "type" not in found and found.get("message"):
            self.words = error_message(data)

    def _add_call(self, index: int, pieces: list[_ToolCall] | _ToolCall | None) -> None:
        for piece in [pieces] if isinstance(pieces, _ToolCall) else pieces or ():
            call = self._calls.setdefault(index, _PartialCall(f"call_{index}"))
            call.id = piece.id or call.id
            if piece.function is not None:
                call.name = call.name or piece.function.name or ""
                if piece.function.arguments:
                    call.pieces.append(piece.function.arguments)

    def _finish(self, emit: Callable[[ProviderChunk], object], data: bytes, delta: _Delta) -> None:
        if not self.unfinished:
            return
        reason = delta.finish_reason or "unknown"
        if delta.error or reason in _FAILED:
            raise ErrorEvent(503, delta.error or f"the generation ended with {reason}")
        calls = [call.whole() for _, call in sorted(self._calls.items())]
        self.emit_end(emit, data, _finish_reason(reason), calls)


def read_response(data: bytes) -> tuple[list[ProviderSample], Usage | None]:
    """Return the sample and the token counts of an unstreamed response.

    Raises:
        MalformedResponse: It is not a finished response.
        ErrorEvent: The generation failed.
    """
    try:
        try:
            response = _decode_response(data)
        except UNDECODABLE:
            response = _decode_response(repaired(data))
    except UNDECODABLE as exc:
        raise MalformedResponse.undecodable(exc, data) from exc
    reason, message = response.finish_reason, response.message
    if reason in _FAILED:
        raise ErrorEvent(503, f"the generation ended with {reason}")
    if message is None or reason is None:
        raise MalformedResponse(f"the response has no message or no finish reason: {data.decode(errors='replace')}")
    pieces = [message.tool_calls] if isinstance(message.tool_calls, _ToolCall) else message.tool_calls or []
    calls: list[ToolCall] = []
    for number, piece in enumerate(pieces):
        function = piece.function or _Function()
        call = _PartialCall(piece.id or f"call_{number}", function.name or "", [function.arguments or ""])
        calls.append(call.whole())
    text, thinking = _texts(message.content)
    finish_reason = v4_finish_reason(_finish_reason(reason), bool(calls))
    sample = ProviderSample(0, text, finish_reason, calls or None, (message.tool_plan or "") + thinking)
    return [sample], _usage(response.usage)


def _texts(content: list[_Content] | _Content | None) -> tuple[str, str]:
    """Return the text and the thinking of a content."""
    parts = [content] if isinstance(content, _Content) else content or []
    return "".join(part.text or "" for part in parts), "".join(part.thinking or "" for part in parts)


def _finish_reason(reason: str) -> str:
    return _FINISH_REASONS.get(reason, reason.lower())


def _usage(usage: Json) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    counts = usage.get("tokens") or usage.get("billed_units")
    if not isinstance(counts, dict):
        return None
    prompt = token_count(counts.get("input_tokens")) or 0
    generated = token_count(counts.get("output_tokens")) or 0
    return Usage(prompt_tokens=prompt, generation_tokens=generated, total_tokens=prompt + generated)
