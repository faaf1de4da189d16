"""``/projects``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from .configs import (
    ConfigType,
    EvaluatorArgumentsType,
    EvaluatorReturnType,
    EvaluatorType,
    ModelConfigResponse,
    ProjectConfigResponse,
)
from .experiments import ExperimentResponse
from .feedback import FeedbackTypeModel, FeedbackTypeRequest, PositiveLabel
from .shared import ApiObject, DateTime, Json, PageNumber, PageSize, Response


class CreateProjectRequest(ApiObject, kw_only=True):
    """``POST /projects``.

    Attributes:
        name: Unique name of the project.
        feedback_types: Types of feedback to create with the project.
        directory_id: Id of the directory to put the project into.
    """

    name: str
    feedback_types: list[FeedbackTypeRequest] | None = None
    directory_id: str | None = None


class UpdateProjectRequest(ApiObject, kw_only=True):
    """``PATCH /projects/{id}``. Absent fields stay unchanged.

    Attributes:
        name: New unique name of the project.
        active_experiment_id: Id of the experiment to deploy to the default environment.
        active_config_id: Id of the configuration to deploy to the default environment.
        positive_labels: Feedback that counts as a success.
        directory_id: Id of the directory to put the project into.
        active_evaluator_ids: Ids of all evaluators to run on the project's new logs; an empty list for none. Not part
            of v4, whose web application had it.
    """

    name: str | None = None
    active_experiment_id: str | None = None
    active_config_id: str | None = None
    active_evaluator_ids: list[str] | None = None
    positive_labels: list[PositiveLabel] | None = None
    directory_id: str | None = None


class ProjectUserResponse(ApiObject, kw_only=True):
    """A user of a project."""

    id: str
    email_address: str
    full_name: str | None = None


class EvaluatorResponse(Response, kw_only=True):
    """A stored evaluator.

    Attributes:
        model_config: The model configuration of an "llm" evaluator.
        logging_project: The project that the logs of an "llm" evaluator are in.
        version_id: Id of this version of the evaluator. Not part of v4.
        options: The values of a "select" or "multi_select" evaluator that was imported. Not part of v4.
    """

    id: str
    name: Annotated[str, Meta(min_length=1, max_length=255)]
    description: Annotated[str, Meta(max_length=255)]
    arguments_type: EvaluatorArgumentsType
    return_type: EvaluatorReturnType
    type: EvaluatorType
    created_at: DateTime
    updated_at: DateTime
    code: str | None = None
    model_config: ModelConfigResponse | None = None
    logging_project: ProjectResponse | None = None
    version_id: str | None = None
    options: list[Json] | None = None


class ProjectResponse(Response, kw_only=True):
    """A project.

    Attributes:
        data_count: The number of its logs.
        active_experiment: The experiment that is deployed to the default environment.
        active_config: The configuration that is deployed to the default environment.
        active_evaluators: The evaluators that run on its new logs.
    """

    id: str
    name: str
    users: list[ProjectUserResponse]
    data_count: int
    feedback_types: list[FeedbackTypeModel]
    team_id: str
    created_at: DateTime
    updated_at: DateTime
    active_experiment: ExperimentResponse | None = None
    active_config: ProjectConfigResponse | None = None
    config_type: ConfigType | None = None
    active_evaluators: list[EvaluatorResponse] | None = None
    directory_id: str | None = None


class PageQuery(ApiObject, kw_only=True):
    """The page of a list that starts at page 0.

    Attributes:
        page: Number of the page; the first one is 0.
        size: Records per page, at most 1,000.
    """

    page: PageNumber = 0
    size: PageSize = 10


class ListProjectsQuery(PageQuery, kw_only=True):
    """Query of ``GET /projects``.

    Attributes:
        filter: Text that the project's name contains.
        user_filter: Text that the name or address of one of its users contains.
        sort_by: The field to sort by.
        order: The direction to sort in.
        organization_id: Ignored: a server has one organisation.
    """

    filter: str | None = None
    user_filter: str | None = None
    sort_by: Literal["created_at", "updated_at", "name"] = "created_at"
    order: Literal["asc", "desc"] = "desc"
    organization_id: str | None = None


class ExportQuery(PageQuery, kw_only=True):
    """Query of ``POST /projects/{id}/export``."""
