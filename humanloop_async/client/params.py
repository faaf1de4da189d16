"""The keyword arguments of the calls, typed once for the async and the sync client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, Required, TypeAlias, TypedDict

from ..config import Timeout
from ..types import (
    ChatMessage,
    ModelConfigChatRequest,
    ModelConfigCompletionRequest,
    ModelConfigTool,
    ReasoningEffort,
    ResponseFormat,
    ToolCall,
    ToolChoice,
)

JsonObject: TypeAlias = Mapping[str, object]
"""A JSON object; its values may be anything that msgspec encodes."""


class CallOptions(TypedDict, total=False):
    """What says how to call, and is not part of the request's body."""

    timeout: Timeout | float | None
    """Clocks of this call; the client's own when absent."""
    max_retries: int | None
    """Attempts after the first one; the client's own number when absent."""
    extra_headers: Mapping[str, str] | None
    """Headers to send beside, or instead of, the client's own."""
    idempotency_key: str | None
    """Sent as ``Idempotency-Key``, the same with every attempt; a random one when absent."""


class GenerationParams(CallOptions, total=False):
    """What all eight generation calls accept."""

    project: str | None
    """Unique project name; an unknown one is created (not by the -deployed calls)."""
    project_id: str | None
    session_id: str | None
    session_reference_id: str | None
    """A string of your own that identifies a session; first use creates the session."""
    parent_id: str | None
    parent_reference_id: str | None
    inputs: JsonObject | None
    """Values for the ``{{ names }}`` of the template."""
    source: str | None
    metadata: JsonObject | None
    save: bool | None
    """False stores neither inputs nor outputs. Default True."""
    source_datapoint_id: str | None
    provider_api_keys: Mapping[str, str] | None
    """Provider keys for this call; they win over the client's. Never stored."""
    num_samples: int | None
    """How many samples to generate, at least 1. Default 1."""
    user: str | None
    seed: int | None
    """Deprecated: set it in the model configuration."""
    return_inputs: bool | None
    """False leaves `inputs` out of the answer. Default True."""


class CompletionParams(GenerationParams, total=False):
    """What the four completion calls accept."""

    logprobs: int | None
    suffix: str | None


class FunctionParam(TypedDict):
    name: str
    arguments: NotRequired[str | None]


class ToolCallParam(TypedDict):
    id: str
    type: Literal["function"]
    function: FunctionParam


class ChatMessageParam(TypedDict, total=False):
    """A message as a plain dict; see `ChatMessage`."""

    role: Required[Literal["user", "assistant", "system", "tool"]]
    content: str | Sequence[JsonObject] | None
    name: str | None
    tool_call_id: str | None
    tool_calls: Sequence[ToolCallParam | ToolCall] | None
    tool_call: FunctionParam | None
    thinking: Sequence[JsonObject] | None


class ChatParams(GenerationParams, total=False):
    """What the four chat calls accept."""

    messages: Required[Sequence[ChatMessageParam | ChatMessage]]
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | JsonObject | None
    tool_call: str | Mapping[str, str] | None
    """Deprecated form of `tool_choice`."""
    response_format: ResponseFormat | JsonObject | None
    reasoning_effort: ReasoningEffort | None


class ModelConfigParam(TypedDict, total=False):
    model: Required[str]
    name: str | None
    description: str | None
    provider: str
    max_tokens: int
    temperature: float
    top_p: float
    stop: str | Sequence[str] | None
    presence_penalty: float
    frequency_penalty: float
    other: JsonObject
    seed: int | None
    response_format: ResponseFormat | JsonObject | None
    reasoning_effort: ReasoningEffort | None
    template_language: Literal["default", "jinja"]
    endpoint: Literal["complete", "chat", "edit"]


class CompletionModelConfigParam(ModelConfigParam, total=False):
    """A completion's model configuration as a plain dict; see `ModelConfigCompletionRequest`."""

    prompt_template: str | None


class ChatModelConfigParam(ModelConfigParam, total=False):
    """A chat's model configuration as a plain dict; see `ModelConfigChatRequest`."""

    chat_template: Sequence[ChatMessageParam | ChatMessage] | None
    tools: Sequence[ModelConfigTool | JsonObject] | None


class CompleteParams(CompletionParams, total=False):
    model_config: Required[CompletionModelConfigParam | ModelConfigCompletionRequest]


class CompleteDeployedParams(CompletionParams, total=False):
    environment: str | None
    """Name of the environment; the default one when absent."""


class CompleteExperimentParams(CompletionParams, total=False):
    experiment_id: Required[str]


class CompleteModelConfigParams(CompletionParams, total=False):
    model_config_id: Required[str]


class ChatCreateParams(ChatParams, total=False):
    model_config: Required[ChatModelConfigParam | ModelConfigChatRequest]


class ChatDeployedParams(ChatParams, total=False):
    environment: str | None
    """Name of the environment; the default one when absent."""


class ChatExperimentParams(ChatParams, total=False):
    experiment_id: Required[str]


class ChatModelConfigParams(ChatParams, total=False):
    model_config_id: Required[str]
