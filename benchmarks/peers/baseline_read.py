"""Baseline: read the body through aiohttp without looking at it."""

from __future__ import annotations

import aiohttp

from . import harness


class ReadOnly:
    def __init__(self, port: int, options: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}/v4/chat"

    async def open(self) -> None:
        harness.raise_mmap_threshold()
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def stream(self, samples: int, tally: harness.Tally) -> None:
        request = {**harness.v4_request(samples), "stream": True}
        async with self.session.post(self.url, json=request) as response:
            while data := await response.content.readany():
                tally.read(data)

    async def call(self) -> str:
        async with self.session.post(self.url, json=harness.v4_request(1)) as response:
            return str(len(await response.read()))

    async def close(self) -> None:
        await self.session.close()


if __name__ == "__main__":
    harness.main(ReadOnly, "aiohttp")
