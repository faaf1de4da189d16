"""``/logs``: generated outputs, from this server or elsewhere."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, field

from .configs import ConfigRequest, ConfigResponse, ModelConfigResponse
from .feedback import Feedback, FeedbackResponse, FeedbackValue
from .generation import TraceFields
from .shared import (
    ApiObject,
    ChatMessage,
    DateTime,
    Json,
    PageNumber,
    PageSize,
    Response,
    ToolChoiceValue,
    ToolResultResponse,
)

VersionStatus: TypeAlias = Literal["uncommitted", "committed", "deleted"]
TokenCount: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1)]
DateOrDatetime: TypeAlias = Annotated[
    str, Meta(extra_json_schema={"anyOf": [{"format": "date"}, {"format": "date-time"}], "type": "string"})
]
"""A date, or a date with a time, in ISO 8601. Without a zone it is UTC."""
SortColumn: TypeAlias = Annotated[str, Meta(pattern=r"^(source|model|timestamp|feedback-.+)\.(asc|desc)$")]


class LogFields(TraceFields, kw_only=True):
    """The fields of a log in requests and responses.

    Attributes:
        reference_id: Your unique identifier of the log.
        trial_id: Id from `get_active_config` or `sample`. The log counts for the experiment's configuration.
        messages: The messages sent to the model.
        output: The generated text.
        judgment: An evaluator's judgment.
        config_id: Id of the stored configuration that generated the output.
        environment: Name of the environment that the configuration is deployed to.
        created_at: When the output was generated; now if absent.
        error: The error message of a failed generation.
        stdout: Text that the code behind the log printed.
        duration: How long the generation took, in seconds.
        output_message: The output as a message of the assistant.
        prompt_cost: Cost of the prompt, in US dollars.
        output_cost: Cost of the output, in US dollars.
        provider_request: The request body sent to the provider.
        provider_response: The provider's response body.
    """

    reference_id: str | None = None
    trial_id: str | None = None
    messages: list[ChatMessage] | None = None
    output: str | None = None
    judgment: FeedbackValue | None = None
    config_id: str | None = None
    environment: str | None = None
    created_at: DateTime | None = None
    error: str | None = None
    stdout: str | None = None
    duration: float | None = None
    output_message: ChatMessage | None = None
    prompt_cost: float | None = None
    output_cost: float | None = None
    provider_request: dict[str, Json] | None = None
    provider_response: dict[str, Json] | None = None


class LogRequest(LogFields, kw_only=True):
    """``POST /logs``, one or a list of them. Give one of `config`, `config_id` and `trial_id`.

    Attributes:
        inputs: Values for the ``{{ names }}`` of the template.
        save: Whether to store inputs, messages and outputs. Without them the log keeps its configuration and metadata.
        config: The configuration that generated the output. Its ``type`` tells its kind; "model" if absent.
        feedback: Feedback on the log.
        prompt_tokens: Tokens of the prompt.
        output_tokens: Tokens of the output.
    """

    inputs: dict[str, Json] = field(default_factory=dict[str, Json])
    save: bool = True
    config: ConfigRequest | None = None
    feedback: Feedback | list[Feedback] | None = None
    prompt_tokens: TokenCount | None = None
    output_tokens: TokenCount | None = None


class UpdateLogRequest(ApiObject, kw_only=True):
    """``PATCH /logs/{id}`` and ``PATCH /logs``. Absent fields stay unchanged.

    Attributes:
        output: The generated text.
        error: The error message of a failed generation.
        duration: How long the generation took, in seconds.
    """

    output: str | None = None
    error: str | None = None
    duration: float | None = None


class CreateLogResponse(Response, kw_only=True):
    """A new log.

    Attributes:
        session_id: Id of the session, if the request named one.
    """

    id: str
    project_id: str
    session_id: str | None = None


class MetricValueResponse(ApiObject, kw_only=True):
    """One metric of a log."""

    metric_id: str
    metric_name: str
    metric_value: float


class EvaluationResultResponse(Response, kw_only=True):
    """One evaluator's verdict on a log.

    Attributes:
        log_id: Id of the log.
        evaluation_id: Id of the evaluation; None if the evaluator is active on the log's project.
        value: The verdict, of the evaluator's return type.
        error: Why there is no verdict.
        evaluator_log: The log of an "llm" evaluator.
    """

    id: str
    evaluator_id: str
    evaluator_version_id: str
    log_id: str
    created_at: DateTime
    updated_at: DateTime
    evaluation_id: str | None = None
    log: LogResponse | None = None
    version_id: str | None = None
    version: Json = None
    value: FeedbackValue | None = None
    error: str | None = None
    evaluator_log: LogResponse | None = None


class LogResponse(LogFields, Response, kw_only=True):
    """A stored log.

    Attributes:
        inputs: Values of the template's ``{{ names }}``.
        save: Whether inputs, messages and outputs are stored.
        duration: How long the generation took, in seconds, as its sender measured.
        provider_latency: How long the provider took, in seconds, as this server measured.
        tokens: `prompt_tokens` and `output_tokens` together.
        reasoning: The text of the model's thinking. An extension of v4, from providers that return it.
        request_id: The ``X-Request-Id`` of the request that created the log. An extension of v4.
    """

    id: str
    config: ConfigResponse
    evaluation_results: list[EvaluationResultResponse]
    observability_status: Literal["pending", "running", "completed", "failed"]
    updated_at: DateTime
    inputs: dict[str, Json] | None = field(default_factory=dict[str, Json])
    save: bool | None = True
    feedback: list[FeedbackResponse] | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    user: str | None = None
    provider_latency: float | None = None
    tokens: int | None = None
    raw_output: str | None = None
    reasoning: str | None = None
    request_id: str | None = None
    finish_reason: str | None = None
    metric_values: list[MetricValueResponse] | None = None
    tools: list[ToolResultResponse] | None = None
    tool_choice: ToolChoiceValue | None = None
    batch_ids: list[str] | None = None
    model_config: ModelConfigResponse | None = None


class ListLogsQuery(ApiObject, kw_only=True):
    """Query of ``GET /logs``.

    Attributes:
        project_id: Id of the project.
        search: Text that the inputs or the output contain, in upper or lower case.
        metadata_search: Text that the metadata contains.
        version_status: Status of the configuration's version.
        start_date: First `created_at`. A date without a time starts the day, in UTC.
        end_date: Last `created_at`. A date without a time includes the whole day, in UTC.
        sort: ``column.asc`` or ``column.desc``; the columns are source, model, timestamp and feedback-{type}. Newest
            first if absent.
        source_filter: Sources to include.
        model_filter: Models to include.
        feedback_filter: Values to include by type of feedback: ``feedback-{type}_filter=value`` on the wire.
        source_datapoint_id: Id of the datapoint that the logs were generated for.
        session_id: Id of the session that the logs belong to. An extension of v4.
        request_id: ``X-Request-Id`` of the request that created the logs. An extension of v4.
        evaluator_filter: Values to include by evaluator id: ``evaluator-{id}_filter=value`` on the wire.
        size: Records per page, at most 1,000.
        page: Number of the page; the first one is 0.
    """

    project_id: str
    search: str | None = None
    metadata_search: str | None = None
    version_status: VersionStatus | None = None
    start_date: DateOrDatetime | None = None
    end_date: DateOrDatetime | None = None
    sort: list[SortColumn] | None = None
    source_filter: list[str] | None = None
    model_filter: list[str] | None = None
    feedback_filter: dict[str, list[str]] | None = None
    source_datapoint_id: str | None = None
    session_id: str | None = None
    request_id: str | None = None
    evaluator_filter: dict[str, list[str]] | None = None
    size: PageSize = 50
    page: PageNumber = 0

    def __post_init__(self) -> None:
        for name, value in (("start_date", self.start_date), ("end_date", self.end_date)):
            try:
                if value is not None:
                    datetime.fromisoformat(value)
            except ValueError as exc:
                raise ValueError(f"{name}={value!r} is not a date or a date with a time in ISO 8601") from exc


class DeleteLogsQuery(ApiObject, kw_only=True):
    """Query of ``DELETE /logs``.

    Attributes:
        id: Ids of the logs, at least one.
    """

    id: Annotated[list[str], Meta(min_length=1)]


class ReferenceQuery(ApiObject, kw_only=True):
    """Query of ``PATCH /logs``.

    Attributes:
        reference_id: Your identifier of the log.
    """

    reference_id: str
