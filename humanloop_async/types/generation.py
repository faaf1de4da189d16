"""The fields that completions and chats share, in requests, responses and the events of a stream."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, field

from .shared import ApiObject, Json, ProviderApiKeys, Response, ToolResultResponse, Usage


class TraceFields(ApiObject, kw_only=True):
    """Where a log belongs and where it came from.

    Attributes:
        project: Unique name of the project. The server creates a project that does not exist.
        project_id: Id of the project, instead of its name.
        session_id: Id of an existing session to add the log to.
        session_reference_id: Your identifier of a session. The first use creates the session.
        parent_id: Id of the log to nest this one under.
        parent_reference_id: The `reference_id` of an earlier log to nest this one under.
        source: Where the model was called from, such as the name of a service.
        metadata: Any JSON object to store with the log.
        source_datapoint_id: Id of the datapoint that the inputs came from.
    """

    project: str | None = None
    project_id: str | None = None
    session_id: str | None = None
    session_reference_id: str | None = None
    parent_id: str | None = None
    parent_reference_id: str | None = None
    source: str | None = None
    metadata: dict[str, Json] | None = None
    source_datapoint_id: str | None = None


class GenerationRequest(TraceFields, kw_only=True, forbid_unknown_fields=True):
    """The fields of all eight generation requests.

    Attributes:
        inputs: Values for the ``{{ names }}`` of the template.
        save: Whether to store inputs, messages and outputs. Without them the log keeps its configuration and metadata.
        provider_api_keys: Provider keys by provider name, for this call only. The server never stores them.
        num_samples: How many samples to generate, at least 1.
        stream: Whether to send the response as server-sent events.
        user: Your identifier of the end user. The server passes it on to the provider and returns it.
        seed: Deprecated: set it in the model configuration.
        return_inputs: Whether the response repeats the inputs.
    """

    inputs: dict[str, Json] = field(default_factory=dict[str, Json])
    save: bool = True
    provider_api_keys: ProviderApiKeys | None = None
    num_samples: Annotated[int, Meta(ge=1)] = 1
    stream: bool = False
    user: str | None = None
    seed: int | None = None
    return_inputs: bool = True


class SampleFields(ApiObject, kw_only=True):
    """The fields of a generated sample.

    Attributes:
        id: Id of the sample's log.
        index: Number of the sample, in ``range(num_samples)``.
        output: The text without its outer whitespace.
        raw_output: The text as the model sent it.
        inputs: The request's inputs.
        finish_reason: Why the sample ended: "stop", "length", "tool_call", ...
        model_config_id: Id of the model configuration that generated the sample.
        tool_results: Results of the tools that the template called.
        reasoning: The text of the model's thinking, which `output` does not contain. An extension of v4, from providers
            that return it.
    """

    id: str
    index: int
    output: str
    raw_output: str
    inputs: Any = None  # declared here for its position in the JSON; each subclass gives its type
    finish_reason: str | None = None
    model_config_id: str | None = None
    tool_results: list[ToolResultResponse] | None = None
    reasoning: str | None = None


class GenerationResponse(Response, kw_only=True):
    """The fields of a completion's and a chat's response, apart from the samples.

    Attributes:
        data: The samples.
        provider_responses: The provider's response bodies.
        project_id: Id of the project.
        num_samples: How many samples were generated.
        logprobs: The request's `logprobs`.
        suffix: The request's `suffix`.
        user: The request's `user`.
        usage: Token counts of the call, all samples together.
        metadata: The request's `metadata`.
        provider_request: The body that the server sent to the provider.
        session_id: Id of the session, if the request named one.
    """

    data: list[Any]  # declared here for its position in the JSON: a stream's events are encoded in this order
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
