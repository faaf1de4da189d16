"""Configurations of models, tools and agents; ``/model-configs``; deployments."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from msgspec import UNSET, UnsetType, field

from .shared import (
    ApiObject,
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
    ToolFields,
    ToolSource,
)

ConfigType: TypeAlias = Literal["generic", "model", "tool", "agent", "evaluator"]
EvaluatorType: TypeAlias = Literal["python", "llm", "human", "external"]
EvaluatorArgumentsType: TypeAlias = Literal["target_free", "target_required"]
EvaluatorReturnType: TypeAlias = Literal["boolean", "number", "select", "multi_select", "text"]


class AnyModelConfigFields(ModelConfigFields, kw_only=True):
    """The parameters of a model configuration for completions or for chats.

    Attributes:
        endpoint: Whether the configuration is for completions or for chats.
        prompt_template: Prompt of a completion, with ``{{ names }}`` for the inputs.
        chat_template: Messages to put before a chat's messages, with ``{{ names }}`` for the inputs.
        tools: Tools that the model may call.
    """

    endpoint: Endpoint = "complete"
    prompt_template: str | None = None
    chat_template: list[ChatMessage] | None = None
    tools: list[ModelConfigTool] | None = None


class ProjectModelConfigRequest(AnyModelConfigFields, kw_only=True):
    """``POST /model-configs``.

    Attributes:
        project: Unique name of the project. The server creates a project that does not exist.
        project_id: Id of the project, instead of its name.
        experiment: Name of an experiment to add the configuration to.
    """

    project: str | None = None
    project_id: str | None = None
    experiment: str | None = None


class SerializeModelConfigRequest(ModelConfigFields, kw_only=True):
    """``POST /model-configs/serialize``.

    Attributes:
        endpoint: Whether the configuration is for completions or for chats. If absent, one with a `prompt_template` is
            for completions.
        prompt_template: Prompt of a completion, with ``{{ names }}`` for the inputs.
        chat_template: Messages to put before a chat's messages, with ``{{ names }}`` for the inputs.
        tools: Tools that the model may call.
    """

    endpoint: Endpoint | None = None
    prompt_template: str | None = None
    chat_template: list[ChatMessage] | None = None
    tools: list[ModelConfigTool] | None = None


class DeserializeModelConfigRequest(ApiObject, kw_only=True):
    """``POST /model-configs/deserialize``.

    Attributes:
        config: Text of a ``.prompt`` file, or of a JSON object with the fields of a configuration.
    """

    config: str


class ModelConfigRequest(AnyModelConfigFields, kw_only=True, tag_field="type", tag="model"):
    """The model configuration behind a log.

    Attributes:
        id: Ignored: the official Node client logs a configuration in the form of a response.
        tool_configs: Ignored, like `id`.
    """

    type: ClassVar[Literal["model"]] = "model"
    id: str | UnsetType | None = UNSET
    tool_configs: list[Json] | UnsetType | None = UNSET


class ConfigFields(ApiObject, kw_only=True):
    """The fields of every configuration that is not a model's.

    Attributes:
        name: Name of the configuration.
        description: Description of the configuration.
        other: Any further parameters.
    """

    name: str | None = None
    description: str | None = None
    other: dict[str, Json] | None = None


class ToolConfigRequest(ToolFields, kw_only=True, tag_field="type", tag="tool"):
    """The tool behind a log."""

    type: ClassVar[Literal["tool"]] = "tool"
    name: str
    source: ToolSource | None = None


class GenericConfigRequest(ConfigFields, kw_only=True, tag_field="type", tag="generic"):
    """Any other configuration behind a log."""

    type: ClassVar[Literal["generic"]] = "generic"


class AgentConfigRequest(ConfigFields, kw_only=True, tag_field="type", tag="agent"):
    """The agent behind a log.

    Attributes:
        agent_class: Class of the agent.
        model_config: The agent's model configuration.
        tools: The agent's tools.
    """

    type: ClassVar[Literal["agent"]] = "agent"
    agent_class: str
    model_config: ModelConfigRequest
    tools: list[ToolConfigRequest] | None = None


ConfigRequest: TypeAlias = ModelConfigRequest | ToolConfigRequest | GenericConfigRequest | AgentConfigRequest
"""A configuration behind a log. Its ``type`` tells its kind; "model" if absent."""


class UserResponse(ApiObject, kw_only=True):
    """The creator of a configuration."""

    id: str
    email_address: str
    verified: bool
    full_name: str | None = None


class StoredConfigFields(ApiObject, kw_only=True):
    """The fields of every stored configuration that is not a model's."""

    id: str
    status: str
    name: str
    description: str | None = None
    other: dict[str, Json] | None = None
    created_by: UserResponse | None = None


