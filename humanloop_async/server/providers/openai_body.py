"""Bodies for OpenAI's chat completions and legacy completions."""

from __future__ import annotations

import re

import msgspec

from ...types import ChatMessage, Json, ModelConfigTool
from ...wire.requests import drop_nulls
from .base import ProviderCall, ProviderError

# These reject `max_tokens`, and any value of the sampling parameters but the default.
_REASONING_MODEL = re.compile(r"o\d|gpt-([5-9]|\d\d)")


def chat_body(call: ProviderCall, origin: str) -> dict[str, Json]:
    """The body for ``/chat/completions``; the prompt of endpoint "complete" becomes one user message.

    Raises:
        ProviderError: The call asks for something that chat models do not have (422).
    """
    for name, value in (("suffix", call.suffix), ("logprobs", call.logprobs)):
        if value is not None:
            raise ProviderError(422, f"{name}: {call.model!r} is a chat model, which has none", origin)
    if isinstance(call.reasoning_effort, int):
        raise ProviderError(422, "reasoning_effort: say high, medium or low; a number is Anthropic's form", origin)
    messages = call.messages
    if call.endpoint == "complete":
        messages = [ChatMessage(role="user", content=call.prompt)]
    body = _sampling(call)
    body["messages"] = [_message(message) for message in messages]
    if call.tools:
        body["tools"] = [_tool(tool) for tool in call.tools]
    if call.tool_choice is not None:
        body["tool_choice"] = msgspec.to_builtins(call.tool_choice)
    elif call.tools:
        body["tool_choice"] = "auto"
    if call.response_format is not None:
        body["response_format"] = drop_nulls(msgspec.to_builtins(call.response_format))
    if call.reasoning_effort is not None:
        body["reasoning_effort"] = call.reasoning_effort
    return _finish_body(call, body)


def completion_body(call: ProviderCall) -> dict[str, Json]:
    """The body for the legacy ``/completions``."""
    body = _sampling(call)
    body |= {"prompt": call.prompt, **drop_nulls({"logprobs": call.logprobs, "suffix": call.suffix})}
    return _finish_body(call, body)


def _sampling(call: ProviderCall) -> dict[str, Json]:
    body: dict[str, Json] = {
        "model": call.model,
        "temperature": call.temperature,
        "top_p": call.top_p,
        "presence_penalty": call.presence_penalty,
        "frequency_penalty": call.frequency_penalty,
        **drop_nulls({"seed": call.seed, "user": call.user}),
    }
    if call.stop:
        body["stop"] = list(call.stop)
    if _REASONING_MODEL.match(call.model):
        defaults = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}
        body = {name: value for name, value in body.items() if name not in defaults or value != defaults[name]}
    return body


def _finish_body(call: ProviderCall, body: dict[str, Json]) -> dict[str, Json]:
    """Merge `other`, which overrides all but the limit and the number of samples."""
    body |= call.other
    if call.max_tokens is not None:
        body["max_completion_tokens" if _REASONING_MODEL.match(call.model) else "max_tokens"] = call.max_tokens
    body.pop("n", None)
    if call.num_samples > 1:
        body["n"] = call.num_samples
    return body


def _message(message: ChatMessage) -> Json:
    fields: dict[str, Json] = msgspec.to_builtins(message)
    old_call = fields.pop("tool_call")
    if old_call and not message.tool_calls:
        fields["function_call"] = old_call
    del fields["thinking"]  # Anthropic's
    return _without_nulls(fields)


def _without_nulls(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _tool(tool: ModelConfigTool) -> Json:
    function: dict[str, Json] = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }
    return {"type": "function", "function": drop_nulls(function)}
