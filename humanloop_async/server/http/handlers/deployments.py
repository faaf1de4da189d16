"""What is deployed to the environments of a project."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from .... import types as t
from ....wire.operations import projects as ops
from ...errors import ApiError, InvalidRequest
from ...generation.config_resolver import find_experiment, nothing_deployed
from ...records import project_responses as project_responses
from ...records.environments import Environment
from ...storage.deployments import deploy, deployments_of, undeploy, undeploy_config, undeploy_experiment
from ...storage.experiments import Trial
from ...storage.projects import Project, update_project
from ..routing import ApiCall, Handler
from .experiments import store_trial
from .lookups import check_count, check_deployable, find_project, lock_project, project_response


async def get_active_config(call: ApiCall) -> t.GetModelConfigResponse:
    environment, project_id = _environment(call), call.path["id"]
    trial: Trial | None = None
    async with call.service.database.read() as connection:
        await find_project(connection, project_id)
        deployed = await deployments_of(connection, [project_id], environment.id)
        if not deployed:
            raise nothing_deployed(environment.name)
        config_id, experiment_id = deployed[0].config_id, deployed[0].experiment_id
        if experiment_id is not None:
            experiment = await find_experiment(connection, experiment_id)
            trial = await call.service.sampler.sample(connection, experiment)
            config_id = trial.config_id
        answer = await project_responses.config_to_use(
            connection,
            config_id or "",
            environment=environment,
            experiment_id=experiment_id,
            trial_id=trial.id if trial is not None else None,
        )
    if answer is None:  # it went away in between
        raise nothing_deployed(environment.name)
    if trial is not None:
        await store_trial(call, trial)
    return answer


async def deactivate_config(call: ApiCall) -> t.ProjectResponse:
    return await _deactivate(call, undeploy_config)


async def deactivate_experiment(call: ApiCall) -> t.ProjectResponse:
    return await _deactivate(call, undeploy_experiment)


async def list_deployed_configs(call: ApiCall) -> list[t.EnvironmentProjectConfigResponse]:
    async with call.service.database.read() as connection:
        project = await find_project(connection, call.path["id"])
        return await _deployed(connection, project, [*call.service.environments])


async def deploy_config(call: ApiCall) -> list[t.EnvironmentProjectConfigResponse]:
    body, project_id = call.body, call.path["project_id"]
    assert isinstance(body, t.EnvironmentProjectConfigRequest)
    environments = _environments(call, body.environments)
    async with call.service.database.write() as connection:
        project = await lock_project(connection, project_id)
        await update_project(connection, project_id, {})
        await check_deployable(connection, project_id, body.config_id, body.experiment_id)
        for environment in environments:
            await deploy(
                connection, project_id, environment.id, config_id=body.config_id, experiment_id=body.experiment_id
            )
        return await _deployed(connection, project, environments)


async def delete_deployed_config(call: ApiCall) -> None:
    environment = call.service.environments.of_id(call.path["environment_id"])
    async with call.service.database.write() as connection:
        project = await lock_project(connection, call.path["project_id"])
        await update_project(connection, project.id, {})
        await undeploy(connection, project.id, environment.id)


async def _deactivate(
    call: ApiCall, take_back: Callable[[AsyncConnection, str, str], Awaitable[None]]
) -> t.ProjectResponse:
    environment, project_id = _environment(call), call.path["id"]
    async with call.service.database.write() as connection:
        await lock_project(connection, project_id)
        await update_project(connection, project_id, {})
        await take_back(connection, project_id, environment.id)
    return await project_response(call, project_id)


def _environment(call: ApiCall) -> Environment:
    query = call.query
    assert isinstance(query, t.EnvironmentQuery)
    return call.service.environments.named(query.environment)


def _environments(call: ApiCall, requested: list[t.EnvironmentRequest] | None) -> list[Environment]:
    if requested is None:
        return [call.service.environments.default]
    check_count(requested, "environments")
    if not requested:
        raise InvalidRequest.at("environments", msg="name one at least; without a list it is the default environment")
    found = {item.id: call.service.environments.of_id(item.id) for item in requested}
    for item in requested:
        if item.name not in (None, found[item.id].name):
            raise ApiError(422, f"the environment {item.id} is {found[item.id].name!r}, not {item.name!r:.80}")
    return [*found.values()]


async def _deployed(
    connection: AsyncConnection, project: Project, environments: list[Environment]
) -> list[t.EnvironmentProjectConfigResponse]:
    """One row for each environment, also for those that have nothing."""
    found = {deployed.environment_id: deployed for deployed in await deployments_of(connection, [project.id])}
    rows: list[t.EnvironmentProjectConfigResponse] = []
    for environment in environments:
        row = t.EnvironmentProjectConfigResponse(
            project_id=project.id,
            project_name=project.name,
            environment_id=environment.id,
            environment_name=environment.name,
            environment_tag=environment.tag,
        )
        if (deployed := found.get(environment.id)) is not None:
            row.model_config_id, row.model_config_name = deployed.config_id, deployed.config_name
            row.experiment_id, row.experiment_name = deployed.experiment_id, deployed.experiment_name
        rows.append(row)
    return rows


HANDLERS: Mapping[str, Handler] = {
    ops.GET_ACTIVE_CONFIG.id: get_active_config,
    ops.DEACTIVATE_CONFIG.id: deactivate_config,
    ops.DEACTIVATE_EXPERIMENT.id: deactivate_experiment,
    ops.LIST_DEPLOYED_CONFIGS.id: list_deployed_configs,
    ops.DEPLOY_CONFIG.id: deploy_config,
    ops.DELETE_DEPLOYED_CONFIG.id: delete_deployed_config,
}
