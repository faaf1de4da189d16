"""Split a call into several, for providers that generate fewer samples at once than a v4 call may request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import msgspec

from ...types import Usage
from .base import BatchCallback, ProviderCall, ProviderChunk, ProviderReply, ProviderStream

T = TypeVar("T")


def split(call: ProviderCall, max_n: int) -> list[tuple[int, ProviderCall]]:
    """Return the call in parts of at most `max_n` samples, each with the index of its first sample."""
    return [
        (first, part(call, first, min(max_n, call.num_samples - first))) for first in range(0, call.num_samples, max_n)
    ]


def part(call: ProviderCall, first: int, num_samples: int) -> ProviderCall:
    """Return the part of a call that generates `num_samples` samples from index `first` on.

    A seed moves with that index: the same seed would give the same samples in every part.
    """
    seed = None if call.seed is None else call.seed + first
    return msgspec.structs.replace(call, num_samples=num_samples, seed=seed)


async def generate_all(parts: list[tuple[int, Coroutine[Any, Any, ProviderReply]]]) -> ProviderReply:
    """Return the replies of all parts as one. The first error cancels the other parts."""
    replies = await _all([part for _, part in parts])
    whole = ProviderReply([], total_usage(reply.usage for reply in replies))
    for (first, _), reply in zip(parts, replies, strict=True):
        for sample in reply.samples:
            sample.index += first
        whole.samples += reply.samples
        whole.responses += reply.responses
    return whole


@asynccontextmanager
async def stream_all(
    parts: list[tuple[int, AbstractAsyncContextManager[ProviderStream]]],
) -> AsyncGenerator[ProviderStream]:
    """Open the streams of all parts at the same time and merge them. The first error closes the other parts.

    The merged stream is open when its first part is: a busy provider may let the others wait until the first ones have
    finished.
    """
    async with AsyncExitStack() as stack:
        merged = MergedStream([_Part(first, part, stack) for first, part in parts])
        try:
            await merged.ready()
            yield merged
        finally:
            await merged.stop()


class _Part:
    def __init__(self, first: int, context: AbstractAsyncContextManager[ProviderStream], stack: AsyncExitStack) -> None:
        self.stream: ProviderStream | None = None
        self._first = first
        self._context = context
        self._stack = stack
        self._chunks: AsyncIterator[list[ProviderChunk]]

    async def read(self) -> list[ProviderChunk] | None:
        """Return the next chunks, or None at the end. The first call opens the stream and returns no chunks."""
        if self.stream is None:
            self.stream = await self._stack.enter_async_context(self._context)
            self._chunks = aiter(self.stream)
            return []
        batch = await anext(self._chunks, None)
        for chunk in batch or ():
            chunk.index += self._first
        return batch


class MergedStream:
    """Several streams as one, read at the same time."""

    on_batch: BatchCallback | None = None

    def __init__(self, parts: list[_Part]) -> None:
        self._parts = parts
        self._reads = {asyncio.ensure_future(part.read()): part for part in parts}

    async def ready(self) -> None:
        """Wait until a part is open, or raise the error of the first that fails."""
        done, _ = await asyncio.wait(self._reads, return_when=asyncio.FIRST_COMPLETED)
        for read in done:
            read.result()

    @property
    def usage(self) -> Usage | None:
        return total_usage(part.stream.usage for part in self._parts if part.stream is not None)

    def __aiter__(self) -> MergedStream:
        return self

    async def __anext__(self) -> list[ProviderChunk]:
        batch: list[ProviderChunk] = []
        while self._reads and not batch:
            done, _ = await asyncio.wait(self._reads, return_when=asyncio.FIRST_COMPLETED)
            # Chunks come before an error that arrived at the same time.
            for read in [read for read in done if read.exception() is None] or done:
                part = self._reads.pop(read)
                if (chunks := read.result()) is not None:
                    batch += chunks
                    self._reads[asyncio.ensure_future(part.read())] = part
        if not batch:
            raise StopAsyncIteration
        return batch

    async def stop(self) -> None:
        """Cancel the pending reads."""
        reads, self._reads = list(self._reads), {}
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)


def total_usage(usages: Iterable[Usage | None]) -> Usage | None:
    """Return the sum of the known token counts, or None if none are known."""
    known = [usage for usage in usages if usage is not None]
    if not known:
        return None
    reasoning = [usage.reasoning_tokens for usage in known if usage.reasoning_tokens is not None]
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in known),
        generation_tokens=sum(usage.generation_tokens for usage in known),
        total_tokens=sum(usage.total_tokens for usage in known),
        reasoning_tokens=sum(reasoning) if reasoning else None,
    )


async def _all(work: list[Coroutine[Any, Any, T]]) -> list[T]:
    """Return all results in order. On the first error, and when cancelled, cancels the other work and waits for it."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
