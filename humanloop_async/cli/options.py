"""Options that several commands share. The docstrings are the help texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from ..types import ModelConfigChatRequest, ModelConfigCompletionRequest
from .errors import usage_error
from .terminal import piped_text

if TYPE_CHECKING:
    from ..client.client import AsyncHumanloop

DEFAULT_MODELS = {"local": "SmolLM2-135M-Instruct", "mock": "mock"}
"""The model of each provider that has only one."""

Samples = Annotated[int, Parameter(alias="-n", validator=Number(gte=1))]
Limit = Annotated[int, Parameter(validator=Number(gte=1, lte=1000))]
Flag = Annotated[bool, Parameter(negative="", show_default=False)]
Pace = Annotated[float, Parameter(validator=Number(gte=0))]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class CallOptions:
    """Options of `complete` and `chat`.

    Attributes:
        num_samples: Number of samples to generate.
        inputs: Value of the template variable {{NAME}}, as NAME=VALUE; repeatable.
        project: Name of the project to log to; created if missing. Default: nothing is logged.
        json: Print the whole response as one JSON document.
    """

    num_samples: Samples = 1
    inputs: Annotated[tuple[str, ...], Parameter(name="--input", negative="", show_default=False)] = ()
    project: str | None = None
    json: Flag = False


@Parameter(name="*", group="Server")
@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """The server to call.

    Attributes:
        base_url: URL of the server. Default: http://127.0.0.1:8460/v4, the address of `serve`.
        api_key: API key of the server. Prefer the variable: other users can see arguments.
    """

    base_url: Annotated[str | None, Parameter(env_var="HUMANLOOP_BASE_URL")] = None
    api_key: Annotated[str | None, Parameter(env_var="HUMANLOOP_API_KEY")] = field(default=None, repr=False)

    def client(self) -> AsyncHumanloop:
        """Create a client of the server.

        Raises:
            InvalidArgument: The URL or the key is invalid.
        """
        from ..client.client import AsyncHumanloop

        return AsyncHumanloop(base_url=self.base_url, api_key=self.api_key)


@Parameter(name="*", group="Model")
@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The model and its parameters.

    Attributes:
        provider: Provider of the model: local (a small model on the server), mock (made-up text), openai, ...
        model: Name of the model. Required, except for the providers local and mock.
        temperature: Randomness of the output: 0 for the most likely tokens, higher for more variety.
        max_tokens: Maximum length of a sample, in tokens; -1 for no limit.
        seed: Seed for reproducible output, if the provider supports it.
    """

    provider: str = "local"
    model: str | None = None
    temperature: Annotated[float, Parameter(validator=Number(gte=0))] = 1.0
    max_tokens: Annotated[int, Parameter(validator=Number(gte=-1))] = -1
    seed: int | None = None

    def for_completion(self, template: str) -> ModelConfigCompletionRequest:
        """Build the model configuration of a completion."""
        return ModelConfigCompletionRequest(
            provider=self.provider,
            model=model_name(self.provider, self.model),
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            seed=self.seed,
            prompt_template=template,
        )

    def for_chat(self) -> ModelConfigChatRequest:
        """Build the model configuration of a chat."""
        return ModelConfigChatRequest(
            provider=self.provider,
            model=model_name(self.provider, self.model),
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            seed=self.seed,
        )


def model_name(provider: str, model: str | None) -> str:
    """Return `model`, or the only model of the provider.

    Raises:
        CommandError: `model` is missing and the provider has no default; exit code 2.
    """
    name = model or DEFAULT_MODELS.get(provider)
    if name is None:
        raise usage_error(f"provider {provider!r} has no default model; pass one with --model")
    return name


def parse_inputs(pairs: Sequence[str]) -> dict[str, str]:
    """Parse ``NAME=VALUE`` pairs.

    Raises:
        CommandError: A pair has no name or no ``=``, or a name is repeated; exit code 2.
    """
    inputs: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise usage_error(f"--input {pair!r}: expected NAME=VALUE")
        if name in inputs:
            raise usage_error(f"--input {pair!r}: {name!r} is already set; pass each name once")
        inputs[name] = value
    return inputs


def prompt_text(argument: str | None) -> str | None:
    """Return the argument, else the piped standard input, else None.

    Raises:
        CommandError: The prompt is empty or not UTF-8; exit code 2.
    """
    try:
        text = piped_text() if argument is None else argument
    except UnicodeDecodeError as exc:
        raise usage_error(f"standard input is not valid UTF-8: {exc.reason} at byte {exc.start}") from exc
    if text is not None and not text.strip():
        raise usage_error("the prompt is empty; pass some text")
    return text
