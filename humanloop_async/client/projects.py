"""Projects, model configurations and experiments: signatures and docstrings; `Core` does the work."""

from __future__ import annotations

from typing import Unpack

from ..types import (
    EnvironmentProjectConfigResponse,
    ExperimentResponse,
    GetModelConfigResponse,
    LogResponse,
    ModelConfigResponse,
    ProjectConfigResponse,
    ProjectResponse,
    ResponseList,
)
from ..wire.operations import projects as ops
from .core import Resource
from .pages import Pages
from .params import CallOptions
from .record_params import (
    CreateExperimentParams,
    CreateProjectParams,
    DeployConfigParams,
    EnvironmentParams,
    ListConfigsParams,
    ListProjectsParams,
    PageParams,
    RegisterModelConfigParams,
    UpdateExperimentParams,
    UpdateProjectParams,
)


class Projects(Resource):
    """Projects, and what is deployed to their environments.

    Raises, these and all calls around generation:
        StatusError: The server refused; its subclasses say how.
        ApiConnectionError, TotalTimeout: No answer.
        InvalidArgument: An argument is unknown, or cannot be sent; nothing was sent.
        InvalidResponse: The answer is not what v4 documents.

    Connection errors and the statuses 408, 409, 429 and 5xx are retried. What creates something carries an
    ``Idempotency-Key``; a deletion that is retried may find its work done, and then raises `NotFoundError`.
    """

    def list(self, **params: Unpack[ListProjectsParams]) -> Pages[ProjectResponse]:
        """The projects, newest first unless `sort_by` and `order` say otherwise. The first page is 0; 10 records each.

        Source: Humanloop API v4, GET /projects.
        """
        return Pages(self._core, ops.LIST_PROJECTS, params)

    async def create(self, name: str, **params: Unpack[CreateProjectParams]) -> ProjectResponse:
        """Create a project; names are unique.

        Source: Humanloop API v4, POST /projects.
        """
        return await self._core.call(ops.CREATE_PROJECT, {"name": name, **params})

    async def get(self, id: str, **options: Unpack[CallOptions]) -> ProjectResponse:
        """One project.

        Source: Humanloop API v4, GET /projects/{id}.
        """
        return await self._core.call(ops.GET_PROJECT, {"id": id, **options})

    async def update(self, id: str, **params: Unpack[UpdateProjectParams]) -> ProjectResponse:
        """Rename a project, or deploy a configuration or an experiment to its default environment.

        Source: Humanloop API v4, PATCH /projects/{id}.
        """
        return await self._core.call(ops.UPDATE_PROJECT, {"id": id, **params})

    async def delete(self, id: str, **options: Unpack[CallOptions]) -> None:
        """Delete a project and what it holds.

        Source: Humanloop API v4, DELETE /projects/{id}.
        """
        return await self._core.call(ops.DELETE_PROJECT, {"id": id, **options})

    async def list_configs(self, id: str, **params: Unpack[ListConfigsParams]) -> ResponseList[ProjectConfigResponse]:
        """A project's configurations.

        Source: Humanloop API v4, GET /projects/{id}/configs.
        """
        return await self._core.call(ops.LIST_CONFIGS, {"id": id, **params})

    async def get_active_config(self, id: str, **params: Unpack[EnvironmentParams]) -> GetModelConfigResponse:
        """The configuration to use in an environment.

        When an experiment is deployed it is a sample, with the `trial_id` to log it under.

        Source: Humanloop API v4, GET /projects/{id}/active-config.
        """
        return await self._core.call(ops.GET_ACTIVE_CONFIG, {"id": id, **params})

    async def deactivate_config(self, id: str, **params: Unpack[EnvironmentParams]) -> ProjectResponse:
        """Undeploy an environment's configuration.

        Source: Humanloop API v4, DELETE /projects/{id}/active-config.
        """
        return await self._core.call(ops.DEACTIVATE_CONFIG, {"id": id, **params})

    async def deactivate_experiment(self, id: str, **params: Unpack[EnvironmentParams]) -> ProjectResponse:
        """Undeploy an environment's experiment.

        Source: Humanloop API v4, DELETE /projects/{id}/active-experiment.
        """
        return await self._core.call(ops.DEACTIVATE_EXPERIMENT, {"id": id, **params})

    async def list_deployed_configs(
        self, id: str, **options: Unpack[CallOptions]
    ) -> ResponseList[EnvironmentProjectConfigResponse]:
        """What is deployed to each environment.

        Source: Humanloop API v4, GET /projects/{id}/deployed-configs.
        """
        return await self._core.call(ops.LIST_DEPLOYED_CONFIGS, {"id": id, **options})

    async def deploy_config(
        self, project_id: str, **params: Unpack[DeployConfigParams]
    ) -> ResponseList[EnvironmentProjectConfigResponse]:
        """Deploy a configuration or an experiment, in place of what is deployed there.

        Source: Humanloop API v4, PATCH /projects/{project_id}/deploy-config.
        """
        return await self._core.call(ops.DEPLOY_CONFIG, {"project_id": project_id, **params})

    async def delete_deployed_config(
        self, project_id: str, environment_id: str, **options: Unpack[CallOptions]
    ) -> None:
        """Undeploy whatever is deployed to an environment.

        Source: Humanloop API v4, DELETE /projects/{project_id}/deployed-config/{environment_id}.
        """
        ids = {"project_id": project_id, "environment_id": environment_id}
        return await self._core.call(ops.DELETE_DEPLOYED_CONFIG, {**ids, **options})

    def export(self, id: str, **params: Unpack[PageParams]) -> Pages[LogResponse]:
        """All of a project's logs, newest first. The first page is 0; 10 records each.

        Source: Humanloop API v4, POST /projects/{id}/export.
        """
        return Pages(self._core, ops.EXPORT_PROJECT, {"id": id, **params})


