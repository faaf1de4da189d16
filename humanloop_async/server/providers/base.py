"""The interface of a provider: it turns one call into chunks of indexed samples, or raises a `ProviderError`.

The server renders templates, checks requests and writes logs. A provider knows one wire format, and maps its finish
reasons, statuses and tool calls to v4's. All concurrent calls share a provider, so it keeps no state of a call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

from msgspec import Struct, field

from ...types import (
    ChatMessage,
    Json,
    ModelConfigTool,
    ProviderApiKeys,
    ReasoningEffort,
    ResponseFormat,
    ToolCall,
    ToolChoiceValue,
    Usage,
)


class ProviderCall(Struct, kw_only=True):
    """One generation, with its templates filled.

    Attributes:
        provider: The v4 name of the provider, such as "openai".
        model: The provider's name of the model.
        endpoint: The kind of endpoint. A provider with chat models only sends the `prompt` of "complete" as one
            message of the user.
        messages: The filled chat template and the request's messages; for "chat".
        prompt: The filled prompt; for "complete".
        num_samples: Number of samples, at least 1.
        max_tokens: Limit of each sample; None for as many as fit.
        other: Further parameters of the provider; they override those from the fields above.
        keys: Keys from the request; they take precedence over the server's.
    """

    provider: str
    model: str
    endpoint: Literal["chat", "complete"] = "chat"
    messages: list[ChatMessage] = field(default_factory=list[ChatMessage])
    prompt: str = ""
    num_samples: int = 1
    max_tokens: int | None = None
    temperature: float = 1
    top_p: float = 1
    stop: list[str] = field(default_factory=list[str])
    presence_penalty: float = 0
    frequency_penalty: float = 0
    seed: int | None = None
    response_format: ResponseFormat | None = None
    tools: list[ModelConfigTool] = field(default_factory=list[ModelConfigTool])
    tool_choice: ToolChoiceValue | None = None
    logprobs: int | None = None
    suffix: str | None = None
    user: str | None = None
    reasoning_effort: ReasoningEffort | None = None
    other: dict[str, Json] = field(default_factory=dict[str, Json])
    keys: ProviderApiKeys = field(default_factory=ProviderApiKeys)


class ProviderChunk(Struct, gc=False):
    """The addition of one piece of a provider's stream to one sample.

    Attributes:
        index: The sample, in ``range(num_samples)``.
        text: The added text, with its whitespace.
        finish_reason: On the sample's last chunk: v4's "stop", "length" or "tool_call", or another reason of the
            provider. No chunk of this sample follows.
        tool_calls: Complete tool calls, on the sample's last chunk only.
        raw: The provider's JSON for this chunk, on one line; ``b""`` if there is none.
        reasoning: The text of the model's thinking that the piece adds. It is never part of `text`. A chunk may have
            reasoning only.
    """

    index: int
    text: str = ""
    finish_reason: str | None = None
    tool_calls: list[ToolCall] | None = None
    raw: bytes = b""
    reasoning: str = ""


class ProviderSample(Struct):
    """One complete sample of an unstreamed call.

    Attributes:
        reasoning: The text of the model's thinking, which is not part of `text`; "" if the provider sends none.
        response: The provider's response that has the sample; the same object for all its samples.
    """

    index: int
    text: str
    finish_reason: str
    tool_calls: list[ToolCall] | None = None
    reasoning: str = ""
    response: Json = None


class ProviderReply(Struct):
    """The result of an unstreamed call.

    Attributes:
        samples: In order of their index, one for each of ``range(num_samples)``.
        usage: Token counts of all samples together; None if the provider sends none.
        responses: The provider's responses, one for each request.
    """

    samples: list[ProviderSample]
    usage: Usage | None = None
    responses: list[Json] = field(default_factory=list[Json])


BatchCallback = Callable[[list[ProviderChunk]], bool]


class ProviderStream(Protocol):
    """Iterates over batches of chunks: those of one read from the provider, never an empty list.

    Attributes:
        usage: Token counts of all samples together, when the iteration has ended; None if the provider sends none.
        on_batch: Callback that the consumer may set. While the consumer awaits the next batch, the stream may pass a
            batch here, from the protocol callback that received it. If it returns True, the batch is consumed and not
            iterated. It must neither block nor raise.

    The iteration ends when every sample has had its `finish_reason`. Otherwise it raises a `ProviderError`, after the
    chunks that arrived before. A cancelled iteration cannot be resumed.
    """

    on_batch: BatchCallback | None

    @property
    def usage(self) -> Usage | None: ...
    def __aiter__(self) -> AsyncIterator[list[ProviderChunk]]: ...


class Provider(Protocol):
    """A service that generates samples.

    Attributes:
        name: The v4 name, such as "openai".
        origin: The display name, such as "OpenAI"; the `origin` of this provider's errors.
    """

    @property
    def name(self) -> str: ...
    @property
    def origin(self) -> str: ...

    def request_body(self, call: ProviderCall) -> dict[str, Json]:
        """Return the body of the request to the provider, for v4's ``provider_request``. It contains no keys.

        Raises:
            ProviderError: The provider does not support a parameter of the call (422).
        """
        ...

    async def generate(self, call: ProviderCall) -> ProviderReply:
        """Generate, and return when all samples have finished. Cancellation ends the provider's work.

        Raises:
            ProviderError: The provider rejected the call, or failed.
        """
        ...

    def stream(self, call: ProviderCall) -> AbstractAsyncContextManager[ProviderStream]:
        """Generate, chunk by chunk.

        A rejection is raised when the context is entered, or by the iteration if the provider sends it within the
        response. Leaving the context, also by cancellation, closes the provider's connection at once.

        Raises:
            ProviderError: The provider rejected the call, or failed.
        """
        ...

    async def aclose(self) -> None:
        """Close connections and child processes. Closing again has no effect."""
        ...


class ProviderError(Exception):
    """A provider rejected a call, or failed.

    Attributes:
        status: The v4 status: 401, 404, 422, 429 or 503.
        message: The provider's message if there is one, else a description of the problem.
        origin: The reporter of the error: the provider's `origin`, or `PLATFORM`.
        retry_after: Seconds that the provider requested to wait, or None.
    """

    def __init__(self, status: int, message: str, origin: str, retry_after: float | None = None) -> None:
        super().__init__(status, message, origin, retry_after)  # keeps args, so the error can be pickled
        self.status, self.message, self.origin, self.retry_after = status, message, origin, retry_after

    def __str__(self) -> str:
        return f"{self.status} from {self.origin}: {self.message}"


def v4_status(status: int) -> int:
    """Return the v4 status for a provider's: 503 for failures, and 422 for rejections that v4 has no status for."""
    if status in (401, 403):
        return 401
    if status in (404, 429):
        return status
    return 422 if 400 <= status < 500 and status != 408 else 503


async def collect(stream: ProviderStream, num_samples: int) -> tuple[list[ProviderSample], Usage | None]:
    """Read a stream to its end and assemble its samples; for providers that can only stream."""
    texts: list[list[str]] = [[] for _ in range(num_samples)]
    thoughts: list[list[str]] = [[] for _ in range(num_samples)]
    samples: dict[int, ProviderSample] = {}
    async for batch in stream:
        for chunk in batch:
            index = chunk.index
            texts[index].append(chunk.text)
            thoughts[index].append(chunk.reasoning)
            if chunk.finish_reason is not None:
                samples[index] = ProviderSample(
                    index, "".join(texts[index]), chunk.finish_reason, chunk.tool_calls, "".join(thoughts[index])
                )
    return [samples[index] for index in range(num_samples)], stream.usage
