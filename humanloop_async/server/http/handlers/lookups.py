"""Lookups and checks that several handlers need."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from .... import types as t
from ...errors import ApiError, InvalidRequest
from ...generation.config_resolver import find_experiment
from ...records import project_responses
from ...records.references import MAX_NAME_CHARS
from ...service import Service
from ...storage.configs import existing_model_configs
from ...storage.evaluators import RUN_BY_SERVER, Evaluator, current_evaluators, is_logging_project
from ...storage.experiments import Experiment
from ...storage.feedback_types import WITH_LABELS, feedback_classes
from ...storage.projects import Project, project_by_id, project_for_update

MAX_ITEMS = 1_000
"""Most configurations, labels or feedback types in one request: each takes a statement or a row."""


def check_name(name: str, *loc: str | int) -> None:
    """Reject a name that is empty or too long (422); `loc` is its path in the body, by default ``name``."""
    if not 0 < len(name) <= MAX_NAME_CHARS:
        raise InvalidRequest.at(*(loc or ("name",)), msg=f"must have 1 to {MAX_NAME_CHARS} characters")


def check_count(items: Sequence[object] | None, *loc: str | int) -> None:
    """Reject a list of more than `MAX_ITEMS` items (422); `loc` is its path in the body."""
    if items is not None and len(items) > MAX_ITEMS:
        raise InvalidRequest.at(*loc, msg=f"has {len(items)} items; send at most {MAX_ITEMS} at a time")


def unknown_project(project_id: str) -> ApiError:
    """Return the error for a project id that does not exist."""
    return ApiError(404, f"there is no project {project_id!r:.80}")


async def find_project(connection: AsyncConnection, project_id: str) -> Project:
    """Return a project.

    Raises:
        ApiError: There is no project with this id (404).
    """
    if (project := await project_by_id(connection, project_id)) is None:
        raise unknown_project(project_id)
    return project


async def lock_project(connection: AsyncConnection, project_id: str) -> Project:
    """Return a project, and lock its row until the transaction ends, so that it cannot be deleted before.

    Raises:
        ApiError: There is no project with this id (404).
    """
    if (project := await project_for_update(connection, project_id)) is None:
        raise unknown_project(project_id)
    return project


async def lock_experiment(connection: AsyncConnection, experiment_id: str) -> Experiment:
    """Return an experiment, and lock the row of its project until the transaction ends.

    Raises:
        ApiError: There is no experiment with this id (404).
    """
    experiment = await find_experiment(connection, experiment_id)
    await lock_project(connection, experiment.project_id)
    return await find_experiment(connection, experiment_id)  # it may have been deleted before the project was locked


async def check_configs(connection: AsyncConnection, project_id: str, config_ids: Collection[str]) -> None:
    """Reject configurations of other projects (404)."""
    known = await existing_model_configs(connection, project_id, config_ids)
    for config_id in config_ids:
        if config_id not in known:
            raise ApiError(404, f"the project has no model config {config_id!r:.80}")


async def check_labels(
    connection: AsyncConnection, project_id: str, labels: Iterable[t.PositiveLabel], *, of_select: bool = False
) -> None:
    """Reject positive labels that feedback in the project cannot have (422).

    With `of_select`, also reject labels of feedback types that have no list of labels.
    """
    classes = (await feedback_classes(connection, [project_id]))[project_id]
    for label in labels:
        feedback_class = classes.get(label.type)
        if feedback_class is None or (of_select and feedback_class not in WITH_LABELS):
            kind = f"feedback type {'with labels ' if of_select else ''}{label.type!r:.80}"
            raise InvalidRequest.at("positive_labels", "type", msg=f"the project has no {kind}")
        check_name(label.value, "positive_labels", "value")


async def check_deployable(
    connection: AsyncConnection, project_id: str, config_id: str | None, experiment_id: str | None
) -> None:
    """Reject a deployment of both or none of the two (422), or of another project's config or experiment (404)."""
    if (config_id is None) == (experiment_id is None):
        raise ApiError(422, "`config_id` and `experiment_id` exclude each other; give one of them")
    if config_id is not None:
        await check_configs(connection, project_id, [config_id])
    elif experiment_id is not None:
        experiment = await find_experiment(connection, experiment_id)
        if experiment.project_id != project_id:
            raise ApiError(404, f"the project has no experiment {experiment_id!r:.80}")


async def find_evaluators(connection: AsyncConnection, ids: Collection[str]) -> list[Evaluator]:
    """Return evaluators in their current versions.

    Raises:
        ApiError: One of them does not exist (404).
    """
    found = await current_evaluators(connection, ids)
    for evaluator_id in ids:
        if evaluator_id not in found:
            raise unknown_evaluator(evaluator_id)
    return [*found.values()]


def unknown_evaluator(evaluator_id: str) -> ApiError:
    """Return the error for an evaluator id that does not exist."""
    return ApiError(404, f"there is no evaluator {evaluator_id!r:.80}")


async def check_active_evaluators(connection: AsyncConnection, project_id: str, ids: Collection[str]) -> None:
    """Reject evaluators that cannot run on each new log of a project (422), or do not exist (404)."""
    for evaluator in await find_evaluators(connection, ids):
        if evaluator.type not in RUN_BY_SERVER:
            message = f"is of type {evaluator.type!r}; the server runs evaluators of the types 'llm' and 'python' only"
        elif evaluator.version.arguments_type == "target_required":
            message = "requires the target of a datapoint, which new logs do not have"
        else:
            continue
        raise InvalidRequest.at("active_evaluator_ids", msg=f"the evaluator {evaluator.id} {message}")
    if ids and await is_logging_project(connection, project_id):
        message = "the project contains the logs of an evaluator, and each evaluation of a log would create another one"
        raise InvalidRequest.at("active_evaluator_ids", msg=message)


async def project_response(service: Service, project_id: str) -> t.ProjectResponse:
    """Return the v4 response that describes a project.

    Raises:
        ApiError: There is no project with this id (404).
    """
    async with service.database.read() as connection:
        responses = await project_responses.projects(
            connection, [project_id], service.environments.default, service.sampler
        )
    if not responses:
        raise unknown_project(project_id)
    return responses[0]
