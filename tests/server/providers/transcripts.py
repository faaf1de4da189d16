"""Play documented byte streams to a provider, split at random places, and collect its chunks."""

from __future__ import annotations

import random
from typing import Any

from humanloop_async.server.providers.base import ProviderCall, ProviderChunk, ProviderError, ProviderStream
from humanloop_async.server.providers.http_provider import HttpProvider
from humanloop_async.testing import LAST_CHUNK, ScriptedServer, Step
from humanloop_async.types import ChatMessage

HELLO = [ChatMessage(role="user", content="hi")]


def call(**fields: Any) -> ProviderCall:
    return ProviderCall(**{"provider": "any", "model": "any", "messages": HELLO, **fields})


def add_random_splits(scripted: ScriptedServer, data: bytes, *end: Step) -> None:
    """Add a stream of these bytes in pieces of random length. The seed is printed, for a test that fails."""
    seed = random.randrange(2**32)
    print(f"splits: random.Random({seed})")
    rng = random.Random(seed)
    pieces: list[bytes] = []
    while data:
        size = rng.choice((1, 2, 7, 40, 400, 4000))
        pieces.append(data[:size])
        data = data[size:]
    scripted.add_stream(*pieces, end=end or (LAST_CHUNK,))


async def drain(stream: ProviderStream) -> tuple[list[ProviderChunk], ProviderError | None]:
    """Return all chunks of a stream, and the error that ended it."""
    chunks: list[ProviderChunk] = []
    try:
        async for batch in stream:
            chunks += batch
    except ProviderError as error:
        return chunks, error
    return chunks, None


async def stream_all(
    provider: HttpProvider, made: ProviderCall
) -> tuple[list[ProviderChunk], Any, ProviderError | None]:
    """Return the chunks, the token counts and the error of a streamed call."""
    async with provider.stream(made) as stream:
        chunks, error = await drain(stream)
        return chunks, stream.usage, error
