"""The streams that the programs beside this module return to their browsers, without a block that closes them.

The garbage collector is off, and every stream stays referred to, as by an error tracker or a cache of responses.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator

from humanloop_async import AsyncHumanloop, ChatStream
from humanloop_async.client.core import OpeningStream

gc.disable()
gc.freeze()

client = AsyncHumanloop(max_retries=0)  # one client for all requests; it connects on first use
kept: list[object] = []


def call() -> OpeningStream[ChatStream]:
    opening = client.chat_stream(model_config={"model": "m"}, messages=[{"role": "user", "content": "Hello"}])
    kept.append(opening)
    return opening


async def open_stream() -> ChatStream:
    stream = await call()
    kept.append(stream)
    return stream


async def text() -> AsyncIterator[str]:
    """Return the text of a stream that is open."""
    return (await open_stream()).text_stream


async def sample() -> AsyncIterator[str]:
    """Return the text of a sample of a stream that is open."""
    return (await open_stream()).samples[0].text_stream


async def generator() -> AsyncIterator[str]:
    """Return a generator that opens the stream when it is first read."""

    async def pieces() -> AsyncIterator[str]:
        async for chunk in call():
            yield chunk.output

    return pieces()


VIEWS = {"text": text, "sample": sample, "generator": generator}
