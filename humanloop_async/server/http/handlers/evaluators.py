"""``/evaluators``."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from .... import types as t
from ....wire.operations import evaluations as ops
from ...errors import InvalidRequest
from ...records import project_responses
from ...service import Service
from ...storage.configs import add_config, config_id_by_identity
from ...storage.evaluators import (
    EvaluatorVersion,
    add_evaluator,
    delete_evaluator,
    evaluator_ids,
    evaluator_responses,
    lock_evaluator,
    logging_projects,
    update_evaluator,
)
from ...storage.model_config import ModelConfig
from ..calls import ApiCall, handles
from .lookups import unknown_evaluator

MAX_CODE_CHARS = 256 * 1024
"""Longest code of a python evaluator, in characters."""


@handles(ops.LIST_EVALUATORS)
async def list_evaluators(call: ApiCall[None, None]) -> list[t.EvaluatorResponse]:
    async with call.service.database.read() as connection:
        return await _responses(call.service, connection, await evaluator_ids(connection))


@handles(ops.CREATE_EVALUATOR)
async def create(call: ApiCall[t.CreateEvaluatorRequest, None]) -> t.EvaluatorResponse:
    body = call.body
    needed = {"llm": "model_config", "python": "code"}.get(body.type)
    if needed is not None and getattr(body, needed) is None:
        message = f"an evaluator of type {body.type!r} needs it"
        raise InvalidRequest.at(needed, msg=message, kind="value_error.missing")
    async with call.service.database.write() as connection:
        first = EvaluatorVersion(arguments_type=body.arguments_type, return_type=body.return_type)
        version = await _changed(connection, body.type, first, body)
        evaluator_id = await add_evaluator(connection, body.type, body.name, body.description, version)
        return await _response(call.service, connection, evaluator_id)


@handles(ops.GET_EVALUATOR)
async def get_evaluator(call: ApiCall[None, None]) -> t.EvaluatorResponse:
    async with call.service.database.read() as connection:
        return await _response(call.service, connection, call.path["id"])


@handles(ops.UPDATE_EVALUATOR)
async def update(call: ApiCall[t.UpdateEvaluatorRequest, None]) -> t.EvaluatorResponse:
    body, evaluator_id = call.body, call.path["id"]
    async with call.service.database.write() as connection:
        if (evaluator := await lock_evaluator(connection, evaluator_id)) is None:
            raise unknown_evaluator(evaluator_id)
        version = await _changed(connection, evaluator.type, evaluator.version, body)
        columns = {"name": body.name, "description": body.description}
        values = {name: value for name, value in columns.items() if value is not None}
        await update_evaluator(connection, evaluator, values, version)
        return await _response(call.service, connection, evaluator_id)


@handles(ops.DELETE_EVALUATOR)
async def delete(call: ApiCall[None, None]) -> None:
    async with call.service.database.write() as connection:
        if not await delete_evaluator(connection, call.path["id"]):
            raise unknown_evaluator(call.path["id"])


async def _changed(
    connection: AsyncConnection,
    type: t.EvaluatorType,
    version: EvaluatorVersion,
    body: t.CreateEvaluatorRequest | t.UpdateEvaluatorRequest,
) -> EvaluatorVersion:
    """Return a version of an evaluator with the changes of a request. Its model configuration is stored."""
    if body.arguments_type is not None:
        version = replace(version, arguments_type=body.arguments_type)
    if body.return_type is not None:
        version = replace(version, return_type=body.return_type)
    if body.code is not None:
        if type != "python":
            raise InvalidRequest.at("code", msg=f"an evaluator of type {type!r} has no code")
        if len(body.code) > MAX_CODE_CHARS:
            raise InvalidRequest.at("code", msg=f"must have at most {MAX_CODE_CHARS} characters")
        version = replace(version, code=body.code)
    if body.model_config is not None:
        if type != "llm":
            raise InvalidRequest.at("model_config", msg=f"an evaluator of type {type!r} has no model configuration")
        version = replace(version, config_id=await _stored_config(connection, body.model_config))
    return version


async def _stored_config(connection: AsyncConnection, request: t.ModelConfigCompletionRequest) -> str:
    """Return the id of the configuration, which belongs to no project: it stays when the evaluator's logs go."""
    if request.endpoint != "complete":
        raise InvalidRequest.at("model_config", "endpoint", msg="must be 'complete' for an evaluator")
    if request.prompt_template is None:
        raise InvalidRequest.at("model_config", "prompt_template", msg="field required", kind="value_error.missing")
    config = ModelConfig.from_request(request)
    await add_config(connection, config, project_id=None, name=request.name, description=request.description)
    config_id = await config_id_by_identity(connection, config.identity(None))
    assert config_id is not None
    return config_id


async def _response(service: Service, connection: AsyncConnection, evaluator_id: str) -> t.EvaluatorResponse:
    responses = await _responses(service, connection, [evaluator_id])
    if not responses:
        raise unknown_evaluator(evaluator_id)
    return responses[0]


async def _responses(service: Service, connection: AsyncConnection, ids: Sequence[str]) -> list[t.EvaluatorResponse]:
    """Return evaluators with their logging projects, in the order of `ids`."""
    responses = await evaluator_responses(connection, ids)
    project_ids = await logging_projects(connection, ids)
    projects = {
        project.id: project
        for project in await project_responses.projects(
            connection, [*project_ids.values()], service.environments.default, service.sampler
        )
    }
    for evaluator_id, project_id in project_ids.items():
        if evaluator_id in responses:
            responses[evaluator_id].logging_project = projects.get(project_id)
    return [responses[id] for id in ids if id in responses]
