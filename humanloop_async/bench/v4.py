"""A v4 server, called through this package's client."""

from __future__ import annotations

from array import array
from time import perf_counter

import msgspec

from ..client.client import AsyncHumanloop
from ..config import Timeout
from ..errors import ApiException, InvalidArgument
from ..types import ChatMessage, ChatResponse, ModelConfigChatRequest
from .prompts import Prompt
from .recording import OK, Record
from .settings import TargetSettings
from .timed import TimedResponse, TimedTransport


class V4Target:
    """Streams ``POST /chat``. Nothing is stored on the server: the requests have no project."""

    def __init__(self, settings: TargetSettings, transport: TimedTransport) -> None:
        self._settings = settings
        self._transport = transport
        limit = settings.timeout
        self._client = AsyncHumanloop(
            settings.api_key,
            base_url=settings.base_url,
            timeout=Timeout(connect=limit, first_token=limit, idle=limit),
            max_retries=0,  # a retry would hide a failure
            transport=transport,
        )

    async def stream(self, prompt: Prompt, record: Record) -> None:
        """Stream one chat; see `Target.stream`."""
        samples = self._settings.num_samples
        arrivals = record.arrivals = [array("d") for _ in range(samples)]
        opened = False
        try:
            config, messages = self._config(prompt), _messages(prompt)
            opening = self._client.chat_stream(
                model_config=config, messages=messages, num_samples=samples, return_inputs=False
            )
            record.sent = perf_counter()
            async with opening as stream:
                opened = True
                response = stream._reader.response
                assert isinstance(response, TimedResponse)
                async for chunk in stream:
                    if chunk.output or chunk.reasoning or chunk.tool_calls:
                        arrivals[chunk.index].append(response.arrived)
                record.ended = perf_counter()
                if self._settings.keep_text:
                    record.texts = _texts(stream.partial)
                if (usage := stream.partial.usage) is not None:
                    record.prompt_tokens, record.tokens = usage.prompt_tokens, usage.generation_tokens
                record.outcome = OK
        except ApiException as exc:
            record.fail(exc, opened=opened)
            if self._settings.keep_text and isinstance(exc.partial, ChatResponse):
                record.texts = _texts(exc.partial)
        finally:
            record.ended = record.ended or perf_counter()

    def _config(self, prompt: Prompt) -> ModelConfigChatRequest:
        settings = self._settings
        config = ModelConfigChatRequest(
            provider=settings.provider,
            model=settings.model,
            max_tokens=prompt.max_tokens or settings.max_tokens or -1,
            other=dict(settings.extra),
        )
        if settings.temperature is not None:
            config.temperature = settings.temperature
        return config

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        await self._transport.aclose()


def _texts(response: ChatResponse) -> list[str]:
    """Return the text of each sample: reasoning, output, and names and arguments of tool calls."""
    texts: list[str] = []
    for sample in response.data:
        functions = [call.function for call in sample.tool_calls or ()]
        calls = "".join(f"{function.name}{function.arguments}" for function in functions)
        texts.append(f"{sample.reasoning or ''}{sample.raw_output}{calls}")
    return texts


def _messages(prompt: Prompt) -> list[ChatMessage]:
    try:
        return msgspec.convert(prompt.messages, list[ChatMessage])
    except msgspec.ValidationError as exc:
        raise InvalidArgument(f"a prompt is not a list of v4 messages: {exc}") from exc
