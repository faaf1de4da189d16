"""Experiments: configurations of a project, tried against each other by feedback.

`sampling` and `sticky` are additions of this project to v4, which says nothing of how an experiment picks. They belong
to each experiment, because one that is to learn and one that is to measure can run side by side; a client that does
not know them gets what the server is set to.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from .configs import ConfigResponse
from .feedback import PositiveLabel
from .shared import DateTime, Response

Sampling: TypeAlias = Literal["uniform", "thompson"]
"""Each configuration equally often, or those with better feedback more often."""

Sticky: TypeAlias = Literal["none", "session", "user"]
"""Who stays with the configuration that was picked first: nobody, a session, or a request's `user`."""


class CreateExperimentRequest(Struct, kw_only=True):
    """``POST /projects/{project_id}/experiments``."""

    name: str
    positive_labels: list[PositiveLabel]
    config_ids: list[str] | None = None
    set_active: bool = False
    sampling: Sampling | None = None
    sticky: Sticky | None = None


class UpdateExperimentRequest(Struct, kw_only=True):
    """``PATCH /experiments/{experiment_id}``; what is absent stays as it is."""

    name: str | None = None
    positive_labels: list[PositiveLabel] | None = None
    config_ids_to_register: list[str] | None = None
    config_ids_to_deregister: list[str] | None = None
    sampling: Sampling | None = None
    sticky: Sticky | None = None


class BaseMetricResponse(Struct, kw_only=True):
    """What an experiment measures."""

    id: str
    name: str
    description: str
    code: str
    default: bool
    active: bool
    created_at: DateTime
    updated_at: DateTime


class ExperimentConfigResponse(Struct, kw_only=True):
    """How one configuration does.

    Attributes:
        mean: The share of its trials with positive feedback; None without trials.
        spread: The uncertainty of `mean`.
        trials_count: Its logs that have feedback.
        active: Whether it is sampled.
    """

    id: str
    display_name: str
    config: ConfigResponse
    trials_count: int
    active: bool
    created_at: DateTime
    updated_at: DateTime
    mean: float | None = None
    spread: float | None = None


class ExperimentResponse(Response, kw_only=True):
    """An experiment and how its configurations do."""

    id: str
    project_id: str
    name: str
    status: Literal["Initialized", "In progress"]  # type: ignore[assignment]  # hides the HTTP status
    metric: BaseMetricResponse
    positive_labels: list[PositiveLabel]
    created_at: DateTime
    updated_at: DateTime
    configs: list[ExperimentConfigResponse] | None = None
    sampling: Sampling | None = None
    sticky: Sticky | None = None
