"""``/experiments``, and those of a project."""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError

from .... import types as t
from ....wire.operations import projects as ops
from ...errors import ApiError
from ...generation.config_resolver import find_experiment
from ...records import experiment_responses, project_responses
from ...service import Service
from ...storage import portions
from ...storage.deployments import deploy
from ...storage.experiments import (
    Trial,
    add_experiment,
    add_trials,
    delete_experiment,
    project_experiments,
    set_active,
    set_labels,
    update_experiment,
)
from ..calls import ApiCall, handles
from .lookups import check_configs, check_count, check_labels, check_name, find_project, lock_experiment, lock_project


@handles(ops.LIST_EXPERIMENTS)
async def list_experiments(call: ApiCall[None, None]) -> list[t.ExperimentResponse]:
    project_id = call.path["project_id"]
    async with call.service.database.read() as connection:
        await find_project(connection, project_id)
        experiments = await project_experiments(connection, project_id)
        return await experiment_responses.experiments(connection, experiments, call.service.sampler)


@handles(ops.CREATE_EXPERIMENT)
async def create(call: ApiCall[t.CreateExperimentRequest, None]) -> t.ExperimentResponse:
    body, project_id = call.body, call.path["project_id"]
    check_name(body.name)
    config_ids = body.config_ids or []
    check_count(config_ids, "config_ids")
    check_count(body.positive_labels, "positive_labels")
    async with call.service.database.write() as connection:
        await lock_project(connection, project_id)
        await check_configs(connection, project_id, config_ids)
        await check_labels(connection, project_id, body.positive_labels)
        experiment_id = await add_experiment(
            connection, project_id, body.name, sampling=body.sampling, sticky=body.sticky
        )
        if experiment_id is None:
            raise _name_taken(body.name)
        await set_labels(connection, experiment_id, body.positive_labels)
        await set_active(connection, experiment_id, config_ids, active=True)
        if body.set_active:
            environment = call.service.environments.default
            await deploy(connection, project_id, environment.id, experiment_id=experiment_id)
    return await _response(call.service, experiment_id)


@handles(ops.UPDATE_EXPERIMENT)
async def update(call: ApiCall[t.UpdateExperimentRequest, None]) -> t.ExperimentResponse:
    body, experiment_id = call.body, call.path["experiment_id"]
    if body.name is not None:
        check_name(body.name)
    added, removed = body.config_ids_to_register or [], body.config_ids_to_deregister or []
    check_count(added, "config_ids_to_register")
    check_count(removed, "config_ids_to_deregister")
    check_count(body.positive_labels, "positive_labels")
    if both := set(added) & set(removed):
        raise ApiError(422, f"{min(both)!r:.80} is in both `config_ids_to_register` and `config_ids_to_deregister`")
    columns = {"name": body.name, "sampling": body.sampling, "sticky": body.sticky}
    async with call.service.database.write() as connection:
        experiment = await lock_experiment(connection, experiment_id)
        await check_configs(connection, experiment.project_id, [*added, *removed])
        await check_labels(connection, experiment.project_id, body.positive_labels or ())
        try:
            await update_experiment(
                connection, experiment_id, {name: value for name, value in columns.items() if value is not None}
            )
        except IntegrityError as exc:
            raise _name_taken(body.name or "") from exc
        if body.positive_labels is not None:
            await set_labels(connection, experiment_id, body.positive_labels)
        await set_active(connection, experiment_id, added, active=True)
        await set_active(connection, experiment_id, removed, active=False)
    return await _response(call.service, experiment_id)


@handles(ops.DELETE_EXPERIMENT)
async def delete(call: ApiCall[None, None]) -> None:
    experiment_id = call.path["experiment_id"]
    await portions.delete_trials(call.service.database, experiment_id)
    async with call.service.database.write() as connection:
        await lock_experiment(connection, experiment_id)
        await delete_experiment(connection, experiment_id)


@handles(ops.SAMPLE_EXPERIMENT)
async def sample(call: ApiCall[None, None]) -> t.GetModelConfigResponse:
    service = call.service
    async with service.database.read() as connection:
        experiment = await find_experiment(connection, call.path["experiment_id"])
        trial = await service.sampler.sample(connection, experiment)
        config = await project_responses.active_config(
            connection, trial.config_id, experiment_id=experiment.id, trial_id=trial.id
        )
    await store_trial(call.service, trial)
    assert config is not None
    return config


async def store_trial(service: Service, trial: Trial) -> None:
    """Store a sampled trial.

    Raises:
        ApiError: The experiment was deleted after the sampling (404).
    """
    try:
        async with service.database.write() as connection:
            await add_trials(connection, [trial])
    except IntegrityError as exc:
        raise ApiError(404, f"the experiment {trial.experiment_id!r} was deleted during the request") from exc


async def _response(service: Service, experiment_id: str) -> t.ExperimentResponse:
    async with service.database.read() as connection:
        experiment = await find_experiment(connection, experiment_id)
        (response,) = await experiment_responses.experiments(connection, [experiment], service.sampler)
    return response


def _name_taken(name: str) -> ApiError:
    return ApiError(422, f"the project already has an experiment {name!r:.80}; choose another name")
