"""The keyword arguments of the calls around generation, typed once for the async and the sync client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Literal, NotRequired, Required, TypeAlias, TypedDict

from ..types import (
    ChatMessage,
    ConfigRequest,
    EnvironmentRequest,
    Feedback,
    FeedbackClass,
    FeedbackRequest,
    FeedbackTypeRequest,
    FeedbackValue,
    LabelSentiment,
    LogRequest,
    ModelConfigTool,
    PositiveLabel,
    Sampling,
    Sticky,
    VersionStatus,
)
from .params import CallOptions, ChatMessageParam, JsonObject, ModelConfigParam

Moment: TypeAlias = datetime | str
"""A point in time, as ISO 8601 when it is text; one without a zone is UTC."""


class PageParams(CallOptions, total=False):
    page: int | None
    """Number of the page, or of the first one when all are read."""
    size: int | None
    """How many records a page holds, at most 1,000."""


class EnvironmentParams(CallOptions, total=False):
    environment: str | None
    """Name of the environment; the default one when absent."""


# Projects


class PositiveLabelParam(TypedDict):
    type: str
    value: str


PositiveLabels: TypeAlias = Sequence[PositiveLabelParam | PositiveLabel]
"""Feedback that counts as a success."""


class FeedbackLabelParam(TypedDict):
    value: str
    sentiment: NotRequired[LabelSentiment]


FeedbackTypeParam = TypedDict(
    "FeedbackTypeParam",
    {
        "type": Required[str],
        "values": Sequence[FeedbackLabelParam],
        "class": FeedbackClass,  # a keyword of Python's, so no class statement can have it
    },
    total=False,
)


class ListProjectsParams(PageParams, total=False):
    filter: str | None
    """Text in the project's name."""
    user_filter: str | None
    """Text in the name or address of one of its users."""
    sort_by: Literal["created_at", "updated_at", "name"] | None
    order: Literal["asc", "desc"] | None
    organization_id: str | None


class CreateProjectParams(CallOptions, total=False):
    feedback_types: Sequence[FeedbackTypeParam | FeedbackTypeRequest] | None
    directory_id: str | None


class UpdateProjectParams(CallOptions, total=False):
    name: str | None
    active_experiment_id: str | None
    """Deployed to the default environment."""
    active_config_id: str | None
    """Deployed to the default environment."""
    positive_labels: PositiveLabels | None
    directory_id: str | None


class ListConfigsParams(CallOptions, total=False):
    evaluation_aggregates: bool | None


class EnvironmentParam(TypedDict):
    id: str
    name: NotRequired[str]


class DeployConfigParams(CallOptions, total=False):
    config_id: str | None
    experiment_id: str | None
    environments: Sequence[EnvironmentParam | EnvironmentRequest] | None
    """The default environment when absent."""


class RegisterModelConfigParams(CallOptions, ModelConfigParam, total=False):
    project: str | None
    """Unique project name; an unknown one is created."""
    project_id: str | None
    experiment: str | None
    """Name of an experiment to add the configuration to."""
    prompt_template: str | None
    chat_template: Sequence[ChatMessageParam | ChatMessage] | None
    tools: Sequence[ModelConfigTool | JsonObject] | None


class CreateExperimentParams(CallOptions, total=False):
    name: Required[str]
    positive_labels: Required[PositiveLabels]
    config_ids: Sequence[str] | None
    set_active: bool | None
    """Whether to deploy it to the default environment. Default False."""
    sampling: Sampling | None
    """How it picks: each configuration equally often ("uniform"), or those with better feedback more often
    ("thompson"). As the server is set when absent; neither this nor `sticky` is part of v4."""
    sticky: Sticky | None
    """Who stays with the configuration that was picked first: "none", "session" or "user"; likewise."""


class UpdateExperimentParams(CallOptions, total=False):
    name: str | None
    positive_labels: PositiveLabels | None
    config_ids_to_register: Sequence[str] | None
    config_ids_to_deregister: Sequence[str] | None
    sampling: Sampling | None
    sticky: Sticky | None


# Logs


class FeedbackParam(TypedDict, total=False):
    """Feedback that rides along with a log, as a plain dict; see `Feedback`."""

    type: Required[str]
    value: Required[FeedbackValue]
    data_id: str | None
    """Part of v4, and of no use: the feedback is on the log that it comes with."""
    user: str | None
    created_at: Moment | None


class FeedbackFields(TypedDict, total=False):
    """Feedback on a log as a plain dict; see `FeedbackRequest`."""

    type: Required[str]
    """rating, action, issue, correction, comment, or one of the project's own."""
    value: FeedbackValue | None
    data_id: str | None
    """The log's id."""
    user: str | None
    created_at: Moment | None
    unset: bool | None
    """True takes it back; `value` says which, where there can be several."""


class FeedbackParams(CallOptions, FeedbackFields, total=False):
    """One piece of feedback as keywords."""


class LogFields(TypedDict, total=False):
    """A log as a plain dict; see `LogRequest`."""

    project: str | None
    """Unique project name; an unknown one is created."""
    project_id: str | None
    session_id: str | None
    session_reference_id: str | None
    """A string of your own that identifies a session; first use creates the session."""
    parent_id: str | None
    parent_reference_id: str | None
    """The `reference_id` of a log that was stored before."""
    inputs: JsonObject | None
    source: str | None
    metadata: JsonObject | None
    save: bool | None
    """False stores neither inputs nor outputs. Default True."""
    source_datapoint_id: str | None
    reference_id: str | None
    """A string of your own that identifies this log."""
    trial_id: str | None
    """From `get_active_config` or `sample`: the log counts for the experiment."""
    messages: Sequence[ChatMessageParam | ChatMessage] | None
    output: str | None
    judgment: FeedbackValue | None
    config_id: str | None
    config: ConfigRequest | JsonObject | None
    """What generated it, told apart by ``type``; needed unless `config_id` or `trial_id` says it."""
    environment: str | None
    feedback: FeedbackParam | Feedback | Sequence[FeedbackParam | Feedback] | None
    created_at: Moment | None
    error: str | None
    stdout: str | None
    duration: float | None
    """Seconds."""
    output_message: ChatMessageParam | ChatMessage | None
    prompt_tokens: int | None
    output_tokens: int | None
    prompt_cost: float | None
    output_cost: float | None
    provider_request: JsonObject | None
    provider_response: JsonObject | None


class LogParams(CallOptions, LogFields, total=False):
    """One log as keywords."""


LogBody: TypeAlias = LogFields | LogRequest
FeedbackBody: TypeAlias = FeedbackFields | FeedbackRequest


class UpdateLogParams(CallOptions, total=False):
    output: str | None
    error: str | None
    duration: float | None
    """Seconds."""


class ListLogsParams(PageParams, total=False):
    search: str | None
    """Text in the inputs or the output, upper and lower case alike."""
    metadata_search: str | None
    version_status: VersionStatus | None
    start_date: date | str | None
    end_date: date | str | None
    """Inclusive; a date without a time includes its whole day."""
    sort: str | Sequence[str] | None
    """``column.asc`` or ``column.desc``; columns are source, model, timestamp and feedback-{type}."""
    source_filter: str | Sequence[str] | None
    model_filter: str | Sequence[str] | None
    feedback_filter: Mapping[str, str | Sequence[str]] | None
    """By type of feedback: ``{"rating": "good"}``."""
    evaluator_filter: Mapping[str, str | Sequence[str]] | None
    """By id of an evaluator."""
