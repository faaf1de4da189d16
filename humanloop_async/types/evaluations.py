"""``/evaluations``: a configuration's logs for a dataset, and the results of evaluators on them."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, field

from .configs import ConfigResponse, ModelConfigEvaluatorAggregateResponse
from .datasets import DatapointResponse, DatasetResponse
from .feedback import FeedbackValue
from .logs import EvaluationResultResponse, LogRequest, LogResponse
from .projects import EvaluatorResponse, PageQuery
from .shared import ApiObject, DateTime, Json, PageNumber, PageSize, ProviderApiKeys, Response

EvaluationStatus: TypeAlias = Literal["pending", "running", "completed", "cancelled", "failed"]
EvaluationDate: TypeAlias = Annotated[
    str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", extra_json_schema={"format": "date", "type": "string"})
]


class CreateEvaluationRequest(ApiObject, kw_only=True):
    """``POST /projects/{project_id}/evaluations``.

    Attributes:
        config_id: Id of the configuration to evaluate, one of the project.
        evaluator_ids: Ids of the evaluators.
        dataset_id: Id of the dataset. The evaluation uses the version that is current now.
        provider_api_keys: Provider keys of this evaluation. The server never stores them: if it stops before the
            evaluation ends, the rest runs with the server's keys.
        hl_generated: Whether the server generates a log for each datapoint. Otherwise, send them with `log`.
        name: Name of the evaluation.
    """

    config_id: str
    evaluator_ids: list[str]
    dataset_id: str
    provider_api_keys: ProviderApiKeys | None = None
    hl_generated: bool = True
    name: str | None = None


class CreateEvaluationLogRequest(ApiObject, kw_only=True):
    """``POST /evaluations/{evaluation_id}/log``.

    Attributes:
        datapoint_id: Id of the datapoint that the log is for.
        log: The log. By default, its project and its configuration are those of the evaluation.
    """

    datapoint_id: str
    log: LogRequest


class CreateEvaluationResultLogRequest(ApiObject, kw_only=True):
    """``POST /evaluations/{evaluation_id}/result``. Give either `result` or `error`.

    Attributes:
        log_id: Id of a log of the evaluation.
        evaluator_id: Id of an "external" or "human" evaluator of the evaluation.
        result: The judgment, of the evaluator's return type.
        error: Why there is no judgment.
    """

    log_id: str
    evaluator_id: str
    result: FeedbackValue | None = None
    error: str | None = None


class UpdateEvaluationStatusRequest(ApiObject, kw_only=True):
    """``PATCH /evaluations/{id}/status``.

    Attributes:
        status: "completed" or "cancelled" to end the evaluation, "running" to continue it.
    """

    status: EvaluationStatus


class AddEvaluatorsRequest(ApiObject, kw_only=True):
    """``PATCH /evaluations/{id}/evaluators``.

    Attributes:
        evaluator_ids: Ids of evaluators to add, in their current versions.
        evaluator_version_ids: Ids of versions of evaluators to add.
    """

    evaluator_ids: list[str] = field(default_factory=list[str])
    evaluator_version_ids: list[str] = field(default_factory=list[str])


class EvaluationProgress(ApiObject, kw_only=True):
    """How far an evaluation is. Not part of v4.

    Attributes:
        datapoints: The number of datapoints.
        logs: The number of datapoints that have their log.
        results: The number of results there are.
        results_total: The number of results there will be: one for each datapoint and evaluator.
        errors: The number of results that are errors.
    """

    datapoints: int
    logs: int
    results: int
    results_total: int
    errors: int


class EvaluationResponse(Response, kw_only=True):
    """An evaluation of a configuration.

    Attributes:
        status: Status of the evaluation; the HTTP status that other responses have here is not available.
        dataset: The dataset in its current version.
        dataset_version_id: Id of the version that the evaluation uses.
        dataset_snapshot: The dataset in the version that the evaluation uses.
        evaluator_aggregates: The mean of each evaluator's results; the mean of booleans is the share of true ones.
        feedback_aggregates: Always None: see the feedback on the logs.
        name: Name of the evaluation. Not part of v4, which accepts one and does not return it.
        progress: How far it is. Not part of v4.
    """

    id: str
    status: EvaluationStatus  # type: ignore[assignment]  # hides the HTTP status
    config: ConfigResponse
    created_at: DateTime
    updated_at: DateTime
    evaluators: list[EvaluatorResponse]
    dataset: DatasetResponse
    dataset_version_id: str
    dataset_snapshot: DatasetResponse | None = None
    evaluator_aggregates: list[ModelConfigEvaluatorAggregateResponse] | None = None
    feedback_aggregates: list[Json] | None = None
    name: str | None = None
    progress: EvaluationProgress | None = None


class EvaluationDatapointSnapshotResponse(Response, kw_only=True):
    """A datapoint of an evaluation, with its log and the results on it.

    Attributes:
        datapoint: The datapoint, as it was when the evaluation started.
        log: The log that was generated for it, once there is one.
        evaluation_results: The results of the evaluators so far.
    """

    datapoint: DatapointResponse
    evaluation_results: list[EvaluationResultResponse]
    log: LogResponse | None = None


class EvaluateeQuery(ApiObject, kw_only=True):
    """The configuration of an evaluation.

    Attributes:
        evaluatee_id: Id of the evaluated configuration. An evaluation has one configuration, so it is not needed.
    """

    evaluatee_id: str | None = None


class GetEvaluationQuery(EvaluateeQuery, kw_only=True):
    """Query of ``GET /evaluations/{id}``.

    Attributes:
        evaluator_aggregates: Whether to return `evaluator_aggregates`.
    """

    evaluator_aggregates: bool | None = None


class ProjectEvaluationsQuery(GetEvaluationQuery, kw_only=True):
    """Query of ``GET /projects/{project_id}/evaluations``.

    Attributes:
        evaluatee_id: Id of a configuration: list its evaluations only.
    """


class ListEvaluationsQuery(PageQuery, kw_only=True):
    """Query of ``GET /evaluations``.

    Attributes:
        project_id: Id of the project.
        id: Ids of evaluations: list these only.
        start_date: First day of creation, in UTC.
        end_date: Last day of creation, in UTC.
        evaluatee_id: Id of a configuration: list its evaluations only.
    """

    project_id: str
    id: list[str] | None = None
    start_date: EvaluationDate | None = None
    end_date: EvaluationDate | None = None
    size: PageSize = 50
    evaluatee_id: str | None = None


class ListEvaluationDatapointsQuery(ApiObject, kw_only=True):
    """Query of ``GET /evaluations/{id}/datapoints``.

    Attributes:
        page: Number of the page; the first one is 1.
        size: Records per page, at most 1,000.
        evaluatee_id: Id of the evaluated configuration. An evaluation has one configuration, so it is not needed.
    """

    page: PageNumber = 1
    size: PageSize = 10
    evaluatee_id: str | None = None
