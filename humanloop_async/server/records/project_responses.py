"""Projects, configurations and experiments as v4 answers them.

Each function takes as many as a page holds, and asks the database a fixed number of questions, however many they are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from ... import types as t
from ..storage.config_responses import config_responses
from ..storage.configs import ConfigDetails, config_details
from ..storage.deployments import deployments_of
from ..storage.experiments import Experiment, configs_of, experiments_by_id, labels_of, results_of
from ..storage.feedback import label_counts
from ..storage.feedback_types import feedback_classes, feedback_types_of
from ..storage.projects import project_details
from .environments import Environment
from .sampling import NOTHING_KNOWN, Sampler, mean_and_spread

MAX_PARAMETERS = 10_000
"""Most ids in one statement; databases take some 32,000. A program that writes its prompts into its templates makes a
configuration of each, and v4 lists them without pages."""

TEAM_ID = "tm_000000000000000000000"
"""A server has one organisation with one team, and no users."""


async def projects(
    connection: AsyncConnection, project_ids: Collection[str], default: Environment, sampler: Sampler
) -> list[t.ProjectResponse]:
    """The projects of these ids that exist, in the order of the ids."""
    details = await project_details(connection, project_ids)
    deployed = {found.project_id: found for found in await deployments_of(connection, project_ids, default.id)}
    config_ids = [found.config_id for found in deployed.values() if found.config_id is not None]
    active_configs = await project_configs(connection, (await config_details(connection, config_ids)).values())
    experiment_ids = [found.experiment_id for found in deployed.values() if found.experiment_id is not None]
    active_experiments = await experiments(connection, await experiments_by_id(connection, experiment_ids), sampler)
    feedback_types = await feedback_types_of(connection, project_ids)
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
            active_evaluators=[],
            directory_id=project.directory_id,
        )
        for project in details
    ]


async def project_configs(
    connection: AsyncConnection, configs: Collection[ConfigDetails]
) -> list[t.ProjectConfigResponse]:
    """Configurations in their projects."""
    configs = [*configs]
    answers: list[t.ProjectConfigResponse] = []
    for start in range(0, len(configs), MAX_PARAMETERS):
        fields = await _in_projects(connection, configs[start : start + MAX_PARAMETERS])
        answers += [t.ProjectConfigResponse(**of_config) for of_config in fields]
    return answers


async def config_to_use(
    connection: AsyncConnection,
    config_id: str,
    *,
    environment: Environment | None = None,
    experiment_id: str | None = None,
    trial_id: str | None = None,
) -> t.GetModelConfigResponse | None:
    """A configuration with where it comes from; None when it is gone."""
    found = await _in_projects(connection, (await config_details(connection, [config_id])).values())
    if not found:
        return None
    return t.GetModelConfigResponse(
        **found[0],
        environment_id=environment.id if environment is not None else None,
        experiment_id=experiment_id,
        trial_id=trial_id,
    )


async def experiments(
    connection: AsyncConnection, found: Sequence[Experiment], sampler: Sampler
) -> list[t.ExperimentResponse]:
    """Experiments, with how their configurations do."""
    if not found:
        return []
    ids = [experiment.id for experiment in found]
    labels, results = await labels_of(connection, ids), await results_of(connection, ids)
    configs = await configs_of(connection, ids)
    config_ids = {config.config_id for of_experiment in configs.values() for config in of_experiment}
    parameters = await config_responses(connection, config_ids)
    answers: list[t.ExperimentResponse] = []
    for experiment in found:
        measured: list[t.ExperimentConfigResponse] = []
        for config in configs[experiment.id]:
            if (answer := parameters.get(config.config_id)) is None:
                continue
            known = results.get((experiment.id, config.config_id), NOTHING_KNOWN)
            mean, spread = mean_and_spread(known)
            measured.append(
                t.ExperimentConfigResponse(
                    id=config.config_id,
                    display_name=answer.name or config.config_id,
                    config=answer,
                    trials_count=known.trials,
                    active=config.active,
                    created_at=config.created_at,
                    updated_at=config.updated_at,
                    mean=mean,
                    spread=spread,
                )
            )
        answers.append(
            t.ExperimentResponse(
                id=experiment.id,
                project_id=experiment.project_id,
                name=experiment.name,
                status="In progress" if experiment.has_trials else "Initialized",
                metric=_metric(experiment),
                positive_labels=[*labels[experiment.id]],
                created_at=experiment.created_at,
                updated_at=experiment.updated_at,
                configs=measured,
                sampling=experiment.sampling or sampler.sampling,
                sticky=experiment.sticky or sampler.sticky,
            )
        )
    return answers


async def _in_projects(connection: AsyncConnection, configs: Collection[ConfigDetails]) -> list[dict[str, Any]]:
    """What the answers have in common, for each configuration that is not gone by now."""
    parameters = await config_responses(connection, [config.id for config in configs])
    stats = await _feedback_stats(connection, configs)
    return [
        {
            "project_id": config.project_id,
            "project_name": config.project_name,
            "config": parameters[config.id],
            "created_at": config.created_at,
            "updated_at": config.created_at,  # other parameters would be another configuration
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
    """How often each label was given to the logs of each configuration.

    v4 numbers the kinds of feedback, which go by their names everywhere else: here by their place in the project.
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


def _metric(experiment: Experiment) -> t.BaseMetricResponse:
    """The one metric that experiments have here."""
    return t.BaseMetricResponse(
        id="metric_positive_feedback",
        name="Positive feedback",
        description="The share of logs with feedback that have a positive label",
        code="",
        default=True,
        active=True,
        created_at=experiment.created_at,
        updated_at=experiment.created_at,
    )
