"""Queries on ``experiments``, their configurations, labels and trials."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct, field
from sqlalchemy import ColumnElement, case, delete, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import PositiveLabel
from ...types.experiments import Sampling, Sticky
from ..ids import new_id
from .columns import utc_now
from .schema import experiment_configs, experiments, feedback, logs, positive_labels, projects, trials
from .statements import insert_or_ignore


class Experiment(Struct, frozen=True):
    """An experiment's row and its project's name. None in `sampling` or `sticky` is the server's default."""

    id: str
    project_id: str
    project_name: str
    name: str
    sampling: Sampling | None
    sticky: Sticky | None
    created_at: datetime
    updated_at: datetime
    has_trials: bool


class ExperimentConfig(Struct, frozen=True):
    """A configuration in an experiment. An inactive one is not sampled."""

    experiment_id: str
    config_id: str
    active: bool
    created_at: datetime
    updated_at: datetime


class Results(Struct, frozen=True):
    """Feedback on the logs of a configuration in an experiment.

    Attributes:
        trials: Number of logs that have feedback.
        successes: Number of logs that have a positive label.
    """

    trials: int = 0
    successes: int = 0


class Trial(Struct, kw_only=True, frozen=True):
    """One sampling of an experiment; the fields are columns of ``trials``.

    Attributes:
        subject: The session or user that keeps the configuration, or None.
    """

    experiment_id: str
    config_id: str
    subject: str | None = None
    id: str = field(default_factory=lambda: new_id("trial"))
    created_at: datetime = field(default_factory=utc_now)


async def experiment_by_id(connection: AsyncConnection, experiment_id: str) -> Experiment | None:
    """Return an experiment, or None if it does not exist."""
    found = await _experiments(connection, experiments.c.id == experiment_id)
    return found[0] if found else None


async def experiments_by_id(connection: AsyncConnection, experiment_ids: Collection[str]) -> Sequence[Experiment]:
    """Return the experiments that exist, newest first."""
    return await _experiments(connection, experiments.c.id.in_(experiment_ids))


async def project_experiments(connection: AsyncConnection, project_id: str) -> Sequence[Experiment]:
    """Return a project's experiments, newest first."""
    return await _experiments(connection, experiments.c.project_id == project_id)


async def _experiments(connection: AsyncConnection, condition: ColumnElement[bool]) -> Sequence[Experiment]:
    query = (
        select(
            experiments.c.id,
            experiments.c.project_id,
            projects.c.name,
            experiments.c.name,
            experiments.c.sampling,
            experiments.c.sticky,
            experiments.c.created_at,
            experiments.c.updated_at,
            exists().where(trials.c.experiment_id == experiments.c.id),
        )
        .join(projects, projects.c.id == experiments.c.project_id)
        .where(condition)
        .order_by(experiments.c.created_at.desc(), experiments.c.id.desc())
    )
    return [Experiment(*row) for row in await connection.execute(query)]


async def experiment_id_by_name(connection: AsyncConnection, project_id: str, name: str) -> str | None:
    """Return the id of a project's experiment by name."""
    query = select(experiments.c.id).where(experiments.c.project_id == project_id, experiments.c.name == name)
    return await connection.scalar(query)


async def add_experiment(
    connection: AsyncConnection, project_id: str, name: str, *, sampling: Sampling | None, sticky: Sticky | None
) -> str | None:
    """Create an experiment and return its id, or None if the project has one of that name."""
    now, experiment_id = utc_now(), new_id("exp")
    values = {
        "id": experiment_id,
        "project_id": project_id,
        "name": name,
        "sampling": sampling,
        "sticky": sticky,
        "created_at": now,
        "updated_at": now,
    }
    return experiment_id if await insert_or_ignore(connection, experiments, values) else None


async def update_experiment(connection: AsyncConnection, experiment_id: str, values: Mapping[str, object]) -> None:
    """Change columns of an experiment, and `updated_at`.

    Raises:
        IntegrityError: Another experiment of the project has the new name.
    """
    await connection.execute(
        update(experiments).where(experiments.c.id == experiment_id).values(**values, updated_at=utc_now())
    )


async def delete_experiment(connection: AsyncConnection, experiment_id: str) -> None:
    """Delete an experiment with its trials and deployments; its logs stay."""
    await connection.execute(delete(experiments).where(experiments.c.id == experiment_id))


async def set_labels(connection: AsyncConnection, experiment_id: str, labels: Iterable[PositiveLabel]) -> None:
    """Replace the labels that count as success."""
    await connection.execute(delete(positive_labels).where(positive_labels.c.experiment_id == experiment_id))
    for label in labels:
        values = {"experiment_id": experiment_id, "type": label.type, "value": label.value}
        await insert_or_ignore(connection, positive_labels, values)


