"""Build v4's responses for projects and their configurations.

Each function builds the responses of a whole page, with a fixed number of queries.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from ... import types as t
from ..storage.config_responses import config_responses
from ..storage.configs import ConfigDetails, config_details
from ..storage.deployments import deployments_of
from ..storage.evaluators import active_evaluators
from ..storage.experiments import experiments_by_id
from ..storage.feedback import label_counts
from ..storage.feedback_types import feedback_classes, feedback_types_of
from ..storage.projects import project_details
from .environments import Environment
from .experiment_responses import experiments
from .sampling import Sampler

MAX_PARAMETERS = 10_000
"""Most ids in one statement; databases accept about 32,000. A project may have more configurations than that, if a
program sends each prompt as a template, and v4 lists them without pages."""

TEAM_ID = "tm_000000000000000000000"
"""The id of the only team: a server has one organisation and no users."""


async def projects(
    connection: AsyncConnection, project_ids: Collection[str], default: Environment, sampler: Sampler
) -> list[t.ProjectResponse]:
    """Return the projects with these ids that exist, in the order of the ids."""
    details = await project_details(connection, project_ids)
    deployments = await deployments_of(connection, project_ids, default.id)
    config_ids = [item.config_id for item in deployments if item.config_id is not None]
    active_configs = await project_configs(connection, (await config_details(connection, config_ids)).values())
    experiment_ids = [item.experiment_id for item in deployments if item.experiment_id is not None]
    active_experiments = await experiments(connection, await experiments_by_id(connection, experiment_ids), sampler)
    feedback_types = await feedback_types_of(connection, project_ids)
    active = await active_evaluators(connection, project_ids)
    config_of = {config.project_id: config for config in active_configs}
    experiment_of = {experiment.project_id: experiment for experiment in active_experiments}
    return [
        t.ProjectResponse(
            id=project.id,
            name=project.name,
            users=[],
            data_count=project.data_count,
            feedback_types=feedback_types[project.id],
            team_id=TEAM_ID,
            created_at=project.created_at,
            updated_at=project.updated_at,
            active_experiment=experiment_of.get(project.id),
            active_config=config_of.get(project.id),
            config_type="model" if project.has_configs else None,
            active_evaluators=active.get(project.id, []),
            directory_id=project.directory_id,
        )
        for project in details
    ]


async def project_configs(
    connection: AsyncConnection, configs: Collection[ConfigDetails]
) -> list[t.ProjectConfigResponse]:
    """Return configurations, each with its project."""
    configs = [*configs]
    responses: list[t.ProjectConfigResponse] = []
    for start in range(0, len(configs), MAX_PARAMETERS):
        fields = await _config_fields(connection, configs[start : start + MAX_PARAMETERS])
        responses += [t.ProjectConfigResponse(**config_fields) for config_fields in fields]
    return responses


async def active_config(
    connection: AsyncConnection,
    config_id: str,
    *,
    environment: Environment | None = None,
    experiment_id: str | None = None,
    trial_id: str | None = None,
) -> t.GetModelConfigResponse | None:
    """Return a configuration with its environment, experiment and trial; None if it was deleted."""
    fields = await _config_fields(connection, (await config_details(connection, [config_id])).values())
    if not fields:
        return None
    return t.GetModelConfigResponse(
        **fields[0],
        environment_id=environment.id if environment is not None else None,
        experiment_id=experiment_id,
        trial_id=trial_id,
    )


async def _config_fields(connection: AsyncConnection, configs: Collection[ConfigDetails]) -> list[dict[str, Any]]:
    """Return the fields that the responses share, for each configuration that still exists."""
    parameters = await config_responses(connection, [config.id for config in configs])
    stats = await _feedback_stats(connection, configs)
    return [
        {
            "project_id": config.project_id,
            "project_name": config.project_name,
            "config": parameters[config.id],
            "created_at": config.created_at,
            "updated_at": config.created_at,  # a configuration with other parameters is another one
            "last_used": config.last_used,
            "num_datapoints": config.num_logs,
            "feedback_stats": stats[config.id],
        }
        for config in configs
        if config.id in parameters
    ]


async def _feedback_stats(
    connection: AsyncConnection, configs: Collection[ConfigDetails]
) -> Mapping[str, list[t.ProjectModelConfigFeedbackStatsResponse]]:
    """Return how often the logs of each configuration got each label.

    Feedback types have no ids here, only names; v4's `feedback_type_id` is the type's position in its project.
    """
    classes = await feedback_classes(connection, {config.project_id for config in configs})
    numbers = {project_id: {kind: n for n, kind in enumerate(kinds, 1)} for project_id, kinds in classes.items()}
    counts = await label_counts(connection, [config.id for config in configs])
    return {
        config.id: [
            t.ProjectModelConfigFeedbackStatsResponse(
                feedback_type_id=numbers[config.project_id][kind],
                feedback_type=kind,
                feedback_value=value,
                feedback_count=count,
            )
            for kind, value, count in counts.get(config.id, ())
        ]
        for config in configs
    }
