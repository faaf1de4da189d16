"""``POST /completion`` and its -deployed, -experiment and -model-config forms."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct, field

from .shared import (
    Json,
    ModelConfigCompletionRequest,
    ProviderApiKeys,
    Response,
    ToolResultResponse,
    Usage,
)


class GenerationRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """What all eight generation requests have in common."""

    project: str | None = None
    project_id: str | None = None
    session_id: str | None = None
    session_reference_id: str | None = None
    parent_id: str | None = None
    parent_reference_id: str | None = None
    inputs: dict[str, Json] = field(default_factory=dict[str, Json])
    source: str | None = None
    metadata: dict[str, Json] | None = None
    save: bool = True
    source_datapoint_id: str | None = None
    provider_api_keys: ProviderApiKeys | None = None
    num_samples: Annotated[int, Meta(ge=1)] = 1
    stream: bool = False
    user: str | None = None
    seed: int | None = None
    return_inputs: bool = True


class CompletionFields(GenerationRequest, kw_only=True):
    """What the four completion requests have in common."""

    logprobs: int | None = None
    suffix: str | None = None


class CompletionRequest(CompletionFields, kw_only=True):
    """``POST /completion``."""

    model_config: ModelConfigCompletionRequest


class CompletionDeployedRequest(CompletionFields, kw_only=True):
    """``POST /completion-deployed``; no `environment` means the default one."""

    environment: str | None = None


class CompletionExperimentRequest(CompletionFields, kw_only=True):
    """``POST /completion-experiment``."""

    experiment_id: str


class CompletionModelConfigRequest(CompletionFields, kw_only=True):
    """``POST /completion-model-config``."""

    model_config_id: str


class DataResponse(Struct, kw_only=True):
    """One generated sample. `output` is `raw_output` without its outer whitespace."""

    id: str
    index: int
    output: str
    raw_output: str
    inputs: dict[str, Json] = field(default_factory=dict[str, Json])
    finish_reason: str | None = None
    model_config_id: str | None = None
    tool_results: list[ToolResultResponse] | None = None


class CompletionResponse(Response, kw_only=True):
    """Answer of the four completion operations, and of `CompletionStream.final`."""

    data: list[DataResponse]
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


class CompletionChunk(Struct, kw_only=True, frozen=True, gc=False):
    """What one event adds to one sample.

    The event's other fields, which repeat the call's own, are in the stream's final response.

    Attributes:
        index: Which sample, in ``range(num_samples)``; identifies it, implies no order.
        id: The sample's log id.
        output: The text added since this sample's last chunk, whitespace kept.
        finish_reason: None until the sample's last chunk: "stop", "length", ...
        model_config_id: The configuration that generated the sample.
        tool_results: Tools that the template called.
    """

    index: int
    id: str | None = None
    output: str = ""
    finish_reason: str | None = None
    model_config_id: str | None = None
    tool_results: list[ToolResultResponse] | None = None
    tool_calls: ClassVar[None] = None  # completions have none; chats do


class CompletionEvent(Struct, kw_only=True, gc=False):
    """One event of a streamed completion, as far as the demultiplexer reads it."""

    data: list[CompletionChunk]
    usage: Usage | None = None
