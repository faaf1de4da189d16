"""The official ``humanloop`` client of v4."""

from __future__ import annotations

from typing import Any

from humanloop import Humanloop  # type: ignore[import-not-found, unused-ignore]

from . import harness


class Official:
    def __init__(self, port: int, options: dict[str, str]) -> None:
        self.host = f"http://127.0.0.1:{port}/v4"

    async def open(self) -> None:
        self.client: Any = Humanloop(host=self.host, api_key=harness.API_KEY)

    async def stream(self, samples: int, tally: harness.Tally) -> None:
        response = await self.client.chat_stream(**harness.v4_request(samples))
        async for item in response.content:
            tally.text(item["output"])

    async def call(self) -> str:
        response = await self.client.achat(**harness.v4_request(1))
        text: str = response.data[0].output
        return text

    async def close(self) -> None:
        """Do nothing: the client opens a session for every call."""


if __name__ == "__main__":
    harness.main(Official, "humanloop", "aiohttp", "pydantic")
