"""Configurations: of models, tools, agents; ``/model-configs``; what is deployed where."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType, field

from .shared import (
    ChatMessage,
    DateTime,
    Endpoint,
    Json,
    ModelConfigFields,
    ModelConfigTool,
    ReasoningEffort,
    Response,
    ResponseFormat,
    TemplateLanguage,
)

ToolSource: TypeAlias = Literal["organization", "inline"]
ConfigType: TypeAlias = Literal["generic", "model", "tool", "agent", "evaluator"]
EvaluatorArgumentsType: TypeAlias = Literal["target_free", "target_required"]
EvaluatorReturnType: TypeAlias = Literal["boolean", "number", "select", "multi_select", "text"]


class _AnyModelConfig(ModelConfigFields, kw_only=True):
    endpoint: Endpoint = "complete"
    prompt_template: str | None = None
    chat_template: list[ChatMessage] | None = None
    tools: list[ModelConfigTool] | None = None


class ProjectModelConfigRequest(_AnyModelConfig, kw_only=True):
    """``POST /model-configs``. `experiment` is the name of an experiment to add the configuration to."""

    project: str | None = None
    project_id: str | None = None
    experiment: str | None = None


class ModelConfigRequest(_AnyModelConfig, kw_only=True, tag_field="type", tag="model"):
    """The model configuration behind a log.

    `id` and `tool_configs` are read past: the official Node client logs a configuration as it was answered.
    """

    type: ClassVar[Literal["model"]] = "model"
    id: str | UnsetType | None = UNSET
    tool_configs: list[Json] | UnsetType | None = UNSET


class ToolConfigRequest(Struct, kw_only=True, tag_field="type", tag="tool"):
    """The tool behind a log."""

    type: ClassVar[Literal["tool"]] = "tool"
    name: str
    description: str | None = None
    parameters: dict[str, Json] | None = None
    strict: bool | None = None
    source: ToolSource | None = None
    source_code: str | None = None
    other: dict[str, Json] | None = None
    preset_name: str | None = None


class GenericConfigRequest(Struct, kw_only=True, tag_field="type", tag="generic"):
    """Whatever else is behind a log."""

    type: ClassVar[Literal["generic"]] = "generic"
    name: str | None = None
    description: str | None = None
    other: dict[str, Json] | None = None


class AgentConfigRequest(Struct, kw_only=True, tag_field="type", tag="agent"):
    """The agent behind a log."""

    type: ClassVar[Literal["agent"]] = "agent"
    agent_class: str
    model_config: ModelConfigRequest
    name: str | None = None
    description: str | None = None
    other: dict[str, Json] | None = None
    tools: list[ToolConfigRequest] | None = None


ConfigRequest: TypeAlias = ModelConfigRequest | ToolConfigRequest | GenericConfigRequest | AgentConfigRequest
"""Told apart by ``type``; "model" when that is absent."""


class UserResponse(Struct, kw_only=True):
    """Who made a configuration."""

    id: str
    email_address: str
    verified: bool
    full_name: str | None = None


class ToolResponse(Struct, kw_only=True):
    """A tool of a model configuration."""

    id: str
    name: str
    description: str | None = None
    parameters: dict[str, Json] | None = None
    strict: bool | None = None
    source: str | None = None
    source_code: str | None = None
    other: dict[str, Json] | None = None
    preset_name: str | None = None


class ToolConfigResponse(Struct, kw_only=True, tag_field="type", tag="tool"):
    """A stored tool."""

    type: ClassVar[Literal["tool"]] = "tool"
    id: str
    status: str
    name: str
    description: str | None = None
    other: dict[str, Json] | None = None
    created_by: UserResponse | None = None
    source: ToolSource | None = None
    source_code: str | None = None
    setup_schema: dict[str, Json] | None = None
    parameters: dict[str, Json] | None = None
    signature: str | None = None
    is_preset: bool | None = None
    preset_name: str | None = None


class ModelConfigResponse(Response, kw_only=True, tag_field="type", tag="model"):
    """A stored model configuration. The same parameters in the same project have the same `id`."""

    type: ClassVar[Literal["model"]] = "model"
    id: str
    model: str
    name: str | None = None
    description: str | None = None
    provider: str | None = "openai"
    endpoint: Endpoint | None = None
    max_tokens: int | None = -1
    temperature: float | None = 1
    top_p: float | None = 1
    stop: str | list[str] | None = None
    presence_penalty: float | None = 0
    frequency_penalty: float | None = 0
    other: dict[str, Json] | None = field(default_factory=dict[str, Json])
    seed: int | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: ReasoningEffort | None = None
    template_language: TemplateLanguage | None = "default"
    prompt_template: str | None = None
    chat_template: list[ChatMessage] | None = None
    tools: list[ToolResponse] | None = None
    tool_configs: list[ToolConfigResponse] | None = None
    """Deprecated form of `tools`."""


class EvaluatorConfigResponse(Struct, kw_only=True, tag_field="type", tag="evaluator"):
    """A stored evaluator, as a configuration."""

    type: ClassVar[Literal["evaluator"]] = "evaluator"
    id: str
    status: str
    name: str
    evaluator_type: str
    description: str | None = None
    other: dict[str, Json] | None = None
    created_by: UserResponse | None = None
    model_config: ModelConfigResponse | None = None
    code: str | None = None
    arguments_type: EvaluatorArgumentsType | None = None
    return_type: EvaluatorReturnType | None = None


class AgentConfigResponse(Struct, kw_only=True, tag_field="type", tag="agent"):
    """A stored agent."""

    type: ClassVar[Literal["agent"]] = "agent"
    id: str
    status: str
    name: str
    agent_class: str
    model_config: ModelConfigRequest
    description: str | None = None
    other: dict[str, Json] | None = None
    created_by: UserResponse | None = None
    tools: list[ToolConfigRequest] | None = field(default_factory=list[ToolConfigRequest])


class GenericConfigResponse(Struct, kw_only=True, tag_field="type", tag="generic"):
    """A stored configuration of any other kind."""

    type: ClassVar[Literal["generic"]] = "generic"
    id: str
    status: str
    name: str
    description: str | None = None
    other: dict[str, Json] | None = None
    created_by: UserResponse | None = None


ConfigResponse: TypeAlias = (
    ModelConfigResponse | ToolConfigResponse | EvaluatorConfigResponse | AgentConfigResponse | GenericConfigResponse
)
"""Told apart by `type`."""


class ProjectModelConfigFeedbackStatsResponse(Struct, kw_only=True):
    """How often a configuration's logs got one feedback value."""

    feedback_type_id: int
    feedback_type: str
    feedback_value: str
    feedback_count: int