class ToolResponse(ToolFields, kw_only=True):
    """A tool of a model configuration."""

    id: str
    name: str
    source: str | None = None


class ToolConfigResponse(StoredConfigFields, kw_only=True, tag_field="type", tag="tool"):
    """A stored tool."""

    type: ClassVar[Literal["tool"]] = "tool"
    source: ToolSource | None = None
    source_code: str | None = None
    setup_schema: dict[str, Json] | None = None
    parameters: dict[str, Json] | None = None
    signature: str | None = None
    is_preset: bool | None = None
    preset_name: str | None = None


class ModelConfigResponse(Response, kw_only=True, tag_field="type", tag="model"):
    """A stored model configuration. The same parameters in the same project have the same `id`.

    Attributes:
        tool_configs: Deprecated form of `tools`.
    """

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


class EvaluatorConfigResponse(StoredConfigFields, kw_only=True, tag_field="type", tag="evaluator"):
    """A stored evaluator, as a configuration."""

    type: ClassVar[Literal["evaluator"]] = "evaluator"
    evaluator_type: str
    model_config: ModelConfigResponse | None = None
    code: str | None = None
    arguments_type: EvaluatorArgumentsType | None = None
    return_type: EvaluatorReturnType | None = None


class AgentConfigResponse(StoredConfigFields, kw_only=True, tag_field="type", tag="agent"):
    """A stored agent."""

    type: ClassVar[Literal["agent"]] = "agent"
    agent_class: str
    model_config: ModelConfigRequest
    tools: list[ToolConfigRequest] | None = field(default_factory=list[ToolConfigRequest])


class GenericConfigResponse(StoredConfigFields, kw_only=True, tag_field="type", tag="generic"):
    """A stored configuration of any other kind."""

    type: ClassVar[Literal["generic"]] = "generic"


ConfigResponse: TypeAlias = (
    ModelConfigResponse | ToolConfigResponse | EvaluatorConfigResponse | AgentConfigResponse | GenericConfigResponse
)
"""A stored configuration. Its `type` tells its kind."""


class ProjectModelConfigFeedbackStatsResponse(ApiObject, kw_only=True):
    """How often a configuration's logs got one feedback value."""

    feedback_type_id: int
    feedback_type: str
    feedback_value: str
    feedback_count: int


class ModelConfigEvaluatorAggregateResponse(ApiObject, kw_only=True):
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
    """The configuration to use: the deployed one, or a sample of an experiment.

    Attributes:
        trial_id: Id to log under, if the configuration is a sample of an experiment.
    """

    trial_id: str | None = None
    environment_id: str | None = None


class EnvironmentRequest(ApiObject, kw_only=True):
    """An environment to deploy to.

    Attributes:
        id: Id of the environment.
        name: Ignored: `id` is enough.
    """

    id: str
    name: str | None = None


class EnvironmentProjectConfigRequest(ApiObject, kw_only=True):
    """``PATCH /projects/{project_id}/deploy-config``.

    Attributes:
        config_id: Id of the configuration to deploy.
        experiment_id: Id of the experiment to deploy instead.
        environments: The environments to deploy to; the default one if absent.
    """

    config_id: str | None = None
    experiment_id: str | None = None
    environments: list[EnvironmentRequest] | None = None


class EnvironmentProjectConfigResponse(Response, kw_only=True):
    """An environment and its deployed configuration or experiment, if any."""

    project_id: str
    project_name: str
    environment_id: str
    environment_name: str
    environment_tag: str
    model_config_id: str | None = None
    model_config_name: str | None = None
    experiment_id: str | None = None
    experiment_name: str | None = None


class EnvironmentQuery(ApiObject, kw_only=True):
    """The environment of an operation.

    Attributes:
        environment: Name of the environment; the default one if absent.
    """

    environment: str | None = None


class ListConfigsQuery(ApiObject, kw_only=True):
    """Query of ``GET /projects/{id}/configs``.

    Attributes:
        evaluation_aggregates: Whether to return each configuration's `evaluation_aggregates`.
    """

    evaluation_aggregates: bool | None = None
