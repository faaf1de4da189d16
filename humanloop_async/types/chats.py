"""``POST /chat`` and its -deployed, -experiment and -model-config forms."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from ..errors import InvalidEvent
from .completions import GenerationRequest
from .shared import (
    ChatMessage,
    FunctionTool,
    Json,
    ModelConfigChatRequest,
    ReasoningEffort,
    Response,
    ResponseFormat,
    ToolCall,
    ToolChoiceValue,
    ToolResultResponse,
    Usage,
)


class ChatFields(GenerationRequest, kw_only=True):
    """What the four chat requests have in common. `tool_call` is the deprecated form of `tool_choice`."""

    messages: list[ChatMessage]
    tool_choice: ToolChoiceValue | None = None
    tool_call: str | dict[str, str] | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: ReasoningEffort | None = None


class ChatRequest(ChatFields, kw_only=True):
    """``POST /chat``."""

    model_config: ModelConfigChatRequest


class ChatDeployedRequest(ChatFields, kw_only=True):
    """``POST /chat-deployed``; no `environment` means the default one."""

    environment: str | None = None


class ChatExperimentRequest(ChatFields, kw_only=True):
    """``POST /chat-experiment``."""

    experiment_id: str


class ChatModelConfigRequest(ChatFields, kw_only=True):
    """``POST /chat-model-config``."""

    model_config_id: str


class ChatDataResponse(Struct, kw_only=True):
    """One generated sample. `messages` is the filled template and the request's messages."""

    id: str
    index: int
    output: str
    raw_output: str
    inputs: dict[str, Json] | None = None
    finish_reason: str | None = None
    model_config_id: str | None = None
    tool_results: list[ToolResultResponse] | None = None
    messages: list[ChatMessage] | None = None
    tool_call: FunctionTool | None = None
    tool_calls: list[ToolCall] | None = None
    output_message: ChatMessage | None = None


class ChatResponse(Response, kw_only=True):
    """Answer of the four chat operations, and of `ChatStream.final`."""

    data: list[ChatDataResponse]
    provider_responses: list[Json] = field(default_factory=list[Json])
    project_id: str | None = None
    num_samples: int = 1
    logprobs: int | None = None
    suffix: str | None = None
    user: str | None = None
    usage: Usage | None = None
    metadata: dict[str, Json] | None = None
    provider_request: dict[str, Json] | None = None
    session_id: str | None = None
    tool_choice: ToolChoiceValue | None = None
    tool_call: str | dict[str, str] | None = None


_message_decoder: msgspec.json.Decoder[ChatMessage | None] = msgspec.json.Decoder(ChatMessage | None)


class ChatChunk(Struct, kw_only=True, frozen=True, gc=False):
    """What one event adds to one sample.

    The event's other fields, which repeat the call's own, are in the stream's final response.

    Attributes:
        index: Which sample, in ``range(num_samples)``; identifies it, implies no order.
        id: The sample's log id.
        output: The text added since this sample's last chunk, whitespace kept.
        finish_reason: None until the sample's last chunk: "stop", "length", "tool_call", ...
        model_config_id: The configuration that generated the sample.
        tool_results: Tools that the template called.
        tool_calls: Whole tool calls; they come with the sample's last chunk.
        tool_call: Deprecated: the first of `tool_calls`.
    """

    index: int
    id: str | None = None
    output: str = ""
    finish_reason: str | None = None
    model_config_id: str | None = None
    tool_results: list[ToolResultResponse] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call: FunctionTool | None = None
    # Few callers read it, and it repeats `output`: decoded when asked for.
    raw_output_message: msgspec.Raw = field(name="output_message", default=msgspec.Raw(b"null"))

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # without the raw one
        return [(name, getattr(self, name)) for name in self.__struct_fields__[:-1]]

    def __repr__(self) -> str:
        return f"ChatChunk({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __hash__(self) -> int:  # lists and raw bytes have none
        return hash((self.index, self.id, self.output, self.finish_reason))

    @property
    def output_message(self) -> ChatMessage | None:
        """The increment as a message of the assistant, as the event had it.

        Raises:
            InvalidEvent: The event's ``output_message`` is not a v4 message.
        """
        try:
            return _message_decoder.decode(self.raw_output_message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise InvalidEvent(f"output_message: {exc}", bytes(self.raw_output_message)) from exc


class ChatEvent(Struct, kw_only=True, gc=False):
    """One event of a streamed chat, as far as the demultiplexer reads it."""

    data: list[ChatChunk]
    usage: Usage | None = None
