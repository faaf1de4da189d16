"""``POST /chat`` and its -deployed, -experiment and -model-config forms."""

from __future__ import annotations

from .generation import GenerationRequest, GenerationResponse, SampleFields
from .shared import (
    ChatMessage,
    FunctionTool,
    Json,
    ModelConfigChatRequest,
    ReasoningEffort,
    ResponseFormat,
    ToolCall,
    ToolChoiceValue,
)


class ChatFields(GenerationRequest, kw_only=True):
    """The fields of the four chat requests.

    Attributes:
        messages: The conversation so far. It follows the messages of the configuration's chat template.
        tool_choice: "none", "auto" (the model decides), "required" (at least one call), or the function to call.
        tool_call: Deprecated form of `tool_choice`.
        response_format: The format to enforce on the output, such as JSON.
        reasoning_effort: Effort level for OpenAI's reasoning models, or the thinking budget of Anthropic's, in tokens.
    """

    messages: list[ChatMessage]
    tool_choice: ToolChoiceValue | None = None
    tool_call: str | dict[str, str] | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: ReasoningEffort | None = None


class ChatRequest(ChatFields, kw_only=True):
    """``POST /chat``.

    Attributes:
        model_config: The model, its parameters, the chat template and the tools.
    """

    model_config: ModelConfigChatRequest


class ChatDeployedRequest(ChatFields, kw_only=True):
    """``POST /chat-deployed``.

    Attributes:
        environment: Name of the environment; the project's default one if absent.
        project: Unique name of the project, which must exist.
    """

    environment: str | None = None


class ChatExperimentRequest(ChatFields, kw_only=True):
    """``POST /chat-experiment``.

    Attributes:
        experiment_id: Id of the experiment to sample a model configuration from.
    """

    experiment_id: str


class ChatModelConfigRequest(ChatFields, kw_only=True):
    """``POST /chat-model-config``.

    Attributes:
        model_config_id: Id of the stored model configuration.
    """

    model_config_id: str


class ChatDataResponse(SampleFields, kw_only=True):
    """One sample of a chat.

    Attributes:
        inputs: The request's inputs.
        messages: The filled chat template and the request's messages.
        tool_call: Deprecated: the first of `tool_calls`.
        tool_calls: The tool calls that the model wants made.
        output_message: The sample as a message of the assistant.
    """

    inputs: dict[str, Json] | None = None
    messages: list[ChatMessage] | None = None
    tool_call: FunctionTool | None = None
    tool_calls: list[ToolCall] | None = None
    output_message: ChatMessage | None = None


class ChatResponse(GenerationResponse, kw_only=True):
    """Response of the four chat operations, and of `ChatStream.final`.

    Attributes:
        data: The samples.
        tool_choice: The request's `tool_choice`.
        tool_call: The request's `tool_call`.
    """

    data: list[ChatDataResponse]
    tool_choice: ToolChoiceValue | None = None
    tool_call: str | dict[str, str] | None = None
