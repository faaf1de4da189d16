"""``openai``, and every server with an OpenAI-compatible API under a name of its own."""

from __future__ import annotations

import re

from ...transport.base import Transport
from ...types import Json, Usage
from .base import ProviderCall, ProviderSample
from .http_provider import HttpProvider
from .openai_body import chat_body, completion_body
from .openai_events import EventReader, read_answer
from .settings import OPENAI_BASE_URL, CompatibleServer

# Models that OpenAI serves at /completions only.
_LEGACY_MODEL = re.compile(r"(ft:)?(davinci-002|babbage-002)(:.*)?|text-.+|.+-instruct(-\d+)?(:.*)?")
_LEGACY_CONTEXT = {"gpt-3.5-turbo-instruct": 4096, "davinci-002": 16_384, "babbage-002": 16_384}  # tokens


class CompatibleAdapter:
    """The wire format of servers with an OpenAI-compatible API.

    Args:
        origin: The provider's display name.
        completions: Whether prompts go to the legacy ``/completions``.
    """

    def __init__(self, origin: str, completions: bool = False) -> None:
        self._origin = origin
        self._completions = completions

    def path(self, call: ProviderCall) -> str:
        return "/completions" if self._is_legacy(call) else "/chat/completions"

    def headers(self, call: ProviderCall, key: str | None) -> dict[str, str]:
        return {} if key is None else {"Authorization": f"Bearer {key}"}

    def body(self, call: ProviderCall) -> dict[str, Json]:
        return completion_body(call) if self._is_legacy(call) else chat_body(call, self._origin)

    def stream_body(self, body: dict[str, Json]) -> dict[str, Json]:
        return body | {"stream": True, "stream_options": {"include_usage": True}}

    def read_response(self, data: bytes, num_samples: int) -> tuple[list[ProviderSample], Usage | None]:
        return read_answer(data, num_samples)

    def reader(self, num_samples: int) -> EventReader:
        return EventReader(num_samples)

    def _is_legacy(self, call: ProviderCall) -> bool:
        return call.endpoint == "complete" and self._completions


class OpenAIAdapter(CompatibleAdapter):
    """OpenAI's wire format. Legacy completions are for the models that have nothing else."""

    def __init__(self) -> None:
        super().__init__("OpenAI", completions=True)

    def body(self, call: ProviderCall) -> dict[str, Json]:
        body = super().body(call)
        if self._is_legacy(call):
            # Left out, it means 16 there. How many fit is known only to the tokenizer; a token is seldom less
            # than two bytes, so half the prompt's bytes are room enough for it.
            room = _LEGACY_CONTEXT.get(call.model, 2048) - len(call.prompt.encode()) // 2
            body.setdefault("max_tokens", max(room, 16))
        return body

    def _is_legacy(self, call: ProviderCall) -> bool:
        return super()._is_legacy(call) and _LEGACY_MODEL.fullmatch(call.model) is not None


class CompatibleProvider(HttpProvider):
    """A server with an OpenAI-compatible API.

    Args:
        name: v4 name of the provider.
        server: Where it is, and what it can do.
        origin: Name for people; the v4 name when not given.
        transport: Sends the requests, and is closed with the provider. An `AiohttpTransport` if None.
    """

    def __init__(
        self, name: str, server: CompatibleServer, *, origin: str | None = None, transport: Transport | None = None
    ) -> None:
        super().__init__(
            name,
            origin or name,
            CompatibleAdapter(origin or name, server.completions),
            base_url=server.base_url,
            api_key=server.api_key,
            max_n=server.max_n,
            transport=transport,
        )


class OpenAIProvider(HttpProvider):
    """OpenAI, or the server at ``OPENAI_BASE_URL``: needs a key, and knows which models are legacy."""

    def __init__(
        self, base_url: str = OPENAI_BASE_URL, api_key: str | None = None, transport: Transport | None = None
    ) -> None:
        super().__init__(
            "openai",
            "OpenAI",
            OpenAIAdapter(),
            base_url=base_url,
            api_key=api_key,
            key_variable="OPENAI_API_KEY",
            max_n=128,
            transport=transport,
        )
