"""The events of a streamed completion or chat."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from msgspec import Struct, field

from ..errors import InvalidEvent
from .shared import ApiObject, ChatMessage, Convertible, FunctionTool, Json, ToolCall, ToolResultResponse, Usage


class ChunkFields(Convertible, Struct, kw_only=True, frozen=True, gc=False):
    """What one event adds to one sample.

    The event's other fields, which repeat the request's, are in the stream's final response.

    Attributes:
        index: Number of the sample, in ``range(num_samples)``. Samples arrive in any order.
        id: Id of the sample's log.
        output: The text added since the sample's last chunk, with its whitespace.
        finish_reason: None until the sample's last chunk: "stop", "length", "tool_call", ...
        model_config_id: Id of the model configuration that generates the sample.
        tool_results: Results of the tools that the template called.
        reasoning: The text of the model's thinking since the sample's last chunk, which `output` does not contain. An
            extension of v4, from providers that return it.
    """

    index: int
    id: str | None = None
    output: str = ""
    finish_reason: str | None = None
    model_config_id: str | None = None
    tool_results: list[ToolResultResponse] | None = None
    reasoning: str = ""


class CompletionChunk(ChunkFields, kw_only=True, frozen=True, gc=False):
    """What one event of a streamed completion adds to one sample: the fields of `ChunkFields`."""

    tool_calls: ClassVar[None] = None  # only chats have tool calls


class CompletionEvent(ApiObject, kw_only=True, gc=False):
    """One event of a streamed completion, reduced to the fields that the demultiplexer reads."""

    data: list[CompletionChunk]
    usage: Usage | None = None


class ChatChunk(ChunkFields, kw_only=True, frozen=True, gc=False):
    """What one event of a streamed chat adds to one sample: the fields of `ChunkFields`, and tool calls.

    Attributes:
        tool_calls: Complete tool calls, in the sample's last chunk.
        tool_call: Deprecated: the first of `tool_calls`.
    """

    tool_calls: list[ToolCall] | None = None
    tool_call: FunctionTool | None = None
    # Few callers read the message, and it repeats `output`: converted on access.
    raw_output_message: Json = field(name="output_message", default=None)

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in self.__struct_fields__[:-1]]

    def __repr__(self) -> str:
        return f"ChatChunk({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __hash__(self) -> int:  # lists and dicts are not hashable
        return hash((self.index, self.id, self.output, self.finish_reason))

    @property
    def output_message(self) -> ChatMessage | None:
        """The chunk as a message of the assistant.

        Raises:
            InvalidEvent: The event's ``output_message`` is not a v4 message.
        """
        try:
            return msgspec.convert(self.raw_output_message, ChatMessage | None)
        except (msgspec.ValidationError, RecursionError) as exc:
            raise InvalidEvent(f"output_message: {exc}", msgspec.json.encode(self.raw_output_message)) from exc


class ChatEvent(ApiObject, kw_only=True, gc=False):
    """One event of a streamed chat, reduced to the fields that the demultiplexer reads."""

    data: list[ChatChunk]
    usage: Usage | None = None
