"""The usual hand-written client: aiohttp, line by line, and ``json.loads``."""

from __future__ import annotations

import json

import aiohttp

from . import harness


class Lines:
    def __init__(self, port: int, options: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}/v4/chat"

    async def open(self) -> None:
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def stream(self, samples: int, tally: harness.Tally) -> None:
        request = {**harness.v4_request(samples), "stream": True}
        async with self.session.post(self.url, json=request) as response:
            async for line in response.content:
                if line.startswith(b"data: "):
                    tally.text(json.loads(line[6:])["data"][0]["output"])

    async def call(self) -> str:
        async with self.session.post(self.url, json=harness.v4_request(1)) as response:
            text: str = (await response.json())["data"][0]["output"]
            return text

    async def close(self) -> None:
        await self.session.close()


if __name__ == "__main__":
    harness.main(Lines, "aiohttp")
