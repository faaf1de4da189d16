"""Experiments: configurations of a project, compared with each other by feedback.

`sampling` and `sticky` extend v4, which does not say how an experiment picks a configuration. They belong to each
experiment, so that a bandit and an A/B test can run side by side; clients that do not send them get the server's
defaults.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from .configs import ConfigResponse
from .feedback import PositiveLabel
from .shared import ApiObject, DateTime, Response

Sampling: TypeAlias = Literal["uniform", "thompson"]
"""Each configuration equally often, or configurations with better feedback more often."""

Sticky: TypeAlias = Literal["none", "session", "user"]
"""Whether the first configuration picked is kept: never, for a session, or for a request's `user`."""


class SamplingFields(ApiObject, kw_only=True):
    """How an experiment picks configurations.

    Attributes:
        sampling: "uniform" picks each configuration equally often, "thompson" those with better feedback more often.
            The server's setting if absent. Not part of v4.
        sticky: Whether to keep the first configuration picked for a "session" or a "user", or never ("none"). The
            server's setting if absent. Not part of v4.
    """

    sampling: Sampling | None = None
    sticky: Sticky | None = None


class CreateExperimentRequest(SamplingFields, kw_only=True):
    """``POST /projects/{project_id}/experiments``.

    Attributes:
        name: Name of the experiment.
        positive_labels: Feedback that counts as a success.
        config_ids: Ids of the configurations to compare.
        set_active: Whether to deploy the experiment to the project's default environment.
    """

    name: str
    positive_labels: list[PositiveLabel]
    config_ids: list[str] | None = None
    set_active: bool = False


class UpdateExperimentRequest(SamplingFields, kw_only=True):
    """``PATCH /experiments/{experiment_id}``. Absent fields stay unchanged.

    Attributes:
        name: New name of the experiment.
        positive_labels: Feedback that counts as a success.
        config_ids_to_register: Ids of configurations to add.
        config_ids_to_deregister: Ids of configurations to remove.
    """

    name: str | None = None
    positive_labels: list[PositiveLabel] | None = None
    config_ids_to_register: list[str] | None = None
    config_ids_to_deregister: list[str] | None = None


class BaseMetricResponse(ApiObject, kw_only=True):
    """The metric that an experiment compares configurations by."""

    id: str
    name: str
    description: str
    code: str
    default: bool
    active: bool
    created_at: DateTime
    updated_at: DateTime


class ExperimentConfigResponse(ApiObject, kw_only=True):
    """One configuration of an experiment, and its success so far.

    Attributes:
        mean: The share of its trials with positive feedback; None without trials.
        spread: The uncertainty of `mean`.
        trials_count: The number of its logs that have feedback.
        active: Whether the experiment picks it.
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


class ExperimentResponse(SamplingFields, Response, kw_only=True):
    """An experiment and the success of its configurations.

    Attributes:
        status: v4's status of the experiment; the HTTP status that other responses have here is not available.
        positive_labels: Feedback that counts as a success.
    """

    id: str
    project_id: str
    name: str
    status: Literal["Initialized", "In progress"]  # type: ignore[assignment]  # hides the HTTP status
    metric: BaseMetricResponse
    positive_labels: list[PositiveLabel]
    created_at: DateTime
    updated_at: DateTime
    configs: list[ExperimentConfigResponse] | None = None
