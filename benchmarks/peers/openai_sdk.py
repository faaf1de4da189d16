"""The ``openai`` client with its default HTTP backend or aiohttp's; the stream has OpenAI's format."""

from __future__ import annotations

from openai import AsyncOpenAI, DefaultAioHttpClient  # type: ignore[import-not-found, unused-ignore]

from . import harness


class OpenAi:
    def __init__(self, port: int, options: dict[str, str]) -> None:
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self.aiohttp = options.get("backend") == "aiohttp"

    async def open(self) -> None:
        http_client = DefaultAioHttpClient() if self.aiohttp else None
        self.client = AsyncOpenAI(base_url=self.base_url, api_key=harness.API_KEY, http_client=http_client)

    async def stream(self, samples: int, tally: harness.Tally) -> None:
        create = self.client.chat.completions.create
        async with await create(model=harness.MODEL, messages=harness.MESSAGES, n=samples, stream=True) as stream:
            async for chunk in stream:
                tally.text(chunk.choices[0].delta.content or "")

    async def call(self) -> str:
        response = await self.client.chat.completions.create(model=harness.MODEL, messages=harness.MESSAGES)
        return response.choices[0].message.content or ""

    async def close(self) -> None:
        await self.client.close()


if __name__ == "__main__":
    harness.main(OpenAi, "openai")
