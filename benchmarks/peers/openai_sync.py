"""The synchronous ``openai`` client."""

from __future__ import annotations

from openai import OpenAI  # type: ignore[import-not-found, unused-ignore]

from . import harness


class OpenAiSync:
    def __init__(self, port: int, options: dict[str, str]) -> None:
        self.client = OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=harness.API_KEY)

    def open(self) -> None:
        """Do nothing: the constructor has created the client."""

    def stream(self, samples: int, tally: harness.Tally) -> None:
        create = self.client.chat.completions.create
        with create(model=harness.MODEL, messages=harness.MESSAGES, n=samples, stream=True) as stream:
            for chunk in stream:
                tally.text(chunk.choices[0].delta.content or "")

    def call(self) -> str:
        response = self.client.chat.completions.create(model=harness.MODEL, messages=harness.MESSAGES)
        return response.choices[0].message.content or ""

    def close(self) -> None:
        self.client.close()


if __name__ == "__main__":
    harness.main(OpenAiSync, "openai")
