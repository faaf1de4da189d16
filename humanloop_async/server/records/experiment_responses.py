"""Build v4's responses for experiments."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from ... import types as t
from ..storage.config_responses import config_responses
from ..storage.experiments import Experiment, configs_of, labels_of, results_of
from .sampling import NO_RESULTS, Sampler, mean_and_spread


async def experiments(
    connection: AsyncConnection, items: Sequence[Experiment], sampler: Sampler
) -> list[t.ExperimentResponse]:
    """Return experiments, with the results of their configurations."""
    if not items:
        return []
    ids = [experiment.id for experiment in items]
    labels, results = await labels_of(connection, ids), await results_of(connection, ids)
    configs = await configs_of(connection, ids)
    config_ids = {config.config_id for of_experiment in configs.values() for config in of_experiment}
    configs_by_id = await config_responses(connection, config_ids)
    responses: list[t.ExperimentResponse] = []
    for experiment in items:
        measured: list[t.ExperimentConfigResponse] = []
        for config in configs[experiment.id]:
            if (parameters := configs_by_id.get(config.config_id)) is None:
                continue
            config_results = results.get((experiment.id, config.config_id), NO_RESULTS)
            mean, spread = mean_and_spread(config_results)
            measured.append(
                t.ExperimentConfigResponse(
                    id=config.config_id,
                    display_name=parameters.name or config.config_id,
                    config=parameters,
                    trials_count=config_results.trials,
                    active=config.active,
                    created_at=config.created_at,
                    updated_at=config.updated_at,
                    mean=mean,
                    spread=spread,
                )
            )
        responses.append(
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
    return responses


def _metric(experiment: Experiment) -> t.BaseMetricResponse:
    """Return the only metric that this server computes."""
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
