"""``/model-configs``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from .... import types as t
from ....wire.operations import projects as ops
from ...errors import ApiError, InvalidRequest
from ...records import project_responses
from ...records.prompt_files import PromptFile, PromptFileError, read_prompt_file, write_prompt_file
from ...records.references import NotFound, ReferenceResolver
from ...service import Service
from ...storage.config_responses import config_responses, model_config_response
from ...storage.configs import (
    add_config,
    config_details,
    config_id_by_identity,
    mark_registered,
    name_config,
    named_config_by_id,
)
from ...storage.deployments import deploy
from ...storage.experiments import experiment_id_by_name, set_active
from ...storage.model_config import ModelConfig
from ..calls import ApiCall, handles
from .lookups import check_name, lock_project, unknown_project

T = TypeVar("T")


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


@handles(ops.EXPORT_MODEL_CONFIG)
async def export(call: ApiCall[None, None]) -> str:
    config_id = call.path["id"]
    async with call.service.database.read() as connection:
        stored = await named_config_by_id(connection, config_id)
    if stored is None:
        raise ApiError(404, f"there is no model config {config_id!r:.80}")
    config, name, description = stored
    return await _in_thread(call.service, partial(write_prompt_file, PromptFile(config, name, description)))


@handles(ops.SERIALIZE_MODEL_CONFIG)
async def serialize(call: ApiCall[t.SerializeModelConfigRequest, None]) -> str:
    body = call.body
    if body.endpoint is None:
        body.endpoint = "chat" if body.prompt_template is None else "complete"
    file = PromptFile(ModelConfig.from_request(body), body.name, body.description)
    return await _in_thread(call.service, partial(write_prompt_file, file))


@handles(ops.DESERIALIZE_MODEL_CONFIG)
async def deserialize(call: ApiCall[t.DeserializeModelConfigRequest, None]) -> t.ModelConfigResponse:
    try:
        file = await _in_thread(call.service, partial(read_prompt_file, call.body.config))
    except PromptFileError as exc:
        raise InvalidRequest.at("config", msg=f"{exc}"[:1000]) from exc
    config_id = f"config_{file.config.identity(None)[:21]}"
    return model_config_response(file.config, id=config_id, name=file.name, description=file.description)


async def _in_thread(service: Service, function: Callable[[], T]) -> T:
    """Run a function that may take seconds in a thread, at most a few at once."""
    async with service.searches:
        return await asyncio.to_thread(function)


async def _lock_project(connection: AsyncConnection, body: t.ProjectModelConfigRequest) -> str:
    try:
        project_id = await ReferenceResolver(connection, create=True).project(body)
    except NotFound as exc:  # deleted between two statements
        raise unknown_project(body.project or "") from exc
    if project_id is None:
        raise ApiError(422, "a model config is registered in a project; give `project` or `project_id`")
    return (await lock_project(connection, project_id)).id
