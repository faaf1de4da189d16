"""Queries on ``deployments``."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct
from sqlalchemy import Delete, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .columns import utc_now
from .schema import deployments, experiments, model_configs
from .statements import insert_or_ignore, upsert


class Deployment(Struct, frozen=True):
    """A deployment to a project's environment, of either a configuration or an experiment."""

    project_id: str
    environment_id: str
    config_id: str | None
    experiment_id: str | None
    config_name: str | None
    experiment_name: str | None


async def deployments_of(
    connection: AsyncConnection, project_ids: Collection[str], environment_id: str | None = None
) -> Sequence[Deployment]:
    """Return the deployments of projects, to all environments or to one."""
    query = (
        select(
            deployments.c.project_id,
            deployments.c.environment_id,
            deployments.c.config_id,
            deployments.c.experiment_id,
            model_configs.c.name,
            experiments.c.name,
        )
        .outerjoin(model_configs, model_configs.c.id == deployments.c.config_id)
        .outerjoin(experiments, experiments.c.id == deployments.c.experiment_id)
        .where(deployments.c.project_id.in_(project_ids))
    )
    if environment_id is not None:
        query = query.where(deployments.c.environment_id == environment_id)
    return [Deployment(*row) for row in await connection.execute(query)]


async def deploy(
    connection: AsyncConnection,
    project_id: str,
    environment_id: str,
    *,
    config_id: str | None = None,
    experiment_id: str | None = None,
    replace: bool = True,
) -> None:
    """Deploy a configuration or an experiment. The last of several racing calls wins.

    With ``replace=False``, do nothing if the environment has a deployment.
    """
    values = {
        "project_id": project_id,
        "environment_id": environment_id,
        "config_id": config_id,
        "experiment_id": experiment_id,
        "created_at": utc_now(),
    }
    await (upsert if replace else insert_or_ignore)(connection, deployments, values)


async def undeploy_config(connection: AsyncConnection, project_id: str, environment_id: str) -> None:
    """Remove the deployment from an environment, if it is of a configuration."""
    await connection.execute(_of(project_id, environment_id).where(deployments.c.config_id.is_not(None)))


async def undeploy_experiment(connection: AsyncConnection, project_id: str, environment_id: str) -> None:
    """Remove the deployment from an environment, if it is of an experiment."""
    await connection.execute(_of(project_id, environment_id).where(deployments.c.experiment_id.is_not(None)))


async def undeploy(connection: AsyncConnection, project_id: str, environment_id: str) -> None:
    """Remove the deployment from an environment, of either kind."""
    await connection.execute(_of(project_id, environment_id))


def _of(project_id: str, environment_id: str) -> Delete:
    return delete(deployments).where(
        deployments.c.project_id == project_id, deployments.c.environment_id == environment_id
    )
