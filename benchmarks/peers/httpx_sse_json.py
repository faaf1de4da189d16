"""httpx with httpx-sse and ``json.loads``."""

from __future__ import annotations

import json

import httpx
import httpx_sse

from . import harness


class HttpxSse:
    def __init__(self, port: int, options: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}/v4/chat"

    async def open(self) -> None:
        self.client = httpx.AsyncClient(limits=httpx.Limits(), timeout=60)

    async def stream(self, samples: int, tally: harness.Tally) -> None:
        request = {**harness.v4_request(samples), "stream": True}
        async with httpx_sse.aconnect_sse(self.client, "POST", self.url, json=request) as source:
            async for event in source.aiter_sse():
                tally.text(json.loads(event.data)["data"][0]["output"])

    async def call(self) -> str:
        response = await self.client.post(self.url, json=harness.v4_request(1))
        text: str = response.json()["data"][0]["output"]
        return text

    async def close(self) -> None:
        await self.client.aclose()


if __name__ == "__main__":
    harness.main(HttpxSse, "httpx", "httpx-sse")