class ModelConfigEvaluatorAggregateResponse(Struct, kw_only=True):
    """One evaluator's verdict on a configuration."""

    model_config_id: str
    evaluator_id: str
    evaluator_version_id: str
    aggregate_value: float | None = None


class ProjectConfigResponse(Response, kw_only=True):
    """A configuration in its project."""

    project_id: str
    project_name: str
    config: ConfigResponse
    created_at: DateTime
    updated_at: DateTime
    last_used: DateTime
    feedback_stats: list[ProjectModelConfigFeedbackStatsResponse] | None = None
    num_datapoints: int | None = None
    experiment_id: str | None = None
    evaluation_aggregates: list[ModelConfigEvaluatorAggregateResponse] | None = None


class GetModelConfigResponse(ProjectConfigResponse, kw_only=True):
    """The configuration to use now: what is deployed, or a sample of an experiment, then with its `trial_id`."""

    trial_id: str | None = None
    environment_id: str | None = None


class EnvironmentRequest(Struct, kw_only=True):
    """An environment to deploy to."""

    id: str
    name: str | None = None


class EnvironmentProjectConfigRequest(Struct, kw_only=True):
    """``PATCH /projects/{project_id}/deploy-config``: a configuration or an experiment; no list is the default one."""

    config_id: str | None = None
    experiment_id: str | None = None
    environments: list[EnvironmentRequest] | None = None


class EnvironmentProjectConfigResponse(Response, kw_only=True):
    """What is deployed to one environment: a configuration, an experiment, or nothing."""

    project_id: str
    project_name: str
    environment_id: str
    environment_name: str
    environment_tag: str
    model_config_id: str | None = None
    model_config_name: str | None = None
    experiment_id: str | None = None
    experiment_name: str | None = None


class EnvironmentQuery(Struct, kw_only=True):
    """The name of an environment; the default one when absent."""

    environment: str | None = None


class ListConfigsQuery(Struct, kw_only=True):
    """Query of ``GET /projects/{id}/configs``."""

    evaluation_aggregates: bool | None = None
    """Whether to answer with `ProjectConfigResponse.evaluation_aggregates`."""
