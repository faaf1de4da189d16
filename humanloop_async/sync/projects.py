"""Projects, model configurations and experiments as plain methods; `humanloop_async.client.projects` explains them."""

from __future__ import annotations

from functools import partial
from typing import Unpack

from ..client import projects
from ..client.params import CallOptions
from ..client.record_params import (
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
from .pages import SyncPages
from .resource import Resource, documented


@documented(projects.Projects)
class Projects(Resource):
    """Projects, and what is deployed to their environments."""

    def list(self, **params: Unpack[ListProjectsParams]) -> SyncPages[ProjectResponse]:
        return SyncPages(self._loop, self._client.projects.list(**params))

    def create(self, name: str, **params: Unpack[CreateProjectParams]) -> ProjectResponse:
        return self._loop.call(partial(self._client.projects.create, name, **params))

    def get(self, id: str, **options: Unpack[CallOptions]) -> ProjectResponse:
        return self._loop.call(partial(self._client.projects.get, id, **options))

    def update(self, id: str, **params: Unpack[UpdateProjectParams]) -> ProjectResponse:
        return self._loop.call(partial(self._client.projects.update, id, **params))

    def delete(self, id: str, **options: Unpack[CallOptions]) -> None:
        return self._loop.call(partial(self._client.projects.delete, id, **options))

    def list_configs(self, id: str, **params: Unpack[ListConfigsParams]) -> ResponseList[ProjectConfigResponse]:
        return self._loop.call(partial(self._client.projects.list_configs, id, **params))

    def get_active_config(self, id: str, **params: Unpack[EnvironmentParams]) -> GetModelConfigResponse:
        return self._loop.call(partial(self._client.projects.get_active_config, id, **params))

    def deactivate_config(self, id: str, **params: Unpack[EnvironmentParams]) -> ProjectResponse:
        return self._loop.call(partial(self._client.projects.deactivate_config, id, **params))

    def deactivate_experiment(self, id: str, **params: Unpack[EnvironmentParams]) -> ProjectResponse:
        return self._loop.call(partial(self._client.projects.deactivate_experiment, id, **params))

    def list_deployed_configs(
        self, id: str, **options: Unpack[CallOptions]
    ) -> ResponseList[EnvironmentProjectConfigResponse]:
        return self._loop.call(partial(self._client.projects.list_deployed_configs, id, **options))

    def deploy_config(
        self, project_id: str, **params: Unpack[DeployConfigParams]
    ) -> ResponseList[EnvironmentProjectConfigResponse]:
        return self._loop.call(partial(self._client.projects.deploy_config, project_id, **params))

    def delete_deployed_config(self, project_id: str, environment_id: str, **options: Unpack[CallOptions]) -> None:
        return self._loop.call(
            partial(self._client.projects.delete_deployed_config, project_id, environment_id, **options)
        )

    def export(self, id: str, **params: Unpack[PageParams]) -> SyncPages[LogResponse]:
        return SyncPages(self._loop, self._client.projects.export(id, **params))


@documented(projects.ModelConfigs)
class ModelConfigs(Resource):
    """Model configurations."""

    def register(self, **params: Unpack[RegisterModelConfigParams]) -> ProjectConfigResponse:
        return self._loop.call(partial(self._client.model_configs.register, **params))

    def get(self, id: str, **options: Unpack[CallOptions]) -> ModelConfigResponse:
        return self._loop.call(partial(self._client.model_configs.get, id, **options))


@documented(projects.Experiments)
class Experiments(Resource):
    """Experiments: configurations tried against each other by feedback."""

    def list(self, project_id: str, **options: Unpack[CallOptions]) -> ResponseList[ExperimentResponse]:
        return self._loop.call(partial(self._client.experiments.list, project_id, **options))

    def create(self, project_id: str, **params: Unpack[CreateExperimentParams]) -> ExperimentResponse:
        return self._loop.call(partial(self._client.experiments.create, project_id, **params))

    def update(self, experiment_id: str, **params: Unpack[UpdateExperimentParams]) -> ExperimentResponse:
        return self._loop.call(partial(self._client.experiments.update, experiment_id, **params))

    def delete(self, experiment_id: str, **options: Unpack[CallOptions]) -> None:
        return self._loop.call(partial(self._client.experiments.delete, experiment_id, **options))

    def sample(self, experiment_id: str, **options: Unpack[CallOptions]) -> GetModelConfigResponse:
        return self._loop.call(partial(self._client.experiments.sample, experiment_id, **options))
