"""Resolve the configuration of a request: sent with it, stored, deployed, or sampled from an experiment."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import (
    ChatDeployedRequest,
    ChatExperimentRequest,
    ChatModelConfigRequest,
    ChatRequest,
    CompletionDeployedRequest,
    CompletionExperimentRequest,
    CompletionModelConfigRequest,
    CompletionRequest,
    GenerationRequest,
)
from ..errors import ApiError
from ..records.environments import Environments
from ..records.references import InlineConfig, NotFound, ReferenceResolver
from ..records.sampling import Sampler
from ..storage.configs import config_by_id
from ..storage.database import Database
from ..storage.deployments import deployments_of
from ..storage.experiments import Experiment, Trial, experiment_by_id
from ..storage.model_config import ModelConfig


class ResolvedConfig(Struct, frozen=True, kw_only=True):
    """The configuration of a call, and where it comes from.

    Attributes:
        config_ref: The id of the configuration, or the configuration itself if it came with the request.
        project_id: The id of the project, if the configuration determines it.
        environment: Name of the environment, if the configuration is deployed.
        trial: The trial of an experiment, if the configuration was sampled; one for all samples of the call.
    """

    config: ModelConfig
    config_ref: InlineConfig | str
    project_id: str | None = None
    environment: str | None = None
    trial: Trial | None = None


class ConfigResolver(Struct):
    """Resolves the configurations of one server's requests."""

    database: Database
    environments: Environments
    sampler: Sampler

    async def resolve(self, request: GenerationRequest) -> ResolvedConfig:
        """Return the configuration for a generation. Creates nothing in the database.

        Raises:
            ApiError: The configuration does not exist (404), or the request contradicts itself (422).
        """
        match request:
            case ChatRequest() | CompletionRequest():
                inline = InlineConfig(ModelConfig.from_request(request.model_config), request.model_config)
                return ResolvedConfig(config=inline.config, config_ref=inline)
            case ChatModelConfigRequest() | CompletionModelConfigRequest():
                async with self.database.read() as connection:
                    config = await _config(connection, request.model_config_id)
                return ResolvedConfig(config=config, config_ref=request.model_config_id)
            case ChatDeployedRequest() | CompletionDeployedRequest():
                async with self.database.read() as connection:
                    return await self._deployed(connection, request, request.environment)
            case ChatExperimentRequest() | CompletionExperimentRequest():
                async with self.database.read() as connection:
                    experiment = await find_experiment(connection, request.experiment_id)
                    _check_project(request, experiment)
                    return await self._sampled(connection, request, experiment)
            case _:
                raise TypeError(f"{type(request).__name__} has no configuration")

    async def find(self, config_id: str) -> ModelConfig:
        """Return a stored configuration.

        Raises:
            ApiError: It does not exist (404).
        """
        async with self.database.read() as connection:
            return await _config(connection, config_id)

    async def _deployed(
        self, connection: AsyncConnection, request: GenerationRequest, environment_name: str | None
    ) -> ResolvedConfig:
        environment = await self.environments.by_name(connection, environment_name)
        try:  # not created if missing: a new project would have no deployment
            project_id = await ReferenceResolver(connection, create=False).project(request)
        except NotFound as exc:
            raise ApiError(
                404, f"there is no project {request.project!r:.80}; create it and deploy a config first"
            ) from exc
        if project_id is None:
            raise ApiError(422, "`project` or `project_id` is required, to find its deployment")
        deployments = await deployments_of(connection, [project_id], environment.id)
        if not deployments:
            raise nothing_deployed(environment.name)
        if (config_id := deployments[0].config_id) is not None:
            config = await _config(connection, config_id)
            return ResolvedConfig(
                config=config, config_ref=config_id, project_id=project_id, environment=environment.name
            )
        experiment = await find_experiment(connection, deployments[0].experiment_id or "")
        return await self._sampled(connection, request, experiment, environment.name)

    async def _sampled(
        self,
        connection: AsyncConnection,
        request: GenerationRequest,
        experiment: Experiment,
        environment: str | None = None,
    ) -> ResolvedConfig:
        trial = await self.sampler.sample(connection, experiment, request)
        return ResolvedConfig(
            config=await _config(connection, trial.config_id),
            config_ref=trial.config_id,
            project_id=experiment.project_id,
            environment=environment,
            trial=trial,
        )


async def find_experiment(connection: AsyncConnection, experiment_id: str) -> Experiment:
    """Return the experiment with this id.

    Raises:
        ApiError: The experiment does not exist (404).
    """
    if (experiment := await experiment_by_id(connection, experiment_id)) is None:
        raise ApiError(404, f"there is no experiment {experiment_id!r:.80}")
    return experiment


def nothing_deployed(environment: str) -> ApiError:
    """Return the error for an environment without a deployment."""
    return ApiError(404, f"the project has nothing deployed to {environment!r}; deploy a config or an experiment first")


async def _config(connection: AsyncConnection, config_id: str) -> ModelConfig:
    if (config := await config_by_id(connection, config_id)) is None:
        raise ApiError(404, f"there is no model config {config_id!r:.80}")
    return config


def _check_project(request: GenerationRequest, experiment: Experiment) -> None:
    id_differs = request.project_id not in (None, experiment.project_id)
    if id_differs or request.project not in (None, experiment.project_name):
        raise ApiError(
            422, f"the experiment belongs to project {experiment.project_name!r:.80}; send that project, or none"
        )
