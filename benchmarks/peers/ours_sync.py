"""The synchronous client of humanloop_async."""

from __future__ import annotations

from humanloop_async import Humanloop
from humanloop_async.types import ChatResponse

from . import harness


class OursSync:
    def __init__(self, port: int, options: dict[str, str]) -> None:
        self.client = Humanloop(base_url=f"http://127.0.0.1:{port}/v4", api_key=harness.API_KEY)

    def open(self) -> None:
        """Do nothing: the constructor has created the client."""

    def stream(self, samples: int, tally: harness.Tally) -> None:
        with self.client.chat_stream(**harness.v4_request(samples)) as stream:
            for chunk in stream:
                tally.text(chunk.output)

    def call(self) -> str:
        response: ChatResponse = self.client.chat(**harness.v4_request(1))
        return response.data[0].output

    def close(self) -> None:
        self.client.close()


if __name__ == "__main__":
    harness.main(OursSync, "aiohttp", "msgspec", "anyio")
