"""``/projects``, except for deployments."""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError

from .... import types as t
from ....wire.operations import projects as ops
from ...errors import ApiError, error_location
from ...records import project_responses
from ...storage import portions
from ...storage.columns import utc_now
from ...storage.configs import project_configs
from ...storage.deployments import deploy
from ...storage.evaluations import aggregates_of_configs
from ...storage.evaluators import set_active_evaluators
from ...storage.feedback_types import set_positive_labels
from ...storage.projects import add_project, delete_project, project_page, update_project
from ..calls import ApiCall, handles
from .feedback_types import save_feedback_type
from .lookups import (
    check_active_evaluators,
    check_count,
    check_deployable,
    check_labels,
    check_name,
    find_project,
    lock_project,
    project_response,
    unknown_project,
)


@handles(ops.LIST_PROJECTS)
async def list_projects(call: ApiCall[None, t.ListProjectsQuery]) -> t.PaginatedData[t.ProjectResponse]:
    query = call.query
    if query.user_filter:  # this server has no users, so no project matches
        return t.PaginatedData(records=[], page=query.page, size=query.size, total=0)
    async with call.service.database.read() as connection:
        ids, total = await project_page(connection, query)
        records = await project_responses.projects(
            connection, ids, call.service.environments.default, call.service.sampler
        )
    return t.PaginatedData(records=records, page=query.page, size=query.size, total=total)


@handles(ops.CREATE_PROJECT)
async def create_project(call: ApiCall[t.CreateProjectRequest, None]) -> t.ProjectResponse:
    body = call.body
    check_name(body.name)
    check_count(body.feedback_types, "feedback_types")
    async with call.service.database.write() as connection:
        project_id = await add_project(connection, body.name, directory_id=body.directory_id)
        if project_id is None:
            raise _name_taken(body.name)
        for feedback_type in body.feedback_types or ():
            with error_location(("feedback_types",)):
                await save_feedback_type(connection, project_id, feedback_type)
    return await project_response(call.service, project_id)


@handles(ops.GET_PROJECT)
async def get_project(call: ApiCall[None, None]) -> t.ProjectResponse:
    return await project_response(call.service, call.path["id"])


@handles(ops.UPDATE_PROJECT)
async def update(call: ApiCall[t.UpdateProjectRequest, None]) -> t.ProjectResponse:
    body, project_id = call.body, call.path["id"]
    if body.name is not None:
        check_name(body.name)
    check_count(body.positive_labels, "positive_labels")
    check_count(body.active_evaluator_ids, "active_evaluator_ids")
    if body.active_config_id is not None and body.active_experiment_id is not None:
        raise ApiError(422, "`active_config_id` and `active_experiment_id` exclude each other; give one")
    columns = {"name": body.name, "directory_id": body.directory_id}
    async with call.service.database.write() as connection:
        await lock_project(connection, project_id)
        try:
            await update_project(
                connection, project_id, {name: value for name, value in columns.items() if value is not None}
            )
        except IntegrityError as exc:
            raise _name_taken(body.name or "") from exc
        if body.active_config_id is not None or body.active_experiment_id is not None:
            await check_deployable(connection, project_id, body.active_config_id, body.active_experiment_id)
            await deploy(
                connection,
                project_id,
                call.service.environments.default.id,
                config_id=body.active_config_id,
                experiment_id=body.active_experiment_id,
            )
        if body.positive_labels is not None:
            await check_labels(connection, project_id, body.positive_labels, of_select=True)
            await set_positive_labels(
                connection, project_id, [(label.type, label.value) for label in body.positive_labels]
            )
        if body.active_evaluator_ids is not None:
            await check_active_evaluators(connection, project_id, body.active_evaluator_ids)
            await set_active_evaluators(connection, project_id, {*body.active_evaluator_ids})
    return await project_response(call.service, project_id)


@handles(ops.DELETE_PROJECT)
async def delete(call: ApiCall[None, None]) -> None:
    """Delete a project: most of it in portions, and what calls have added since in the last transaction."""
    await portions.delete_contents(call.service.database, call.path["id"], before=utc_now())
    async with call.service.database.write() as connection:
        if not await delete_project(connection, call.path["id"]):
            raise unknown_project(call.path["id"])


@handles(ops.LIST_CONFIGS)
async def list_configs(call: ApiCall[None, t.ListConfigsQuery]) -> list[t.ProjectConfigResponse]:
    project_id = call.path["id"]
    async with call.service.database.read() as connection:
        await find_project(connection, project_id)
        configs = await project_responses.project_configs(connection, await project_configs(connection, project_id))
        if call.query.evaluation_aggregates:
            aggregates = await aggregates_of_configs(connection, project_id)
            for config in configs:
                config.evaluation_aggregates = aggregates.get(config.config.id, [])
    return configs


def _name_taken(name: str) -> ApiError:
    return ApiError(422, f"there is already a project {name!r:.80}; choose another name")
