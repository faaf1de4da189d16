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
from .loop_thread import LoopThread
from .pages import SyncPages


class Projects:
    """Projects, and what is deployed to their environments. See the async class of this name."""

    def __init__(self, loop: LoopThread, calls: projects.Projects) -> None:
        self._loop = loop
        self._calls = calls

    def list(self, **params: Unpack[ListProjectsParams]) -> SyncPages[ProjectResponse]:
        """See `AsyncHumanloop`."""
        return SyncPages(self._loop, self._calls.list(**params))

    def create(self, name: str, **params: Unpack[CreateProjectParams]) -> ProjectResponse:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.create, name, **params))

    def get(self, id: str, **options: Unpack[CallOptions]) -> ProjectResponse:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.get, id, **options))

    def update(self, id: str, **params: Unpack[UpdateProjectParams]) -> ProjectResponse:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.update, id, **params))

    def delete(self, id: str, **options: Unpack[CallOptions]) -> None:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.delete, id, **options))

    def list_configs(self, id: str, **params: Unpack[ListConfigsParams]) -> ResponseList[ProjectConfigResponse]:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.list_configs, id, **params))

    def get_active_config(self, id: str, **params: Unpack[EnvironmentParams]) -> GetModelConfigResponse:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.get_active_config, id, **params))

    def deactivate_config(self, id: str, **params: Unpack[EnvironmentParams]) -> ProjectResponse:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.deactivate_config, id, **params))

    def deactivate_experiment(self, id: str, **params: Unpack[EnvironmentParams]) -> ProjectResponse:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.deactivate_experiment, id, **params))

    def list_deployed_configs(
        self, id: str, **options: Unpack[CallOptions]
    ) -> ResponseList[EnvironmentProjectConfigResponse]:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.list_deployed_configs, id, **options))

    def deploy_config(
        self, project_id: str, **params: Unpack[DeployConfigParams]
    ) -> ResponseList[EnvironmentProjectConfigResponse]:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.deploy_config, project_id, **params))

    def delete_deployed_config(self, project_id: str, environment_id: str, **options: Unpack[CallOptions]) -> None:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.delete_deployed_config, project_id, environment_id, **options))

    def export(self, id: str, **params: Unpack[PageParams]) -> SyncPages[LogResponse]:
        """See `AsyncHumanloop`."""
        return SyncPages(self._loop, self._calls.export(id, **params))


class ModelConfigs:
    """Model configurations. See the async class of this name."""

    def __init__(self, loop: LoopThread, calls: projects.ModelConfigs) -> None:
        self._loop = loop
        self._calls = calls

    def register(self, **params: Unpack[RegisterModelConfigParams]) -> ProjectConfigResponse:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.register, **params))

    def get(self, id: str, **options: Unpack[CallOptions]) -> ModelConfigResponse:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.get, id, **options))


class Experiments:
    """Experiments: configurations tried against each other by feedback. See the async class of this name."""

    def __init__(self, loop: LoopThread, calls: projects.Experiments) -> None:
        self._loop = loop
        self._calls = calls

    def list(self, project_id: str, **options: Unpack[CallOptions]) -> ResponseList[ExperimentResponse]:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.list, project_id, **options))

    def create(self, project_id: str, **params: Unpack[CreateExperimentParams]) -> ExperimentResponse:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.create, project_id, **params))

    def update(self, experiment_id: str, **params: Unpack[UpdateExperimentParams]) -> ExperimentResponse:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.update, experiment_id, **params))

    def delete(self, experiment_id: str, **options: Unpack[CallOptions]) -> None:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.delete, experiment_id, **options))

    def sample(self, experiment_id: str, **options: Unpack[CallOptions]) -> GetModelConfigResponse:
        """See `AsyncHumanloop`."""
        return self._loop.call(partial(self._calls.sample, experiment_id, **options))
