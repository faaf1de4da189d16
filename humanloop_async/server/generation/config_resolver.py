"""Which configuration generates: the one in the request, a stored one, what is deployed, a sample of an experiment."""

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
    """A call's configuration, and what choosing it has settled.

    Attributes:
        source: The configuration's id, or the configuration itself when it came with the request.
        project_id: The project, where the choice depends on it.
        environment: Name of the environment it is deployed to.
        trial: The sampling of an experiment, for all samples of the call together.
    """

    config: ModelConfig
    source: InlineConfig | str
    project_id: str | None = None
    environment: str | None = None
    trial: Trial | None = None


class ConfigResolver(Struct):
    """Selects with the parts of one server."""

    database: Database
    environments: Environments
    sampler: Sampler

    async def select(self, request: GenerationRequest) -> ResolvedConfig:
        """The configuration for a generation. Nothing is made in the database.

        Raises:
            ApiError: There is none (404), or the request contradicts itself (422).
        """
        match request:
            case ChatRequest() | CompletionRequest():
                new = InlineConfig(ModelConfig.from_request(request.model_config), request.model_config)
                return ResolvedConfig(config=new.config, source=new)
            case ChatModelConfigRequest() | CompletionModelConfigRequest():
                async with self.database.read() as connection:
                    config = await _config(connection, request.model_config_id)
                return ResolvedConfig(config=config, source=request.model_config_id)
            case ChatDeployedRequest() | CompletionDeployedRequest():
                async with self.database.read() as connection:
                    return await self._deployed(connection, request, request.environment)
            case ChatExperimentRequest() | CompletionExperimentRequest():
                async with self.database.read() as connection:
                    experiment = await find_experiment(connection, request.experiment_id)
                    _check_project(request, experiment)
                    return await self._sampled(connection, request, experiment)
            case _:
                raise TypeError(f"{type(request).__name__} names no configuration")

    async def _deployed(
        self, connection: AsyncConnection, request: GenerationRequest, environment_name: str | None
    ) -> ResolvedConfig:
        environment = self.environments.named(environment_name)
        try:  # a project that is made here would have nothing deployed
            project_id = await ReferenceResolver(connection, create=False).project(request)
        except NotFound as exc:
            raise ApiError(404, f"there is no project {request.project!r:.80}") from exc
        if project_id is None:
            raise ApiError(422, "`project` or `project_id` is needed: whose deployment?")
        found = await deployments_of(connection, [project_id], environment.id)
        if not found:
            raise nothing_deployed(environment.name)
        if (config_id := found[0].config_id) is not None:
            config = await _config(connection, config_id)
            return ResolvedConfig(config=config, source=config_id, project_id=project_id, environment=environment.name)
        experiment = await find_experiment(connection, found[0].experiment_id or "")
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
            source=trial.config_id,
            project_id=experiment.project_id,
            environment=environment,
            trial=trial,
        )


async def find_experiment(connection: AsyncConnection, experiment_id: str) -> Experiment:
    """The experiment of that id.

    Raises:
        ApiError: There is none (404).
    """
    if (experiment := await experiment_by_id(connection, experiment_id)) is None:
        raise ApiError(404, f"there is no experiment {experiment_id!r:.80}")
    return experiment


def nothing_deployed(environment: str) -> ApiError:
    """The refusal to use an environment without a deployment."""
    return ApiError(404, f"the project has nothing deployed to {environment!r}; deploy a config or an experiment first")


async def _config(connection: AsyncConnection, config_id: str) -> ModelConfig:
    if (config := await config_by_id(connection, config_id)) is None:
        raise ApiError(404, f"there is no model config {config_id!r:.80}")
    return config


def _check_project(request: GenerationRequest, experiment: Experiment) -> None:
    if request.project_id not in (None, experiment.project_id) or request.project not in (
        None,
        experiment.project_name,
    ):
        raise ApiError(422, f"the experiment belongs to {experiment.project_name!r:.80}; give that project, or none")
