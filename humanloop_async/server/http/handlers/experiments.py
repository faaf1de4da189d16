"""Experiments."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.exc import IntegrityError

from .... import types as t
from ....wire.operations import projects as ops
from ...errors import ApiError
from ...generation.config_resolver import find_experiment
from ...records import project_responses as project_responses
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
from ..routing import ApiCall, Handler
from .lookups import check_configs, check_count, check_labels, check_name, find_project, lock_experiment, lock_project


async def list_experiments(call: ApiCall) -> list[t.ExperimentResponse]:
    project_id = call.path["project_id"]
    async with call.service.database.read() as connection:
        await find_project(connection, project_id)
        found = await project_experiments(connection, project_id)
        return await project_responses.experiments(connection, found, call.service.sampler)


async def create(call: ApiCall) -> t.ExperimentResponse:
    body, project_id = call.body, call.path["project_id"]
    assert isinstance(body, t.CreateExperimentRequest)
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
            raise _taken(body.name)
        await set_labels(connection, experiment_id, body.positive_labels)
        await set_active(connection, experiment_id, config_ids, active=True)
        if body.set_active:
            environment = call.service.environments.default
            await deploy(connection, project_id, environment.id, experiment_id=experiment_id)
    return await _answer(call, experiment_id)


async def update(call: ApiCall) -> t.ExperimentResponse:
    body, experiment_id = call.body, call.path["experiment_id"]
    assert isinstance(body, t.UpdateExperimentRequest)
    if body.name is not None:
        check_name(body.name)
    more, less = body.config_ids_to_register or [], body.config_ids_to_deregister or []
    check_count(more, "config_ids_to_register")
    check_count(less, "config_ids_to_deregister")
    check_count(body.positive_labels, "positive_labels")
    if both := set(more) & set(less):
        raise ApiError(422, f"{min(both)!r:.80} is both to be registered and to be deregistered")
    columns = {"name": body.name, "sampling": body.sampling, "sticky": body.sticky}
    async with call.service.database.write() as connection:
        experiment = await lock_experiment(connection, experiment_id)
        await check_configs(connection, experiment.project_id, [*more, *less])
        await check_labels(connection, experiment.project_id, body.positive_labels or ())
        try:
            await update_experiment(
                connection, experiment_id, {name: value for name, value in columns.items() if value is not None}
            )
        except IntegrityError as exc:
            raise _taken(body.name or "") from exc
        if body.positive_labels is not None:
            await set_labels(connection, experiment_id, body.positive_labels)
        await set_active(connection, experiment_id, more, active=True)
        await set_active(connection, experiment_id, less, active=False)
    return await _answer(call, experiment_id)


async def delete(call: ApiCall) -> None:
    experiment_id = call.path["experiment_id"]
    async with call.service.database.write() as connection:
        await lock_experiment(connection, experiment_id)
        await delete_experiment(connection, experiment_id)


async def sample(call: ApiCall) -> t.GetModelConfigResponse:
    service = call.service
    async with service.database.read() as connection:
        experiment = await find_experiment(connection, call.path["experiment_id"])
        trial = await service.sampler.sample(connection, experiment)
        answer = await project_responses.config_to_use(
            connection, trial.config_id, experiment_id=experiment.id, trial_id=trial.id
        )
    await store_trial(call, trial)
    assert answer is not None
    return answer


async def store_trial(call: ApiCall, trial: Trial) -> None:
    """Store what was sampled.

    Raises:
        ApiError: The experiment has been deleted in the meantime (404).
    """
    try:
        async with call.service.database.write() as connection:
            await add_trials(connection, [trial])
    except IntegrityError as exc:
        raise ApiError(404, f"the experiment {trial.experiment_id!r} has just been deleted") from exc


async def _answer(call: ApiCall, experiment_id: str) -> t.ExperimentResponse:
    async with call.service.database.read() as connection:
        found = await find_experiment(connection, experiment_id)
        return (await project_responses.experiments(connection, [found], call.service.sampler))[0]


def _taken(name: str) -> ApiError:
    return ApiError(422, f"the project has an experiment {name!r:.80} already; give this one another name")


HANDLERS: Mapping[str, Handler] = {
    ops.LIST_EXPERIMENTS.id: list_experiments,
    ops.CREATE_EXPERIMENT.id: create,
    ops.UPDATE_EXPERIMENT.id: update,
    ops.DELETE_EXPERIMENT.id: delete,
    ops.SAMPLE_EXPERIMENT.id: sample,
}
