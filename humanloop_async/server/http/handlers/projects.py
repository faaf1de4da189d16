"""``/projects``, what is deployed aside."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from .... import types as t
from ....wire.operations import projects as ops
from ...errors import ApiError, InvalidRequest
from ...records import project_responses as project_responses
from ...storage.configs import project_configs
from ...storage.deployments import deploy
from ...storage.feedback_types import (
    BUILT_IN,
    add_feedback_type,
    add_labels,
    set_positive_labels,
)
from ...storage.projects import add_project, delete_project, project_page, update_project
from ..routing import ApiCall, Handler
from .lookups import (
    check_count,
    check_deployable,
    check_labels,
    check_name,
    find_project,
    lock_project,
    project_response,
    unknown_project,
)


async def list_projects(call: ApiCall) -> t.PaginatedData[t.ProjectResponse]:
    query = call.query
    assert isinstance(query, t.ListProjectsQuery)
    if query.user_filter:  # there are no users here, so no project has such a one
        return t.PaginatedData(records=[], page=query.page, size=query.size, total=0)
    async with call.service.database.read() as connection:
        ids, total = await project_page(connection, query)
        records = await project_responses.projects(
            connection, ids, call.service.environments.default, call.service.sampler
        )
    return t.PaginatedData(records=records, page=query.page, size=query.size, total=total)


async def create_project(call: ApiCall) -> t.ProjectResponse:
    body = call.body
    assert isinstance(body, t.CreateProjectRequest)
    check_name(body.name)
    check_count(body.feedback_types, "feedback_types")
    async with call.service.database.write() as connection:
        project_id = await add_project(connection, body.name, directory_id=body.directory_id)
        if project_id is None:
            raise _taken(body.name)
        for kind in body.feedback_types or ():
            await _add_kind(connection, project_id, kind)
    return await project_response(call, project_id)


async def get_project(call: ApiCall) -> t.ProjectResponse:
    return await project_response(call, call.path["id"])


async def update(call: ApiCall) -> t.ProjectResponse:
    body, project_id = call.body, call.path["id"]
    assert isinstance(body, t.UpdateProjectRequest)
    if body.name is not None:
        check_name(body.name)
    check_count(body.positive_labels, "positive_labels")
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
            raise _taken(body.name or "") from exc
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
    return await project_response(call, project_id)


async def delete(call: ApiCall) -> None:
    async with call.service.database.write() as connection:
        if not await delete_project(connection, call.path["id"]):
            raise unknown_project(call.path["id"])


async def list_configs(call: ApiCall) -> list[t.ProjectConfigResponse]:
    query, project_id = call.query, call.path["id"]
    assert isinstance(query, t.ListConfigsQuery)
    async with call.service.database.read() as connection:
        await find_project(connection, project_id)
        configs = await project_responses.project_configs(connection, await project_configs(connection, project_id))
    if query.evaluation_aggregates:
        for config in configs:
            config.evaluation_aggregates = []  # no evaluator has seen a log yet
    return configs


def _taken(name: str) -> ApiError:
    return ApiError(422, f"there is a project {name!r:.80} already; names are unique")


async def _add_kind(connection: AsyncConnection, project_id: str, kind: t.FeedbackTypeRequest) -> None:
    check_name(kind.type, "feedback_types", "type")
    check_count(kind.values, "feedback_types", "values")
    feedback_class = BUILT_IN.get(kind.type) or kind.class_ or "select"
    if kind.class_ not in (None, feedback_class):
        raise InvalidRequest.at("feedback_types", "class", msg=f"{kind.type!r} is built in, as {feedback_class!r}")
    if kind.values and feedback_class not in ("select", "multi_select"):
        raise InvalidRequest.at(
            "feedback_types", "values", msg=f"{kind.type!r:.80} is a {feedback_class} without labels"
        )
    for label in kind.values or ():
        check_name(label.value, "feedback_types", "values", "value")
    await add_feedback_type(connection, project_id, kind.type, feedback_class)
    await add_labels(connection, project_id, kind.type, kind.values or ())


HANDLERS: Mapping[str, Handler] = {
    ops.LIST_PROJECTS.id: list_projects,
    ops.CREATE_PROJECT.id: create_project,
    ops.GET_PROJECT.id: get_project,
    ops.UPDATE_PROJECT.id: update,
    ops.DELETE_PROJECT.id: delete,
    ops.LIST_CONFIGS.id: list_configs,
}