class ModelConfigs(Resource):
    """Model configurations. See `Projects` for what the calls raise."""

    async def register(self, **params: Unpack[RegisterModelConfigParams]) -> ProjectConfigResponse:
        """Add a model configuration to a project; a project's first one is deployed.

        The same parameters are the same configuration: registering them again gives the same id.

        Source: Humanloop API v4, POST /model-configs.
        """
        return await self._core.call(ops.REGISTER_MODEL_CONFIG, params)

    async def get(self, id: str, **options: Unpack[CallOptions]) -> ModelConfigResponse:
        """One model configuration.

        Source: Humanloop API v4, GET /model-configs/{id}.
        """
        return await self._core.call(ops.GET_MODEL_CONFIG, {"id": id, **options})


class Experiments(Resource):
    """Experiments: configurations tried against each other by feedback. See `Projects` for what the calls raise."""

    async def list(self, project_id: str, **options: Unpack[CallOptions]) -> ResponseList[ExperimentResponse]:
        """A project's experiments.

        Source: Humanloop API v4, GET /projects/{project_id}/experiments.
        """
        return await self._core.call(ops.LIST_EXPERIMENTS, {"project_id": project_id, **options})

    async def create(self, project_id: str, **params: Unpack[CreateExperimentParams]) -> ExperimentResponse:
        """Start to compare configurations of a project.

        Source: Humanloop API v4, POST /projects/{project_id}/experiments.
        """
        return await self._core.call(ops.CREATE_EXPERIMENT, {"project_id": project_id, **params})

    async def update(self, experiment_id: str, **params: Unpack[UpdateExperimentParams]) -> ExperimentResponse:
        """Rename an experiment, or change what it compares.

        Source: Humanloop API v4, PATCH /experiments/{experiment_id}.
        """
        return await self._core.call(ops.UPDATE_EXPERIMENT, {"experiment_id": experiment_id, **params})

    async def delete(self, experiment_id: str, **options: Unpack[CallOptions]) -> None:
        """Delete an experiment.

        Source: Humanloop API v4, DELETE /experiments/{experiment_id}.
        """
        return await self._core.call(ops.DELETE_EXPERIMENT, {"experiment_id": experiment_id, **options})

    async def sample(self, experiment_id: str, **options: Unpack[CallOptions]) -> GetModelConfigResponse:
        """Sample a configuration, with the `trial_id` to log it under.

        Source: Humanloop API v4, GET /experiments/{experiment_id}/model-config.
        """
        return await self._core.call(ops.SAMPLE_EXPERIMENT, {"experiment_id": experiment_id, **options})
