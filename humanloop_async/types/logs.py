"""``/logs``: what was generated, by this server or elsewhere."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct, field

from .configs import ConfigRequest, ConfigResponse, ModelConfigResponse
from .feedback import Feedback, FeedbackResponse, FeedbackValue
from .shared import (
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
Day: TypeAlias = Annotated[
    str, Meta(extra_json_schema={"anyOf": [{"format": "date"}, {"format": "date-time"}], "type": "string"})
]
"""A date, or a date with a time; one without a zone is UTC."""
SortColumn: TypeAlias = Annotated[str, Meta(pattern=r"^(source|model|timestamp|feedback-.+)\.(asc|desc)$")]


class LogRequest(Struct, kw_only=True):
    """``POST /logs``, one or a list of them. One of `config`, `config_id` and `trial_id` says what generated it."""

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
    reference_id: str | None = None
    trial_id: str | None = None
    messages: list[ChatMessage] | None = None
    output: str | None = None
    judgment: FeedbackValue | None = None
    config_id: str | None = None
    config: ConfigRequest | None = None
    environment: str | None = None
    feedback: Feedback | list[Feedback] | None = None
    created_at: DateTime | None = None
    error: str | None = None
    stdout: str | None = None
    duration: float | None = None
    output_message: ChatMessage | None = None
    prompt_tokens: TokenCount | None = None
    output_tokens: TokenCount | None = None
    prompt_cost: float | None = None
    output_cost: float | None = None
    provider_request: dict[str, Json] | None = None
    provider_response: dict[str, Json] | None = None


class UpdateLogRequest(Struct, kw_only=True):
    """``PATCH /logs/{id}`` and ``PATCH /logs``; what is absent stays as it is."""

    output: str | None = None
    error: str | None = None
    duration: float | None = None


class CreateLogResponse(Response, kw_only=True):
    """A log that was taken. `session_id` only when the request named a session."""

    id: str
    project_id: str
    session_id: str | None = None


class MetricValueResponse(Struct, kw_only=True):
    """One metric of a log."""

    metric_id: str
    metric_name: str
    metric_value: float


class EvaluationResultResponse(Struct, kw_only=True):
    """One evaluator's verdict on a log."""

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


class LogResponse(Response, kw_only=True):
    """A stored log.

    Attributes:
        duration: Seconds, as its sender gave them.
        provider_latency: Seconds that the provider took, as this server measured them.
        tokens: `prompt_tokens` and `output_tokens` together.
    """

    id: str
    config: ConfigResponse
    evaluation_results: list[EvaluationResultResponse]
    observability_status: Literal["pending", "running", "completed", "failed"]
    updated_at: DateTime
    project: str | None = None
    project_id: str | None = None
    session_id: str | None = None
    session_reference_id: str | None = None
    parent_id: str | None = None
    parent_reference_id: str | None = None
    inputs: dict[str, Json] | None = field(default_factory=dict[str, Json])
    source: str | None = None
    metadata: dict[str, Json] | None = None
    save: bool | None = True
    source_datapoint_id: str | None = None
    reference_id: str | None = None
    trial_id: str | None = None
    messages: list[ChatMessage] | None = None
    output: str | None = None
    judgment: FeedbackValue | None = None
    config_id: str | None = None
    environment: str | None = None
    feedback: list[FeedbackResponse] | None = None
    created_at: DateTime | None = None
    error: str | None = None
    stdout: str | None = None
    duration: float | None = None
    output_message: ChatMessage | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    prompt_cost: float | None = None
    output_cost: float | None = None
    provider_request: dict[str, Json] | None = None
    provider_response: dict[str, Json] | None = None
    user: str | None = None
    provider_latency: float | None = None
    tokens: int | None = None
    raw_output: str | None = None
    finish_reason: str | None = None
    metric_values: list[MetricValueResponse] | None = None
    tools: list[ToolResultResponse] | None = None
    tool_choice: ToolChoiceValue | None = None
    batch_ids: list[str] | None = None
    model_config: ModelConfigResponse | None = None


class ListLogsQuery(Struct, kw_only=True):
    """Query of ``GET /logs``; the first page is 0.

    Attributes:
        search: Text in the inputs or the output, upper and lower case alike.
        metadata_search: Text in the metadata.
        start_date, end_date: Bounds of ``created_at``; a date without a time includes its whole day.
        sort: ``column.asc`` or ``column.desc``; columns are source, model, timestamp and feedback-{type}.
        source_filter, model_filter: One of these values.
        feedback_filter: By type of feedback; ``feedback-{type}_filter=value`` on the wire. One of these values.
        evaluator_filter: By id of an evaluator, likewise.
    """

    project_id: str
    search: str | None = None
    metadata_search: str | None = None
    version_status: VersionStatus | None = None
    start_date: Day | None = None
    end_date: Day | None = None
    sort: list[SortColumn] | None = None
    source_filter: list[str] | None = None
    model_filter: list[str] | None = None
    feedback_filter: dict[str, list[str]] | None = None
    evaluator_filter: dict[str, list[str]] | None = None
    size: PageSize = 50
    page: PageNumber = 0

    def __post_init__(self) -> None:
        for name in ("start_date", "end_date"):
            moment = getattr(self, name)
            try:
                datetime.fromisoformat("2000-01-01" if moment is None else moment)
            except ValueError as exc:
                raise ValueError(f"{name} is neither a date nor a date with a time in ISO 8601") from exc


class DeleteLogsQuery(Struct, kw_only=True):
    """Query of ``DELETE /logs``."""

    id: Annotated[list[str], Meta(min_length=1)]


class ReferenceQuery(Struct, kw_only=True):
    """Query of ``PATCH /logs``: the log's ``reference_id``."""

    reference_id: str
