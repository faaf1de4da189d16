"""Options that commands share. Their docstrings are the help texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from ..types import ModelConfigChatRequest, ModelConfigCompletionRequest
from .failures import usage_error
from .terminal import piped_text

if TYPE_CHECKING:
    from ..client.client import AsyncHumanloop

DEFAULT_MODELS = {"local": "SmolLM2-135M-Instruct", "mock": "mock"}
"""Providers with one model, whose name need not be given."""

Samples = Annotated[int, Parameter(alias="-n", validator=Number(gte=1))]
Inputs = Annotated[tuple[str, ...], Parameter(name="--input", negative="", show_default=False)]
Flag = Annotated[bool, Parameter(negative="", show_default=False)]
Pace = Annotated[float, Parameter(validator=Number(gte=0))]


@Parameter(name="*", group="Server")
@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Which server to talk to.

    Attributes:
        base_url: Address of the server. Default: http://127.0.0.1:8460/v4, where `serve` listens.
        api_key: Key of the server; better given in the variable, as arguments can be seen by others.
    """

    base_url: Annotated[str | None, Parameter(env_var="HUMANLOOP_BASE_URL")] = None
    api_key: Annotated[str | None, Parameter(env_var="HUMANLOOP_API_KEY")] = field(default=None, repr=False)

    def client(self) -> AsyncHumanloop:
        """A client of that server.

        Raises:
            InvalidArgument: Address or key cannot be used as they are.
        """
        from ..client.client import AsyncHumanloop

        return AsyncHumanloop(base_url=self.base_url, api_key=self.api_key)


@Parameter(name="*", group="Model")
@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What generates, and how.

    Attributes:
        provider: Who generates: local (a small model beside the server), mock (made-up words), openai, ...
        model: The model's name; needed for every provider but local and mock, which have one.
        temperature: Randomness: 0 for the likeliest words, higher for more varied ones.
        max_tokens: Longest answer, in tokens; -1 for as many as fit.
        seed: The same seed and prompt give the same answer, where the provider can.
    """

    provider: str = "local"
    model: str | None = None
    temperature: Annotated[float, Parameter(validator=Number(gte=0))] = 1.0
    max_tokens: Annotated[int, Parameter(validator=Number(gte=-1))] = -1
    seed: int | None = None

    def for_completion(self, template: str) -> ModelConfigCompletionRequest:
        """The model configuration of a completion."""
        return ModelConfigCompletionRequest(
            provider=self.provider,
            model=model_name(self.provider, self.model),
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            seed=self.seed,
            prompt_template=template,
        )

    def for_chat(self) -> ModelConfigChatRequest:
        """The model configuration of a chat."""
        return ModelConfigChatRequest(
            provider=self.provider,
            model=model_name(self.provider, self.model),
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            seed=self.seed,
        )


def model_name(provider: str, model: str | None) -> str:
    """The model that was given, or the only one of its provider.

    Raises:
        CommandError: Neither; exit code 2.
    """
    name = model or DEFAULT_MODELS.get(provider)
    if name is None:
        raise usage_error(f"provider {provider!r} has no default model; name one with --model")
    return name


def parse_inputs(pairs: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` pairs as a mapping.

    Raises:
        CommandError: One has no name or no ``=``, or a name comes twice; exit code 2.
    """
    inputs: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise usage_error(f"--input {pair!r}: expected NAME=VALUE")
        if name in inputs:
            raise usage_error(f"--input: {name!r} is given twice")
        inputs[name] = value
    return inputs


def prompt_text(argument: str | None) -> str | None:
    """The prompt: the argument, else what is piped in; None when there is neither.

    Raises:
        CommandError: It is empty or not UTF-8; exit code 2.
    """
    try:
        text = piped_text() if argument is None else argument
    except UnicodeDecodeError as exc:
        raise usage_error(f"standard input is not UTF-8 text: {exc.reason} at byte {exc.start}") from exc
    if text is not None and not text.strip():
        raise usage_error("the prompt is empty")
    return text
