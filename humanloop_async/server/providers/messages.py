"""Helpers for putting v4's messages into a provider's format."""

from __future__ import annotations

import msgspec

from ...types import ChatMessage, Json, TextChatContent, ToolCall
from .base import ProviderCall, ProviderError
from .openai_body import paired_messages


def call_messages(call: ProviderCall) -> list[ChatMessage]:
    """Return the messages of a call; a prompt becomes one message of the user. Tool calls and results have ids."""
    if call.endpoint == "complete":
        return [ChatMessage(role="user", content=call.prompt)]
    return paired_messages(call.messages)


def message_text(message: ChatMessage) -> str:
    """Return the text of a message, without its images."""
    if isinstance(message.content, list):
        return "".join(part.text for part in message.content if isinstance(part, TextChatContent))
    return message.content or ""


def tool_arguments(tool_call: ToolCall, origin: str) -> dict[str, Json]:
    """Return the arguments of a tool call as an object.

    Raises:
        ProviderError: They are not a JSON object (422).
    """
    arguments = tool_call.function.arguments or "{}"
    try:
        return msgspec.json.decode(arguments, type=dict[str, Json])
    except (msgspec.DecodeError, ValueError, RecursionError):
        message = f"messages: the arguments of tool call {tool_call.id!r} must be a JSON object, got {arguments!r:.100}"
        raise ProviderError(422, message, origin) from None


def tool_result_id(message: ChatMessage, origin: str) -> str:
    """Return the id of the tool call to which a message of role "tool" belongs.

    Raises:
        ProviderError: The message has no id, and there is no call before it (422).
    """
    if message.tool_call_id is None:
        raise ProviderError(
            422, "messages: a message of role 'tool' needs a tool_call_id, or a tool call before it", origin
        )
    return message.tool_call_id


def merged(body: dict[str, Json], other: dict[str, Json]) -> dict[str, Json]:
    """Return a body with `other` merged into it: its values override, and null removes a field.

    It cannot change whether the response is streamed, or the number of samples.
    """
    whole = body | {name: value for name, value in other.items() if name not in ("stream", "n")}
    return {name: value for name, value in whole.items() if name not in other or value is not None}
