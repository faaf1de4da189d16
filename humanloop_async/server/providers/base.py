"""What a provider must do: turn one call into chunks of indexed samples, or refuse with a `ProviderError`.

The server renders templates, checks requests and writes logs; a provider knows one wire format and nothing
of v4 beyond the words it maps to (finish reasons, statuses, tool calls). Providers are shared by all calls
that run at once, so they keep nothing of a call on themselves.
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

PLATFORM = "Humanloop"
"""The `origin` of refusals that are this server's own, rather than a provider's."""


class ProviderCall(Struct, kw_only=True):
    """One generation, complete and rendered: nothing in it is a template any more.

    Attributes:
        provider: v4 name of the provider, such as "openai".
        model: The model's name, as the provider knows it.
        endpoint: Which of the provider's endpoints is meant. A provider that has only chat models
            sends the `prompt` of "complete" as one user message.
        messages: The filled chat template and the request's messages; for "chat".
        prompt: The filled prompt; for "complete".
        num_samples: How many samples, at least 1.
        max_tokens: Limit per sample; None means as many as fit.
        other: Extra parameters of the provider, which override those made from the fields above.
        keys: Keys that came with the request; they win over the server's own.
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
    """What one piece of a provider's stream adds to one sample.

    Attributes:
        index: The sample, in ``range(num_samples)``.
        text: The text added, whitespace kept.
        finish_reason: On the sample's last chunk, in v4's words: "stop", "length", "tool_call"; others as
            the provider says them. No chunk of this sample follows.
        tool_calls: Whole tool calls, only on the sample's last chunk.
        raw: The provider's own JSON behind this chunk, on one line; ``b""`` when there is none.
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
    """One whole sample of a call that was not streamed.

    Attributes:
        reasoning: The text of the model's thinking, which is not part of `text`; "" if the provider sends none.
    """

    index: int
    text: str
    finish_reason: str
    tool_calls: list[ToolCall] | None = None
    reasoning: str = ""


class ProviderReply(Struct):
    """The result of a call that was not streamed.

    Attributes:
        samples: In order of their index, one for each of ``range(num_samples)``.
        usage: Token counts of all samples together; None when the provider does not tell.
        responses: The provider's own answers, one for each call made to it.
    """

    samples: list[ProviderSample]
    usage: Usage | None = None
    responses: list[Json] = field(default_factory=list[Json])


BatchCallback = Callable[[list[ProviderChunk]], bool]


class ProviderStream(Protocol):
    """Iterates batches of chunks: all that one read from the provider held, never an empty list.

    Attributes:
        usage: Token counts of all samples together. Set by the time the iteration ends; None when the
            provider does not tell.
        on_batch: Callback that the consumer may set. While the consumer awaits the next batch, the stream may pass a
            batch here, from the protocol callback that received it. If it returns True, the batch is consumed and not
            iterated. It must neither block nor raise.

    The iteration ends when every sample has had its `finish_reason`. When it cannot get there it raises
    a `ProviderError`, after the chunks that came whole. A cancelled iteration cannot be resumed.
    """

    on_batch: BatchCallback | None

    @property
    def usage(self) -> Usage | None: ...
    def __aiter__(self) -> AsyncIterator[list[ProviderChunk]]: ...


class Provider(Protocol):
    """One way to generate.

    Attributes:
        name: v4 name, such as "openai".
        origin: Name for people, such as "OpenAI"; the `origin` of this provider's errors.
    """

    @property
    def name(self) -> str: ...
    @property
    def origin(self) -> str: ...

    def request_body(self, call: ProviderCall) -> dict[str, Json]:
        """The body that goes to the provider, as v4 echoes it in ``provider_request``; holds no keys.

        Raises:
            ProviderError: The provider cannot do what the call asks for (422).
        """
        ...

    async def generate(self, call: ProviderCall) -> ProviderReply:
        """Generate, and answer when all samples are finished. Cancelling it ends the provider's work.

        Raises:
            ProviderError: Refused or failed.
        """
        ...

    def stream(self, call: ProviderCall) -> AbstractAsyncContextManager[ProviderStream]:
        """Generate, chunk by chunk.

        A refusal is raised on entering the context, or by the iteration when the provider says it only
        then. Leaving the context, by cancellation too, closes the provider's connection at once.

        Raises:
            ProviderError: Refused or failed.
        """
        ...

    async def aclose(self) -> None:
        """Close connections and child processes; twice does no harm."""
        ...


class ProviderError(Exception):
    """A provider refused a call or failed in it.

    Attributes:
        status: The v4 status it maps to: 401, 404, 422, 429 or 503.
        message: What went wrong, in the provider's own words where there are any.
        origin: Who says so: the provider's `origin`, or `PLATFORM`.
        retry_after: Seconds the provider asked to wait; None when it did not say.
    """

    def __init__(self, status: int, message: str, origin: str, retry_after: float | None = None) -> None:
        super().__init__(status, message, origin, retry_after)  # keeps args, so the error can be pickled
        self.status, self.message, self.origin, self.retry_after = status, message, origin, retry_after

    def __str__(self) -> str:
        return f"{self.status} from {self.origin}: {self.message}"


def v4_status(status: int) -> int:
    """The v4 status for a provider's: its failures are 503, what it refuses is 422 unless v4 has a word for it."""
    if status in (401, 403):
        return 401
    if status in (404, 429):
        return status
    return 422 if 400 <= status < 500 and status != 408 else 503


async def collect(stream: ProviderStream, num_samples: int) -> tuple[list[ProviderSample], Usage | None]:
    """Read a stream to its end and put its samples together; for providers that only stream."""
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
