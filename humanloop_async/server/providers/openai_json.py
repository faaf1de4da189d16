"""Decode the JSON of OpenAI's chat completions and legacy completions, also the variants of compatible servers.

Nearly all events match the Structs below, so `msgspec` decodes them directly. `read_unusual` converts the others: it
accepts every form that can be understood in only one way.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct, field

from ...types import Json
from .reading import MalformedResponse, encodable, tolerant_json


class Function(Struct, gc=False):
    """The name and the arguments of a tool call, or a piece of them."""

    name: str | None = None
    arguments: str | None = None


class ToolCallPiece(Struct, gc=False):
    """A tool call, or a piece of one. Servers omit `index`, `id` or both.

    Attributes:
        name: The function's name, from servers that omit the object `function`.
        arguments: The function's arguments, from the same servers.
    """

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    name: str | None = None
    arguments: str | None = None


class Message(Struct, gc=False):
    """A message, or a delta of one.

    Attributes:
        reasoning_content: The model's thinking, under DeepSeek's name for it.
        reasoning: The same, under the name of OpenRouter, Groq and vLLM. A server that sends both repeats the text.
        reasoning_details: The same, in OpenRouter's typed parts, some of which have no text.
    """

    content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallPiece] | None = None
    function_call: Function | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: Json = None

    @property
    def text(self) -> str:
        """The text for the caller: the content, and a refusal."""
        return (self.content or "") + (self.refusal or "")

    @property
    def thoughts(self) -> str:
        """The text of the model's thinking."""
        return self.reasoning_content or self.reasoning or _thoughts(self.reasoning_details)

    @property
    def pieces(self) -> list[ToolCallPiece]:
        """The pieces of tool calls. The deprecated form has one call, without id."""
        pieces = list(self.tool_calls or ())
        if self.function_call is not None:
            pieces.append(ToolCallPiece(index=0, function=self.function_call))
        return pieces


class Choice(Struct, gc=False):
    """One sample of a response, or what an event adds to it. `index` is -1 where the server sent none."""

    index: int = -1
    message: Message | None = None
    delta: Message | None = None
    text: str | None = None  # legacy completions
    finish_reason: str | None = None


class OpenAIResponse(Struct, gc=False):
    """A response, or one event of a streamed one."""

    choices: list[Choice] = field(default_factory=list[Choice])
    usage: Json = None
    error: Json = None
    x_groq: Json = None

    @property
    def counts(self) -> Json:
        """The token counts, which Groq can put into an object with its own name."""
        if self.usage is None and isinstance(self.x_groq, dict):
            return self.x_groq.get("usage")
        return self.usage


_THOUGHTS = ("reasoning_content", "reasoning", "reasoning_details")

decode_usual = msgspec.json.Decoder(OpenAIResponse).decode
"""Decode a response or event that is as OpenAI documents it, apart from fields that are not read."""


def read_unusual(data: bytes) -> tuple[OpenAIResponse, bytes]:
    """Decode a response or event that `decode_usual` rejected.

    Strings may contain lone surrogates.

    Returns:
        The response, and the same as valid JSON on one line.

    Raises:
        MalformedResponse: The data is not JSON, or can be understood in several ways or in none.
    """
    try:
        body = tolerant_json(data)
        if isinstance(body, list) and len(body) == 1:  # Gemini puts errors into an array
            body = body[0]
        if not isinstance(body, dict):
            raise MalformedResponse("expected an object")
        choices = [_choice(choice) for choice in _items(body.get("choices"), "choices") if choice is not None]
        response = OpenAIResponse(choices, body.get("usage"), body.get("error"), body.get("x_groq"))
        return response, msgspec.json.encode(encodable(body))
    except (ValueError, RecursionError) as exc:
        raise MalformedResponse.undecodable(exc, data) from exc


def _items(value: Json, name: str) -> list[Json]:
    """Return a list; null is an empty one, and an object stands for a list of one."""
    if value is None:
        return []
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        raise MalformedResponse(f"{name} is not a list")
    return value


def _choice(value: Json) -> Choice:
    if not isinstance(value, dict):
        raise MalformedResponse("a choice is not an object")
    index = _index(value.get("index"))
    return Choice(
        -1 if index is None else index,
        _message(value.get("message"), "message"),
        _message(value.get("delta"), "delta"),
        _text(value.get("text"), "text")[0],
        _finish_reason(value.get("finish_reason")),
    )


def _index(value: Json) -> int | None:
    """Return an index that may have another JSON form: 1.0 or "1"."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 19:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise MalformedResponse(f"index {value!r} is not a whole number")
    return int(value)


def _finish_reason(value: Json) -> str | None:
    if isinstance(value, dict):
        value = value.get("type") or value.get("reason")
    return str(value) if value else None


def _message(value: Json, name: str) -> Message | None:
    if value is None or value == []:
        return None
    if isinstance(value, str):
        return Message(value)
    if not isinstance(value, dict):
        raise MalformedResponse(f"{name} is not an object")
    text, thoughts = _text(value.get("content"), "content")
    calls = value.get("tool_calls")
    function_call = value.get("function_call")
    return Message(
        text,
        _text(value.get("refusal"), "refusal")[0],
        [_tool_call(call) for call in _items(calls, "tool_calls") if call is not None] or None,
        _function(function_call) if function_call else None,
        thoughts + next(filter(None, (_thoughts(value.get(name)) for name in _THOUGHTS)), ""),
    )


def _text(value: Json, name: str) -> tuple[str, str]:
    """Return the text of a string or of a list of typed parts, and the thinking among the parts.

    Parts of an unknown type are skipped. They cannot be text: the type of text is "text" everywhere.
    """
    if value is None or isinstance(value, str):
        return value or "", ""
    texts, thoughts = list[str](), list[str]()
    for part in _items(value, name):
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            kind = part.get("type")
            if kind in ("thinking", "reasoning", "reasoning_text"):
                thoughts.append(_thoughts(part.get("thinking") or part.get("reasoning") or part.get("text")))
            elif kind in ("text", "output_text", None):
                texts.append(_plain(part.get("text")))
            elif kind == "refusal":
                texts.append(_plain(part.get("refusal")))
        elif part is not None:
            raise MalformedResponse(f"a part of {name} is neither text nor an object")
    return "".join(texts), "".join(thoughts)


def _plain(value: Json) -> str:
    if isinstance(value, dict):
        value = value.get("value")
    if value is not None and not isinstance(value, str):
        raise MalformedResponse("the text of a part is not text")
    return value or ""


def _thoughts(value: Json) -> str:
    """Return the text of thinking in any form. Losing some of it ends no call."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_thoughts, value))
    if isinstance(value, dict):
        names: Iterable[str] = ("text", "thinking", "content", "summary")
        return next((_thoughts(value[name]) for name in names if value.get(name)), "")
    return ""


def _tool_call(value: Json) -> ToolCallPiece:
    if not isinstance(value, dict):
        raise MalformedResponse("a tool call is not an object")
    call_id = value.get("id")
    function = value.get("function")
    return ToolCallPiece(
        _index(value.get("index")),
        None if call_id is None else str(call_id),
        _function(value if function is None else function),
    )


def _function(value: Json) -> Function:
    if not isinstance(value, dict):
        raise MalformedResponse("the function of a tool call is not an object")
    name, arguments = value.get("name"), value.get("arguments")
    if name is not None and not isinstance(name, str):
        raise MalformedResponse("the name of a tool is not text")
    if arguments is not None and not isinstance(arguments, str):
        arguments = msgspec.json.encode(encodable(arguments)).decode()
    return Function(name, arguments)