async def labels_of(
    connection: AsyncConnection, experiment_ids: Collection[str]
) -> Mapping[str, Sequence[PositiveLabel]]:
    """Return the labels that count as success, by experiment."""
    query = select(positive_labels).where(positive_labels.c.experiment_id.in_(experiment_ids))
    found: dict[str, list[PositiveLabel]] = {experiment_id: [] for experiment_id in experiment_ids}
    for experiment_id, kind, value in await connection.execute(query.order_by("type", "value")):
        found[experiment_id].append(PositiveLabel(type=kind, value=value))
    return found


async def set_active(
    connection: AsyncConnection, experiment_id: str, config_ids: Iterable[str], *, active: bool
) -> None:
    """Activate configurations in an experiment, adding those that are missing; or deactivate them."""
    now = utc_now()
    for config_id in config_ids:
        row = {"experiment_id": experiment_id, "config_id": config_id, "active": active, "updated_at": now}
        if active and await insert_or_ignore(connection, experiment_configs, row | {"created_at": now}):
            continue
        await connection.execute(
            update(experiment_configs)
            .where(
                experiment_configs.c.experiment_id == experiment_id,
                experiment_configs.c.config_id == config_id,
                experiment_configs.c.active != active,
            )
            .values(active=active, updated_at=now)
        )


async def configs_of(
    connection: AsyncConnection, experiment_ids: Collection[str]
) -> Mapping[str, Sequence[ExperimentConfig]]:
    """Return the configurations of each experiment, in the order in which they were added."""
    query = (
        select(
            experiment_configs.c.experiment_id,
            experiment_configs.c.config_id,
            experiment_configs.c.active,
            experiment_configs.c.created_at,
            experiment_configs.c.updated_at,
        )
        .where(experiment_configs.c.experiment_id.in_(experiment_ids))
        .order_by(experiment_configs.c.created_at, experiment_configs.c.config_id)
    )
    found: dict[str, list[ExperimentConfig]] = {experiment_id: [] for experiment_id in experiment_ids}
    for row in await connection.execute(query):
        found[row.experiment_id].append(ExperimentConfig(*row))
    return found


async def results_of(connection: AsyncConnection, experiment_ids: Collection[str]) -> Mapping[tuple[str, str], Results]:
    """Count feedback by experiment and configuration; pairs without feedback are missing.

    Only current feedback has rows, so replaced and deleted feedback does not count. A log counts once, whatever the
    number of its feedback rows. It is a success if any of them is a positive label.
    """
    is_positive = (
        (positive_labels.c.experiment_id == trials.c.experiment_id)
        & (positive_labels.c.type == feedback.c.type)
        & (positive_labels.c.value == feedback.c.value)
    )
    query = (
        select(
            trials.c.experiment_id,
            trials.c.config_id,
            func.count(feedback.c.log_id.distinct()),
            func.count(case((positive_labels.c.value.is_not(None), feedback.c.log_id)).distinct()),
        )
        .join(logs, logs.c.trial_id == trials.c.id)
        .join(feedback, feedback.c.log_id == logs.c.id)
        .outerjoin(positive_labels, is_positive)
        .where(trials.c.experiment_id.in_(experiment_ids))
        .group_by(trials.c.experiment_id, trials.c.config_id)
    )
    return {(row[0], row[1]): Results(row[2], row[3]) for row in await connection.execute(query)}


async def add_trials(connection: AsyncConnection, new: Iterable[Trial]) -> None:
    """Insert trials."""
    await connection.execute(insert(trials), [msgspec.structs.asdict(trial) for trial in new])


async def origin_of_trial(connection: AsyncConnection, trial_id: str) -> tuple[str, str] | None:
    """Return the ids of a trial's project and configuration."""
    query = select(experiments.c.project_id, trials.c.config_id).join_from(experiments, trials)
    row = (await connection.execute(query.where(trials.c.id == trial_id))).first()
    return (row[0], row[1]) if row else None


async def config_of_subject(
    connection: AsyncConnection, experiment_id: str, subject: str, config_ids: Collection[str]
) -> str | None:
    """Return the configuration among `config_ids` that a session or user got first in an experiment."""
    query = (
        select(trials.c.config_id)
        .where(
            trials.c.experiment_id == experiment_id,
            trials.c.subject == subject,
            trials.c.config_id.in_(config_ids),
        )
        .order_by(trials.c.created_at, trials.c.id)
        .limit(1)
    )
    return await connection.scalar(query)
