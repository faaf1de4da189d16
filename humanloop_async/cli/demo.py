"""``humanloop-async demo``: stream samples of a real model through an embedded server, and show figures."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from ..client.client import AsyncHumanloop
from ..errors import ApiException
from ..server.providers.local import unavailable
from ..server.providers.settings import ProviderSettings
from ..server.running.embedded import EmbeddedServer
from ..types import ChatMessage, ModelConfigChatRequest, Usage
from .display import SampleProgress
from .errors import CommandError, explain
from .follow import AnyResponse, follow
from .options import model_name
from .terminal import console, is_terminal, print_status

READABLE_PACE = 12.0
"""Default pace of each sample of ``mock``, in words per second; the environment overrides it."""


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Options of the demo. A `provider` of None means the local model, or ``mock`` if that cannot run."""

    prompt: str
    num_samples: int
    provider: str | None
    model: str | None
    max_tokens: int


async def run_demo(demo: Demo, providers: ProviderSettings, *, json: bool) -> None:
    """Start a server, stream from it, show the growing samples, then the figures.

    Args:
        demo: Options of the demo.
        providers: Settings of the server's providers.
        json: Whether to write one JSON document instead of the samples and figures.

    Raises:
        ApiException: As for the call in the SDK.
        CommandError: The requested provider cannot run.
    """
    provider = _provider(demo.provider, providers)
    async with (
        EmbeddedServer(providers=providers) as server,
        AsyncHumanloop(base_url=server.base_url, api_key=server.api_key) as client,
    ):
        print_status(f"Started a v4 server in this process, at {server.base_url}.")
        if provider == "local":
            provider = await _load_local_model(client, fall_back=demo.provider is None)
        config = ModelConfigChatRequest(
            provider=provider, model=model_name(provider, demo.model), max_tokens=demo.max_tokens
        )
        plural = "s" if demo.num_samples > 1 else ""
        print_status(f"{demo.num_samples} sample{plural} of {config.model}, provider {provider}: {demo.prompt}\n")
        samples = [SampleProgress(index) for index in range(demo.num_samples)]
        started = time.monotonic()
        opening = client.chat_stream(
            project="demo",
            model_config=config,
            messages=[ChatMessage(role="user", content=demo.prompt)],
            num_samples=demo.num_samples,
        )
        if json:
            await follow(opening, samples, lambda response: _document(config, demo, response, samples, started))
        else:
            response = await follow(opening, samples)
            print_summary(response, samples, started)


def _provider(requested: str | None, providers: ProviderSettings) -> str:
    if requested not in {None, "local"}:
        return str(requested)
    reason = unavailable(providers.local_gguf)
    if reason is None:
        return "local"
    if requested is not None:
        raise CommandError(reason)
    _fall_back(reason)
    return "mock"


def _fall_back(reason: str) -> None:
    print_status(f"Using made-up text instead of a real model: {reason}")


async def _load_local_model(client: AsyncHumanloop, *, fall_back: bool) -> str:
    """Generate one token, so that the figures do not include loading the model. Returns the provider to use."""
    started = time.monotonic()
    config = ModelConfigChatRequest(provider="local", model=model_name("local", None), max_tokens=1)
    try:
        with _loading():
            await client.chat(model_config=config, messages=[ChatMessage(role="user", content="Hello")], save=False)
    except ApiException as exc:
        if not fall_back:
            raise
        _fall_back(str(explain(exc)))
        return "mock"
    print_status(f"Loaded the local model in {time.monotonic() - started:.1f} s.")
    return "local"


def _loading() -> AbstractContextManager[object]:
    if is_terminal(sys.stderr):
        return console(stderr=True).status("loading the local model", spinner_style="dim")
    return nullcontext()


def tokens_per_second(usage: Usage | None, samples: Sequence[SampleProgress]) -> float | None:
    """Return the tokens of all samples per second, from the first text of any sample to the last."""
    first_times = [sample.first for sample in samples if sample.first is not None]
    last_times = [sample.last for sample in samples if sample.last is not None]
    if usage is None or not first_times or (seconds := max(last_times) - min(first_times)) <= 0:
        return None
    return usage.generation_tokens / seconds


def print_summary(response: AnyResponse, samples: Sequence[SampleProgress], started: float) -> None:
    """Print the finish reason and times of each sample, the token usage and the speed."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("sample", "finish", "first token", "last token"):
        table.add_column(name, justify="right" if name.endswith("token") else "left", no_wrap=True)
    for data in response.data:
        sample = samples[data.index]
        times = (_seconds(sample.first, started), _seconds(sample.last, started))
        table.add_row(str(data.index), data.finish_reason, *times)
    screen = console()
    screen.print("")
    screen.print(table)
    if first_times := [sample.first for sample in samples if sample.first is not None]:
        earliest, latest = _seconds(min(first_times), started), _seconds(max(first_times), started)
        screen.print(f"\nfirst token   {earliest} (earliest), {latest} (latest)")
    if usage := response.usage:
        tokens = f"{usage.prompt_tokens} prompt + {usage.generation_tokens} generated = {usage.total_tokens}"
        screen.print(f"usage         {tokens} tokens")
    if speed := tokens_per_second(response.usage, samples):
        screen.print(f"speed         {speed:.1f} tokens/s (all samples)")


def _seconds(moment: float | None, started: float) -> str:
    return "-" if moment is None else f"{moment - started:.2f} s"


def _document(
    config: ModelConfigChatRequest, demo: Demo, response: AnyResponse, samples: Sequence[SampleProgress], started: float
) -> dict[str, object]:
    """Build the document of ``--json``; its times are in seconds since the call."""
    return {
        "provider": config.provider,
        "model": config.model,
        "prompt": demo.prompt,
        "first_token_seconds": [sample.first and round(sample.first - started, 4) for sample in samples],
        "last_token_seconds": [sample.last and round(sample.last - started, 4) for sample in samples],
        "tokens_per_second": tokens_per_second(response.usage, samples),
        "response": response.body,
    }
