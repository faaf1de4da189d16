"""The provider ``openai``, and servers with an OpenAI-compatible API."""

from __future__ import annotations

import re

from ...transport.base import Transport
from ...types import Json, Usage
from .base import ProviderCall, ProviderSample
from .capabilities import Capabilities
from .http_provider import HttpProvider
from .openai_body import chat_body, completion_body, rejected_parameter, without_parameters
from .openai_events import EventReader, read_response
from .settings import OPENAI_BASE_URL, CompatibleServer

# Models that OpenAI serves at /completions only.
_LEGACY_MODEL = re.compile(r"(ft:)?(davinci-002|babbage-002)(:.*)?|text-.+|.+-instruct(-\d+)?(:.*)?")
# Models that their makers serve as chats only, also under a gateway's prefix such as "openai/".
_CHAT_MODEL = re.compile(
    r"(?:[\w.-]+/)*(?:ft:)?(?:gpt-(?!3\.5-turbo-instruct)|chatgpt-|o\d|claude-|gemini-|command-|grok-|deepseek-(?:chat|reasoner))"
)
_LEGACY_CONTEXT = {"gpt-3.5-turbo-instruct": 4096, "davinci-002": 16_384, "babbage-002": 16_384}  # tokens


OPENAI_CAPABILITIES = Capabilities(thinking=False)
COMPATIBLE_CAPABILITIES = Capabilities()
"""Of a server that is not known: it may have everything, and rejects the parameters that it lacks."""


class CompatibleAdapter:
    """The wire format of servers with an OpenAI-compatible API.

    Args:
        origin: The provider's display name.
        completions: Whether prompts go to the legacy ``/completions``.
    """

    capabilities = COMPATIBLE_CAPABILITIES

    def __init__(self, origin: str, completions: bool = False) -> None:
        self._origin = origin
        self._completions = completions

    def path(self, call: ProviderCall) -> str:
        return "/completions" if self._is_legacy(call) else "/chat/completions"

    def headers(self, call: ProviderCall, key: str | None) -> dict[str, str]:
        return {} if key is None else {"Authorization": f"Bearer {key}"}

    def body(self, call: ProviderCall) -> dict[str, Json]:
        return completion_body(call) if self._is_legacy(call) else chat_body(call, self._origin)

    def stream_body(self, body: dict[str, Json], call: ProviderCall) -> dict[str, Json]:
        body = body | {"stream": True}
        if (options := call.other.get("stream_options", {"include_usage": True})) is not None:
            body["stream_options"] = options
        return body

    def read_response(self, data: bytes, num_samples: int) -> tuple[list[ProviderSample], Usage | None]:
        samples, usage = read_response(data, num_samples)
        return [samples[index] for index in sorted(samples)], usage

    def reader(self, num_samples: int) -> EventReader:
        return EventReader(num_samples)

    def rejected_parameter(self, body: dict[str, Json], message: str) -> str | None:
        return rejected_parameter(body, message)

    def without_parameters(self, body: dict[str, Json], rejected: set[str]) -> dict[str, Json]:
        return without_parameters(body, rejected)

    def _is_legacy(self, call: ProviderCall) -> bool:
        """Return whether the call goes to the legacy completions. Only those have `suffix` and `logprobs`."""
        if call.endpoint != "complete":
            return False
        needs_legacy = call.suffix is not None or call.logprobs is not None
        return self._prefers_completions(call.model) or (needs_legacy and not _CHAT_MODEL.match(call.model))

    def _prefers_completions(self, model: str) -> bool:
        return self._completions


class OpenAIAdapter(CompatibleAdapter):
    """OpenAI's wire format. Prompts go to the legacy completions only for models or parameters that need them."""

    capabilities = OPENAI_CAPABILITIES

    def __init__(self, origin: str = "OpenAI") -> None:
        super().__init__(origin, completions=True)

    def body(self, call: ProviderCall) -> dict[str, Json]:
        body = super().body(call)
        if self._is_legacy(call):
            # The default there is 16. Only the tokenizer knows how many tokens fit. A token rarely has less than two
            # bytes, so half the prompt's bytes are enough for the prompt.
            room = _LEGACY_CONTEXT.get(call.model, 2048) - len(call.prompt.encode()) // 2
            body.setdefault("max_tokens", max(room, 16))
        return body

    def _prefers_completions(self, model: str) -> bool:
        return _LEGACY_MODEL.fullmatch(model) is not None


class CompatibleProvider(HttpProvider):
    """A server with an OpenAI-compatible API.

    Args:
        name: v4 name of the provider.
        server: Its address and its abilities.
        origin: The display name; the v4 name if None.
        transport: Sends the requests, and is closed with the provider. An `AiohttpTransport` if None.
    """

    def __init__(
        self,
        name: str,
        server: CompatibleServer,
        *,
        origin: str | None = None,
        max_retries: int = 0,
        transport: Transport | None = None,
    ) -> None:
        super().__init__(
            name,
            origin or name,
            CompatibleAdapter(origin or name, server.completions),
            base_url=server.base_url,
            api_key=server.api_key,
            query=server.query,
            extra_headers=server.headers,
            max_n=server.max_n,
            max_retries=max_retries,
            transport=transport,
        )


class OpenAIProvider(HttpProvider):
    """OpenAI, or the server at ``OPENAI_BASE_URL``: needs a key, and knows which models are legacy."""

    def __init__(
        self,
        base_url: str = OPENAI_BASE_URL,
        api_key: str | None = None,
        transport: Transport | None = None,
        *,
        max_retries: int = 0,
    ) -> None:
        super().__init__(
            "openai",
            "OpenAI",
            OpenAIAdapter(),
            base_url=base_url,
            api_key=api_key,
            key_variable="OPENAI_API_KEY",
            max_n=128,
            max_retries=max_retries,
            transport=transport,
        )
