"""``/model-configs``."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from .... import types as t
from ....wire.operations import projects as ops
from ...errors import ApiError
from ...records import project_responses
from ...records.references import NotFound, ReferenceResolver
from ...storage.config_responses import config_responses
from ...storage.configs import add_config, config_details, config_id_by_identity, mark_registered, name_config
from ...storage.deployments import deploy
from ...storage.experiments import experiment_id_by_name, set_active
from ...storage.model_config import ModelConfig
from ..calls import ApiCall, handles
from .lookups import check_name, lock_project, unknown_project


@handles(ops.REGISTER_MODEL_CONFIG)
async def register(call: ApiCall[t.ProjectModelConfigRequest, None]) -> t.ProjectConfigResponse:
    body = call.body
    if body.project is not None:
        check_name(body.project, "project")
    config = ModelConfig.from_request(body)
    async with call.service.database.write() as connection:
        project_id = await _lock_project(connection, body)
        await add_config(connection, config, project_id=project_id, name=body.name, description=body.description)
        config_id = await config_id_by_identity(connection, config.identity(project_id))
        assert config_id is not None
        if body.name is not None:
            await name_config(connection, config_id, body.name, body.description)
        if await mark_registered(connection, project_id, config_id):
            environment = call.service.environments.default
            await deploy(connection, project_id, environment.id, config_id=config_id, replace=False)
        experiment_id = None
        if body.experiment is not None:
            experiment_id = await experiment_id_by_name(connection, project_id, body.experiment)
            if experiment_id is None:
                raise ApiError(404, f"the project has no experiment {body.experiment!r:.80}; create it first")
            await set_active(connection, experiment_id, [config_id], active=True)
        details = (await config_details(connection, [config_id])).values()
        (response,) = await project_responses.project_configs(connection, details)
    response.experiment_id = experiment_id
    return response


@handles(ops.GET_MODEL_CONFIG)
async def get_model_config(call: ApiCall[None, None]) -> t.ModelConfigResponse:
    config_id = call.path["id"]
    async with call.service.database.read() as connection:
        config = (await config_responses(connection, [config_id])).get(config_id)
    if not isinstance(config, t.ModelConfigResponse):
        raise ApiError(404, f"there is no model config {config_id!r:.80}")
    return config


async def _lock_project(connection: AsyncConnection, body: t.ProjectModelConfigRequest) -> str:
    try:
        project_id = await ReferenceResolver(connection, create=True).project(body)
    except NotFound as exc:  # deleted between two statements
        raise unknown_project(body.project or "") from exc
    if project_id is None:
        raise ApiError(422, "a model config is registered in a project; give `project` or `project_id`")
    return (await lock_project(connection, project_id)).id
