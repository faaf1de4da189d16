"""humanloop_async: one loop or a task per sample, aiohttp or httpx transport, asyncio's loop or uvloop."""

from __future__ import annotations

import asyncio
from typing import Literal

from humanloop_async import AsyncHumanloop, ChatStream, SampleStream
from humanloop_async.types import ChatChunk, ChatResponse

from . import harness


class Ours:
    def __init__(self, port: int, options: dict[str, str]) -> None:
        self.base_url = f"http://127.0.0.1:{port}/v4"
        self.transport: Literal["aiohttp", "httpx"] = "httpx" if options.get("transport") == "httpx" else "aiohttp"
        self.read = self.read_in_tasks if options.get("tasks") else self.read_flat

    async def open(self) -> None:
        self.client = AsyncHumanloop(base_url=self.base_url, api_key=harness.API_KEY, transport=self.transport)

    async def stream(self, samples: int, tally: harness.Tally) -> None:
        async with self.client.chat_stream(**harness.v4_request(samples)) as stream:
            await self.read(stream, tally)

    async def read_flat(self, stream: ChatStream, tally: harness.Tally) -> None:
        async for chunk in stream:
            tally.text(chunk.output)

    async def read_in_tasks(self, stream: ChatStream, tally: harness.Tally) -> None:
        async def read(sample: SampleStream[ChatChunk]) -> None:
            async for chunk in sample:
                tally.text(chunk.output)

        async with asyncio.TaskGroup() as tasks:
            for sample in stream.samples:
                tasks.create_task(read(sample))

    async def call(self) -> str:
        response: ChatResponse = await self.client.chat(**harness.v4_request(1))
        return response.data[0].output

    async def close(self) -> None:
        await self.client.aclose()


if __name__ == "__main__":
    harness.main(Ours, "aiohttp", "msgspec", "anyio")
