"""``humanloop-async demo``: samples of a real model, streamed through an embedded server, and what they took."""

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
from .failures import CommandError, explain
from .options import model_name
from .samples import AnyResponse, Sample, follow
from .terminal import console, is_terminal, note

READABLE_PACE = 12.0
"""Words per second of each sample of ``mock``, where the environment sets no other pace."""


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What to show. A `provider` of None means the local model, and ``mock`` where that cannot run."""

    prompt: str
    num_samples: int
    provider: str | None
    model: str | None
    max_tokens: int


async def run_demo(demo: Demo, providers: ProviderSettings, *, json: bool) -> None:
    """Start a server, stream from it, show the samples as they grow, then the figures.

    Raises:
        ApiException: As the SDK does.
        CommandError: The provider that was asked for cannot run.
    """
    provider = _provider(demo.provider, providers)
    async with (
        EmbeddedServer(providers=providers) as server,
        AsyncHumanloop(base_url=server.base_url, api_key=server.api_key) as client,
    ):
        note(f"A v4 server runs inside this process, at {server.base_url}.")
        if provider == "local":
            provider = await _load_local_model(client, fall_back=demo.provider is None)
        config = ModelConfigChatRequest(
            provider=provider, model=model_name(provider, demo.model), max_tokens=demo.max_tokens
        )
        plural = "s" if demo.num_samples > 1 else ""
        note(f"{demo.num_samples} sample{plural} of {config.model}, provider {provider}: {demo.prompt}\n")
        samples = [Sample(index) for index in range(demo.num_samples)]
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


def _provider(asked: str | None, providers: ProviderSettings) -> str:
    if asked not in {None, "local"}:
        return str(asked)
    reason = unavailable(providers.local_gguf)
    if reason is None:
        return "local"
    if asked is not None:
        raise CommandError(reason)
    _fall_back(reason)
    return "mock"


def _fall_back(reason: str) -> None:
    note(f"Made-up words instead of a real model: {reason}")


async def _load_local_model(client: AsyncHumanloop, *, fall_back: bool) -> str:
    """Have the server load its model with one token, so that the figures are those of generating."""
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
    note(f"The local model was loaded in {time.monotonic() - started:.1f} s.")
    return "local"


def _loading() -> AbstractContextManager[object]:
    if is_terminal(sys.stderr):
        return console(stderr=True).status("loading the local model", spinner_style="dim")
    return nullcontext()


def tokens_per_second(usage: Usage | None, samples: Sequence[Sample]) -> float | None:
    """Tokens of all samples together over the seconds from the first of their texts to the last."""
    begun = [sample.first for sample in samples if sample.first is not None]
    ended = [sample.last for sample in samples if sample.last is not None]
    if usage is None or not begun or (seconds := max(ended) - min(begun)) <= 0:
        return None
    return usage.generation_tokens / seconds


def print_summary(response: AnyResponse, samples: Sequence[Sample], started: float) -> None:
    """The assembled response in figures: how each sample ended and when, tokens, speed."""
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
    if begun := [sample.first for sample in samples if sample.first is not None]:
        earliest, latest = _seconds(min(begun), started), _seconds(max(begun), started)
        screen.print(f"\nfirst token   {earliest} at the earliest, {latest} at the latest")
    if usage := response.usage:
        made = f"{usage.prompt_tokens} prompt + {usage.generation_tokens} generated = {usage.total_tokens}"
        screen.print(f"usage         {made} tokens")
    if speed := tokens_per_second(response.usage, samples):
        screen.print(f"speed         {speed:.1f} tokens/s, all samples together")


def _seconds(moment: float | None, started: float) -> str:
    return "-" if moment is None else f"{moment - started:.2f} s"


def _document(
    config: ModelConfigChatRequest, demo: Demo, response: AnyResponse, samples: Sequence[Sample], started: float
) -> dict[str, object]:
    """What ``--json`` writes; times are in seconds from the call on."""
    return {
        "provider": config.provider,
        "model": config.model,
        "prompt": demo.prompt,
        "first_token_seconds": [sample.first and round(sample.first - started, 4) for sample in samples],
        "last_token_seconds": [sample.last and round(sample.last - started, 4) for sample in samples],
        "tokens_per_second": tokens_per_second(response.usage, samples),
        "response": response.body,
    }
