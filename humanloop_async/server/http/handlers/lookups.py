"""What several handlers look up and check, and refuse when it is not there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from .... import types as t
from ...errors import ApiError, InvalidRequest
from ...generation.config_resolver import find_experiment
from ...records import project_responses as project_responses
from ...records.references import MAX_NAME_CHARS
from ...storage.configs import existing_model_configs
from ...storage.experiments import Experiment
from ...storage.feedback_types import WITH_LABELS, feedback_classes
from ...storage.projects import Project, project_by_id, project_for_update
from ..routing import ApiCall

MAX_ITEMS = 1_000
"""Most configurations, labels or kinds of feedback in one request: each is looked up or stored on its own."""


def check_name(name: str, *loc: str | int) -> None:
    """Refuse a name that is empty or too long; `loc` is its place in the body, ``name`` when nothing is given."""
    if not 0 < len(name) <= MAX_NAME_CHARS:
        raise InvalidRequest.at(*(loc or ("name",)), msg=f"must have 1 to {MAX_NAME_CHARS} characters")


def check_count(items: Sequence[object] | None, *loc: str | int) -> None:
    """Refuse a list of more than `MAX_ITEMS`; `loc` is its place in the body."""
    if items is not None and len(items) > MAX_ITEMS:
        raise InvalidRequest.at(*loc, msg=f"takes at most {MAX_ITEMS} at a time")


def unknown_project(project_id: str) -> ApiError:
    """The refusal of a project's id."""
    return ApiError(404, f"there is no project {project_id!r:.80}")


async def find_project(connection: AsyncConnection, project_id: str) -> Project:
    """The project of that id.

    Raises:
        ApiError: There is none (404).
    """
    if (project := await project_by_id(connection, project_id)) is None:
        raise unknown_project(project_id)
    return project


async def lock_project(connection: AsyncConnection, project_id: str) -> Project:
    """The same for a transaction that is to change what the project has: it stays there until the end.

    Raises:
        ApiError: There is none (404).
    """
    if (project := await project_for_update(connection, project_id)) is None:
        raise unknown_project(project_id)
    return project


async def lock_experiment(connection: AsyncConnection, experiment_id: str) -> Experiment:
    """The experiment of that id, its project held.

    Raises:
        ApiError: There is none (404).
    """
    experiment = await find_experiment(connection, experiment_id)
    await lock_project(connection, experiment.project_id)
    return await find_experiment(connection, experiment_id)  # it could go until its project was held


async def check_configs(connection: AsyncConnection, project_id: str, config_ids: Collection[str]) -> None:
    """Refuse configurations that are not the project's (404)."""
    known = await existing_model_configs(connection, project_id, config_ids)
    for config_id in config_ids:
        if config_id not in known:
            raise ApiError(404, f"the project has no model config {config_id!r:.80}")


async def check_labels(
    connection: AsyncConnection, project_id: str, labels: Iterable[t.PositiveLabel], *, of_select: bool = False
) -> None:
    """Refuse positive labels that feedback in the project cannot have (422).

    Args:
        of_select: Only kinds that have a list of labels will do.
    """
    classes = (await feedback_classes(connection, [project_id]))[project_id]
    for label in labels:
        its_class = classes.get(label.type)
        if its_class is None or (of_select and its_class not in WITH_LABELS):
            kind = f"feedback type {'with labels ' if of_select else ''}{label.type!r:.80}"
            raise InvalidRequest.at("positive_labels", "type", msg=f"the project has no {kind}")
        check_name(label.value, "positive_labels", "value")


async def check_deployable(
    connection: AsyncConnection, project_id: str, config_id: str | None, experiment_id: str | None
) -> None:
    """Refuse what a project cannot deploy: not one of the two (422), or not the project's (404)."""
    if (config_id is None) == (experiment_id is None):
        raise ApiError(422, "give one of `config_id` and `experiment_id`: the two exclude each other")
    if config_id is not None:
        await check_configs(connection, project_id, [config_id])
    elif experiment_id is not None:
        experiment = await find_experiment(connection, experiment_id)
        if experiment.project_id != project_id:
            raise ApiError(404, f"the project has no experiment {experiment_id!r:.80}")


async def project_response(call: ApiCall, project_id: str) -> t.ProjectResponse:
    """The project of that id as v4 answers it.

    Raises:
        ApiError: There is none (404).
    """
    service = call.service
    async with service.database.read() as connection:
        found = await project_responses.projects(
            connection, [project_id], service.environments.default, service.sampler
        )
    if not found:
        raise unknown_project(project_id)
    return found[0]
