"""``/projects``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .configs import (
    ConfigType,
    EvaluatorArgumentsType,
    EvaluatorReturnType,
    ModelConfigResponse,
    ProjectConfigResponse,
)
from .experiments import ExperimentResponse
from .feedback import FeedbackTypeModel, FeedbackTypeRequest, PositiveLabel
from .shared import DateTime, PageNumber, PageSize, Response


class CreateProjectRequest(Struct, kw_only=True):
    """``POST /projects``; names are unique."""

    name: str
    feedback_types: list[FeedbackTypeRequest] | None = None
    directory_id: str | None = None


class UpdateProjectRequest(Struct, kw_only=True):
    """``PATCH /projects/{id}``; what is absent stays as it is.

    `active_config_id` or `active_experiment_id` is deployed to the default environment.
    """

    name: str | None = None
    active_experiment_id: str | None = None
    active_config_id: str | None = None
    positive_labels: list[PositiveLabel] | None = None
    directory_id: str | None = None


class ProjectUserResponse(Struct, kw_only=True):
    """Who works on a project."""

    id: str
    email_address: str
    full_name: str | None = None


class EvaluatorResponse(Response, kw_only=True):
    """A stored evaluator."""

    id: str
    name: Annotated[str, Meta(min_length=1, max_length=255)]
    description: Annotated[str, Meta(max_length=255)]
    arguments_type: EvaluatorArgumentsType
    return_type: EvaluatorReturnType
    type: Literal["python", "llm", "human", "external"]
    created_at: DateTime
    updated_at: DateTime
    code: str | None = None
    model_config: ModelConfigResponse | None = None
    logging_project: ProjectResponse | None = None


class ProjectResponse(Response, kw_only=True):
    """A project. `active_config` and `active_experiment` are the default environment's."""

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


class ListProjectsQuery(Struct, kw_only=True):
    """Query of ``GET /projects``; the first page is 0.

    Attributes:
        filter: Text in the project's name.
        user_filter: Text in the name or address of one of its users.
        organization_id: Read past: a server has one organisation.
    """

    page: PageNumber = 0
    size: PageSize = 10
    filter: str | None = None
    user_filter: str | None = None
    sort_by: Literal["created_at", "updated_at", "name"] = "created_at"
    order: Literal["asc", "desc"] = "desc"
    organization_id: str | None = None


class ExportQuery(Struct, kw_only=True):
    """Query of ``POST /projects/{id}/export``; the first page is 0."""

    page: PageNumber = 0
    size: PageSize = 10
