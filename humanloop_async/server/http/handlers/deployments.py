"""Deployments to the environments of a project."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncConnection

from .... import types as t
from ....wire.operations import projects as ops
from ...errors import ApiError, InvalidRequest
from ...generation.config_resolver import find_experiment, nothing_deployed
from ...records import project_responses
from ...records.environments import Environment, Environments
from ...storage.deployments import deploy, deployments_of, undeploy, undeploy_config, undeploy_experiment
from ...storage.experiments import Trial
from ...storage.projects import Project, update_project
from ..calls import ApiCall, handles
from .experiments import store_trial
from .lookups import check_count, check_deployable, find_project, lock_project, project_response


@handles(ops.GET_ACTIVE_CONFIG)
async def get_active_config(call: ApiCall[None, t.EnvironmentQuery]) -> t.GetModelConfigResponse:
    project_id = call.path["id"]
    trial: Trial | None = None
    async with call.service.database.read() as connection:
        environment = await call.service.environments.by_name(connection, call.query.environment)
        await find_project(connection, project_id)
        deployed = await deployments_of(connection, [project_id], environment.id)
        if not deployed:
            raise nothing_deployed(environment.name)
        config_id, experiment_id = deployed[0].config_id, deployed[0].experiment_id
        if experiment_id is not None:
            experiment = await find_experiment(connection, experiment_id)
            trial = await call.service.sampler.sample(connection, experiment)
            config_id = trial.config_id
        response = await project_responses.active_config(
            connection,
            config_id or "",
            environment=environment,
            experiment_id=experiment_id,
            trial_id=trial.id if trial is not None else None,
        )
    if response is None:  # the config was deleted after `deployments_of` returned it
        raise nothing_deployed(environment.name)
    if trial is not None:
        await store_trial(call.service, trial)
    return response


@handles(ops.DEACTIVATE_CONFIG)
async def deactivate_config(call: ApiCall[None, t.EnvironmentQuery]) -> t.ProjectResponse:
    return await _deactivate(call, undeploy_config)


@handles(ops.DEACTIVATE_EXPERIMENT)
async def deactivate_experiment(call: ApiCall[None, t.EnvironmentQuery]) -> t.ProjectResponse:
    return await _deactivate(call, undeploy_experiment)


@handles(ops.LIST_DEPLOYED_CONFIGS)
async def list_deployed_configs(call: ApiCall[None, None]) -> list[t.EnvironmentProjectConfigResponse]:
    async with call.service.database.read() as connection:
        project = await find_project(connection, call.path["id"])
        return await _deployment_rows(connection, project, await call.service.environments.all(connection))


@handles(ops.DEPLOY_CONFIG)
async def deploy_config(
    call: ApiCall[t.EnvironmentProjectConfigRequest, None],
) -> list[t.EnvironmentProjectConfigResponse]:
    body, project_id = call.body, call.path["project_id"]
    async with call.service.database.write() as connection:
        environments = await _requested_environments(connection, call.service.environments, body.environments)
        project = await lock_project(connection, project_id)
        await update_project(connection, project_id, {})
        await check_deployable(connection, project_id, body.config_id, body.experiment_id)
        for environment in environments:
            await deploy(
                connection, project_id, environment.id, config_id=body.config_id, experiment_id=body.experiment_id
            )
        return await _deployment_rows(connection, project, environments)


@handles(ops.DELETE_DEPLOYED_CONFIG)
async def delete_deployed_config(call: ApiCall[None, None]) -> None:
    async with call.service.database.write() as connection:
        environment = await call.service.environments.by_id(connection, call.path["environment_id"])
        project = await lock_project(connection, call.path["project_id"])
        await update_project(connection, project.id, {})
        await undeploy(connection, project.id, environment.id)


async def _deactivate(
    call: ApiCall[None, t.EnvironmentQuery], undeploy: Callable[[AsyncConnection, str, str], Awaitable[None]]
) -> t.ProjectResponse:
    project_id = call.path["id"]
    async with call.service.database.write() as connection:
        environment = await call.service.environments.by_name(connection, call.query.environment)
        await lock_project(connection, project_id)
        await update_project(connection, project_id, {})
        await undeploy(connection, project_id, environment.id)
    return await project_response(call.service, project_id)


async def _requested_environments(
    connection: AsyncConnection, environments: Environments, requested: list[t.EnvironmentRequest] | None
) -> list[Environment]:
    if requested is None:
        return [environments.default]
    check_count(requested, "environments")
    if not requested:
        raise InvalidRequest.at(
            "environments", msg="is empty; name an environment, or omit the field for the default one"
        )
    by_id = {item.id: await environments.by_id(connection, item.id) for item in requested}
    for item in requested:
        if item.name not in (None, by_id[item.id].name):
            raise ApiError(
                422, f"the environment {item.id} has the name {by_id[item.id].name!r}, not {item.name!r:.80}"
            )
    return [*by_id.values()]


async def _deployment_rows(
    connection: AsyncConnection, project: Project, environments: list[Environment]
) -> list[t.EnvironmentProjectConfigResponse]:
    """Return a row for each environment, also for those without a deployment."""
    by_environment = {deployed.environment_id: deployed for deployed in await deployments_of(connection, [project.id])}
    rows: list[t.EnvironmentProjectConfigResponse] = []
    for environment in environments:
        row = t.EnvironmentProjectConfigResponse(
            project_id=project.id,
            project_name=project.name,
            environment_id=environment.id,
            environment_name=environment.name,
            environment_tag=environment.tag,
        )
        if (deployed := by_environment.get(environment.id)) is not None:
            row.model_config_id, row.model_config_name = deployed.config_id, deployed.config_name
            row.experiment_id, row.experiment_name = deployed.experiment_id, deployed.experiment_name
        rows.append(row)
    return rows
