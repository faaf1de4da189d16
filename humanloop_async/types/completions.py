"""``POST /completion`` and its -deployed, -experiment and -model-config forms."""

from __future__ import annotations

from msgspec import field

from .generation import GenerationRequest, GenerationResponse, SampleFields
from .shared import Json, ModelConfigCompletionRequest


class CompletionFields(GenerationRequest, kw_only=True):
    """The fields of the four completion requests.

    Attributes:
        logprobs: How many of the likeliest tokens to return log probabilities for, in `provider_responses`.
        suffix: The text that follows the completion, for models that insert text.
    """

    logprobs: int | None = None
    suffix: str | None = None


class CompletionRequest(CompletionFields, kw_only=True):
    """``POST /completion``.

    Attributes:
        model_config: The model, its parameters and the prompt template.
    """

    model_config: ModelConfigCompletionRequest


class CompletionDeployedRequest(CompletionFields, kw_only=True):
    """``POST /completion-deployed``.

    Attributes:
        environment: Name of the environment; the project's default one if absent.
        project: Unique name of the project, which must exist.
    """

    environment: str | None = None


class CompletionExperimentRequest(CompletionFields, kw_only=True):
    """``POST /completion-experiment``.

    Attributes:
        experiment_id: Id of the experiment to sample a model configuration from.
    """

    experiment_id: str


class CompletionModelConfigRequest(CompletionFields, kw_only=True):
    """``POST /completion-model-config``.

    Attributes:
        model_config_id: Id of the stored model configuration.
    """

    model_config_id: str


class DataResponse(SampleFields, kw_only=True):
    """One sample of a completion.

    Attributes:
        inputs: The request's inputs; empty with ``return_inputs=False``.
    """

    inputs: dict[str, Json] = field(default_factory=dict[str, Json])


class CompletionResponse(GenerationResponse, kw_only=True):
    """Response of the four completion operations, and of `CompletionStream.final`.

    Attributes:
        data: The samples.
    """

    data: list[DataResponse]
