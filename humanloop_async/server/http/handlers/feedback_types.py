"""Types of feedback of a project."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from .... import types as t
from ....wire.operations import projects as ops
from ...errors import ApiError, InvalidRequest, error_location
from ...storage.feedback_types import (
    WITH_LABELS,
    add_feedback_type,
    feedback_classes,
    feedback_types_of,
    save_labels,
)
from ..calls import ApiCall, Batch, handles, handles_batch
from .lookups import check_count, check_name, lock_project


@handles(ops.CREATE_FEEDBACK_TYPE)
async def create(call: ApiCall[t.FeedbackTypeRequest, None]) -> t.FeedbackTypeModel:
    async with call.service.database.write() as connection:
        project = await lock_project(connection, call.path["id"])
        kind = call.body.type
        if kind in (await feedback_classes(connection, [project.id]))[project.id]:
            raise ApiError(422, f"the project already has a feedback type {kind!r:.80}; update it, or use another name")
        await save_feedback_type(connection, project.id, call.body)
        known = (await feedback_types_of(connection, [project.id]))[project.id]
    (created,) = (feedback_type for feedback_type in known if feedback_type.type == kind)
    return created


@handles_batch(ops.UPDATE_FEEDBACK_TYPES)
async def update(call: ApiCall[Batch[t.FeedbackTypeRequest], None]) -> list[t.FeedbackTypeModel]:
    check_count([*call.body])
    async with call.service.database.write() as connection:
        project = await lock_project(connection, call.path["id"])
        for loc, request in call.body.items():
            with error_location(loc):
                await save_feedback_type(connection, project.id, request)
        return (await feedback_types_of(connection, [project.id]))[project.id]


async def save_feedback_type(connection: AsyncConnection, project_id: str, request: t.FeedbackTypeRequest) -> None:
    """Add a type of feedback to a project whose row is locked, or labels to the type it has.

    Raises:
        ApiError: The request is not valid, or differs from the type's class (422).
    """
    check_name(request.type, "type")
    check_count(request.values, "values")
    known = (await feedback_classes(connection, [project_id]))[project_id]
    feedback_class = known.get(request.type) or request.class_ or "select"
    if request.class_ not in (None, feedback_class):
        raise InvalidRequest.at("class", msg=f"{request.type!r:.80} has the class {feedback_class!r}")
    if request.values and feedback_class not in WITH_LABELS:
        raise InvalidRequest.at("values", msg=f"a feedback type of the class {feedback_class!r} takes no labels")
    for label in request.values or ():
        check_name(label.value, "values", "value")
    await add_feedback_type(connection, project_id, request.type, feedback_class)
    await save_labels(connection, project_id, request.type, request.values or ())
