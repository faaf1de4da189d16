"""Bodies for OpenAI's chat completions and legacy completions.

A body has no parameter that the call did not set or that equals v4's default: strict servers reject parameters that
they do not know, also with a neutral value.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct

from ...types import ChatMessage, FunctionTool, Json, ModelConfigTool, ToolCall
from ...wire.requests import drop_nulls
from .base import ProviderCall, ProviderError

TOKEN_LIMITS = ("max_tokens", "max_completion_tokens")
"""The two names of the limit of tokens per sample. Some servers reject the first, others the second."""

# These reject `max_tokens`, and any value of the sampling parameters but the default.
_REASONING_MODEL = re.compile(r"o\d|gpt-([5-9]|\d\d)")

_DEFAULTS = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}


def chat_body(call: ProviderCall, origin: str) -> dict[str, Json]:
    """Return the body for ``/chat/completions``; the prompt of endpoint "complete" becomes one user message.

    Raises:
        ProviderError: The call has a parameter that chat models lack (422).
    """
    for name, value in (("suffix", call.suffix), ("logprobs", call.logprobs)):
        if value is not None:
            raise ProviderError(422, f"{name}: the chat model {call.model!r} does not support it; leave it out", origin)
    if isinstance(call.reasoning_effort, int):
        raise ProviderError(
            422, "reasoning_effort: expected high, medium or low; Anthropic alone accepts a number", origin
        )
    messages = call.messages
    if call.endpoint == "complete":
        messages = [ChatMessage(role="user", content=call.prompt)]
    body = _sampling(call)
    body["messages"] = [_message(message) for message in paired_messages(messages)]
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
    """Return the body for the legacy ``/completions``."""
    body = _sampling(call)
    body |= {"prompt": call.prompt, **drop_nulls({"logprobs": call.logprobs, "suffix": call.suffix})}
    return _finish_body(call, body)


def _sampling(call: ProviderCall) -> dict[str, Json]:
    body: dict[str, Json] = {"model": call.model}
    for name, default in _DEFAULTS.items():
        if (value := getattr(call, name)) != default:
            body[name] = value
    body |= drop_nulls({"seed": call.seed, "user": call.user})
    if call.stop:
        body["stop"] = list(call.stop)
    return body


def _finish_body(call: ProviderCall, body: dict[str, Json]) -> dict[str, Json]:
    """Merge `other`. It overrides all but the token limit and the number of samples; a null in it removes a field."""
    body |= call.other
    for name in ("n", "stream", "stream_options"):
        body.pop(name, None)
    if call.max_tokens is not None:
        names = [name for name in TOKEN_LIMITS if body.pop(name, None) is not None]
        default = "max_completion_tokens" if _REASONING_MODEL.match(call.model) else "max_tokens"
        body[names[0] if len(names) == 1 else default] = call.max_tokens
    if call.num_samples > 1:
        body["n"] = call.num_samples
    removed = {name for name, value in call.other.items() if value is None}
    return {name: value for name, value in body.items() if name not in removed}


# The forms in which error messages name the parameter `n`.
_NAMES_N = re.compile(
    r"""[`'"]n[`'"]|\b(parameter|argument):? n\b|: n\b|\bn ?(=|>|must|should|is|can)|choices?\b""", re.IGNORECASE
)
# A complaint about the value of a limit, and not about its name.
_ABOUT_VALUE = re.compile(
    r"too (large|high|big|small|low)|exceed|at (most|least)|(less|greater|larger|smaller|more) than"
    r"|maximum|minimum|context",
    re.IGNORECASE,
)


def rejected_parameter(body: dict[str, Json], message: str) -> str | None:
    """Return the optional parameter of a body that an error message rejects, or None if it rejects none.

    A message that merely names the parameter is enough, unless it complains about the value of a limit: a request
    that is repeated in vain ends with the same error.
    """
    if "stream_options" in body and re.search("stream_options|include_usage", message):
        return "stream_options"
    for name in TOKEN_LIMITS:
        if name in body and re.search(rf"\b{name}\b", message):
            has_alternative = any(other in message for other in TOKEN_LIMITS if other != name)
            if has_alternative or not _ABOUT_VALUE.search(message):
                return name
    if "n" in body and _NAMES_N.search(message):
        return "n"
    return None


def without_parameters(body: dict[str, Json], rejected: set[str]) -> dict[str, Json]:
    """Return a body without rejected parameters; the token limit gets its other name."""
    first, second = TOKEN_LIMITS
    renamed = {name: other for name, other in ((first, second), (second, first)) if name in rejected}
    return {renamed.get(name, name): value for name, value in body.items() if name in renamed or name not in rejected}


class _OpenCall(Struct):
    """A tool call that no message of role ``tool`` has responded to yet."""

    id: str
    name: str


def paired_messages(messages: list[ChatMessage]) -> list[ChatMessage]:
    """Return messages in which each tool message has the id of its call.

    v4's older form has one ``tool_call`` without an id, and tool messages without ``tool_call_id``. Providers expect
    ``tool_calls`` with ids. The translation gives the call the id that its tool message has, or a new one, and a tool
    message without id the id of the open call with its name, or of the first open one.
    """
    known = {call.id for message in messages for call in message.tool_calls or ()}
    known |= {message.tool_call_id for message in messages if message.tool_call_id}
    paired: list[ChatMessage] = []
    open_calls: list[_OpenCall] = []
    for place, message in enumerate(messages):
        if message.tool_call is not None and not message.tool_calls:
            call_id = _id_for(message.tool_call, messages[place + 1 :], known)
            known.add(call_id)
            calls = [ToolCall(id=call_id, function=message.tool_call)]
            message = msgspec.structs.replace(message, tool_calls=calls)
        if message.role == "tool":
            answered = message.tool_call_id or _matching(open_calls, message.name)
            open_calls = [call for call in open_calls if call.id != answered]
            message = msgspec.structs.replace(message, tool_call_id=answered)
        elif message.role == "assistant":
            open_calls = [_OpenCall(call.id, call.function.name) for call in message.tool_calls or ()]
        paired.append(msgspec.structs.replace(message, tool_call=None))
    return paired


def _id_for(function: FunctionTool, following: list[ChatMessage], known: set[str]) -> str:
    """Return the id for a call without one: that of the tool message that follows it, else a new one."""
    if following and following[0].role == "tool" and following[0].tool_call_id:
        return following[0].tool_call_id
    number = 0
    while (call_id := f"call_{function.name}_{number}") in known:
        number += 1
    return call_id


def _matching(open_calls: list[_OpenCall], name: str | None) -> str | None:
    named = [call.id for call in open_calls if call.name == name] or [call.id for call in open_calls]
    return named[0] if named else None


def _message(message: ChatMessage) -> Json:
    fields: dict[str, Json] = msgspec.to_builtins(message)
    del fields["thinking"]  # Anthropic's
    if message.role == "assistant" and message.content is None and not message.tool_calls:
        fields["content"] = ""  # a message needs content unless it calls tools
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
