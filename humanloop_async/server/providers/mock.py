"""``mock``: deterministic words at any pace, without a key and without a network.

The text of a sample depends only on the model's name, the seed, the prompt or messages, and the sample's index. It
does not depend on the process or on the number of samples. Each sample has a slightly different pace, so that samples
interleave like those of a real provider.

A model configuration's ``other`` controls it (`MockOptions`): ``{"tokens_per_second": 40, "tokens": 200}`` for a long
slow response, ``{"fail_after": 3, "status": 429}`` for a failure within a response, ``{"fail_after": 0}`` for a
rejected call. A `MockScript` replaces the words by scripted replies.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import itertools
import random
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from operator import itemgetter
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from ...types import ChatMessage, FunctionTool, Json, ModelConfigTool, TextChatContent, ToolCall, ToolChoice, Usage
from ...wire.requests import drop_nulls
from .base import BatchCallback, ProviderCall, ProviderChunk, ProviderError, ProviderReply, collect, v4_status
from .capabilities import Capabilities
from .mock_json import example
from .mock_script import MockScript, ScriptedSample

_VOCABULARY = (
    "a about across after and as at before behind between by for from in into it its never of often on or over "
    "soon still that the then there they this to under until we when where while with you amber answer bridge café "
    "carries cloud crosses early evening every finds garden gentle gives harbour hears hill keeps late lantern leaves "
    "letter light listens long map meets morning naïve narrow near north ocean old opens paper path quiet quickly "
    "reads river road says sees seldom slowly small snow song stone stream turns village waits water wind winter "
    "writes young 東京 über 🙂 again. evening. home. quietly. river. tomorrow."
)
WORDS = _VOCABULARY.split()
_TOKENS = [f" {word}" for word in WORDS]

BATCH = 32  # chunks per batch without a pace, about as many as one read from a fast provider contains


MOCK_CAPABILITIES = Capabilities(thinking=False, reasoning_tokens=False)


class MockOptions(Struct, kw_only=True):
    """The options of ``mock`` in ``other``, which may have other fields.

    Attributes:
        tokens_per_second: Mean pace of each sample; 0 means as fast as possible. Default: the server's setting.
        tokens: Words per sample, before `max_tokens` and `stop`. Default: 20 to 60, by the seed.
        start_delay: Seconds until the first word.
        fail_after: Fail after this number of chunks, all samples together; 0 rejects the call.
        status: The provider's status of that failure.
        retry_after: Seconds that the failure requests to wait.
    """

    tokens_per_second: Annotated[float, Meta(ge=0)] | None = None
    tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    start_delay: Annotated[float, Meta(ge=0, le=3600)] = 0
    fail_after: Annotated[int, Meta(ge=0)] | None = None
    status: Annotated[int, Meta(ge=400, le=599)] = 503
    retry_after: Annotated[float, Meta(ge=0)] | None = None


class MockProvider:
    """Deterministic words.

    Args:
        tokens_per_second: Mean pace of each sample if ``other`` sets none; 0 for as fast as possible.
        script: Replies to use instead of words.
    """

    name = "mock"
    origin = "Mock"

    def __init__(self, tokens_per_second: float = 0, script: MockScript | None = None) -> None:
        self._tokens_per_second = tokens_per_second
        self._script = script or MockScript()

    def request_body(self, call: ProviderCall) -> dict[str, Json]:
        body: dict[str, Json] = {"model": call.model, "n": call.num_samples}
        if call.endpoint == "complete":
            body["prompt"] = call.prompt
        else:
            body["messages"] = [drop_nulls(msgspec.to_builtins(message)) for message in call.messages]
        return {**body, **drop_nulls({"max_tokens": call.max_tokens, "seed": call.seed}), **call.other}

    async def generate(self, call: ProviderCall) -> ProviderReply:
        async with self.stream(call) as stream:
            samples, usage = await collect(stream, call.num_samples)
        return ProviderReply(samples, usage)

    @asynccontextmanager
    async def stream(self, call: ProviderCall) -> AsyncGenerator[MockStream]:
        yield self._scripted(call) or self._random(call)

    def _scripted(self, call: ProviderCall) -> MockStream | None:
        """Return the stream of the reply that the script has for a call; None without a script."""
        reply = self._script.take(call, _texts(call), self.origin)
        if reply is None:
            return None
        failure = reply.failure(self.origin)
        if failure is not None and reply.error is not None and reply.error.after == 0:
            raise failure
        pace = self._tokens_per_second if reply.tokens_per_second is None else reply.tokens_per_second
        samples = [ScriptedSample(index, reply.sample(index), pace) for index in range(call.num_samples)]
        fail_after = None if reply.error is None else reply.error.after
        options = MockOptions(tokens_per_second=pace, start_delay=reply.delay, fail_after=fail_after)
        return MockStream(call, options, samples, failure)

    def _random(self, call: ProviderCall) -> MockStream:
        """Return the stream of a call without a script."""
        try:
            options = msgspec.convert(call.other, MockOptions)
        except msgspec.ValidationError as exc:
            raise ProviderError(422, f"other: {exc}", self.origin) from exc
        if options.tokens_per_second is None:
            options.tokens_per_second = self._tokens_per_second
        tool = _wanted_tool(call, self.origin)
        failure = None
        if options.fail_after is not None:
            message = f"failed after {options.fail_after} chunks, as `other` requests"
            failure = ProviderError(v4_status(options.status), message, self.origin, options.retry_after)
            if options.fail_after == 0:
                raise failure
        seed = hashlib.sha256(msgspec.json.encode((call.model, call.seed, _prompt_text(call))))
        samples = [_Sample(call, index, seed, options, tool) for index in range(call.num_samples)]
        return MockStream(call, options, samples, failure)

    async def aclose(self) -> None:
        pass


class MockStream:
    """The chunks of one call, each at its scheduled time."""

    on_batch: BatchCallback | None = None

    def __init__(
        self,
        call: ProviderCall,
        options: MockOptions,
        samples: Sequence[_Sample | ScriptedSample],
        failure: ProviderError | None,
    ) -> None:
        generated = sum(len(sample.tokens) for sample in samples)
        words = len(_prompt_text(call).split())
        self.usage: Usage | None = None
        self._usage = Usage(prompt_tokens=words, generation_tokens=generated, total_tokens=words + generated)
        self._chunks: Iterator[tuple[float, ProviderChunk]] = heapq.merge(
            *(sample.chunks() for sample in samples), key=itemgetter(0)
        )
        if failure is not None:
            self._chunks = itertools.islice(self._chunks, options.fail_after)
        self._failure = failure
        self._next = next(self._chunks, None)
        self._paced = bool(options.tokens_per_second)
        self._clock = asyncio.get_running_loop().time
        self._start = self._clock() + options.start_delay

    def __aiter__(self) -> MockStream:
        return self

    async def __anext__(self) -> list[ProviderChunk]:
        if self._next is None:
            if self._failure is not None:
                raise self._failure
            self.usage = self._usage
            raise StopAsyncIteration
        due = self._next[0] if self._paced else 0.0
        await asyncio.sleep(max(0.0, self._start + due - self._clock()))
        # A timer may fire a little early: the time that was waited for has come in any case.
        now = max(due, self._clock() - self._start) if self._paced else float("inf")
        batch: list[ProviderChunk] = []
        while self._next is not None and self._next[0] <= now and len(batch) < BATCH:
            batch.append(self._next[1])
            self._next = next(self._chunks, None)
        return batch


class _Sample:
    """The text and tool calls of one sample: a pure function of the arguments."""

    def __init__(
        self,
        call: ProviderCall,
        index: int,
        seed: hashlib._Hash,
        options: MockOptions,
        tool: ModelConfigTool | None,
    ) -> None:
        own = seed.copy()
        own.update(b"%d" % index)
        # With an integer as the seed, `random` and `choices` return the same values in every process.
        rng = random.Random(int.from_bytes(own.digest()))
        # Seconds per token. Without a pace only the order matters, in any unit.
        self.period = rng.uniform(0.75, 1.25) / (options.tokens_per_second or 1)
        self.index = index
        self.tool_calls: list[ToolCall] | None = None
        self.finish_reason = "stop"
        if tool is not None and tool.name is not None:
            arguments = msgspec.json.encode(example(tool.parameters or {}, rng)).decode()
            function = FunctionTool(name=tool.name, arguments=arguments)
            self.tool_calls = [ToolCall(id=f"call_{own.hexdigest()[:24]}", function=function)]
            self.finish_reason = "tool_call"
            self.tokens = [""]
            return
        tokens = _json_tokens(call, rng) or _word_tokens(options.tokens or rng.randint(20, 60), rng)
        if call.max_tokens is not None and call.max_tokens < len(tokens):
            self.finish_reason = "length"
            del tokens[call.max_tokens :]
        if call.stop and (cut := _cut(tokens, call.stop)) is not None:
            self.finish_reason = "stop"
            tokens = cut
        self.tokens = tokens

    def chunks(self) -> Iterator[tuple[float, ProviderChunk]]:
        """Yield each chunk with its time, in seconds from the start."""
        due, last = 0.0, len(self.tokens) - 1
        for token in self.tokens[:last] if last > 0 else ():
            due += self.period
            yield due, ProviderChunk(self.index, token)
        text = self.tokens[last] if self.tokens else ""
        yield due + self.period, ProviderChunk(self.index, text, self.finish_reason, self.tool_calls)


def _word_tokens(count: int, rng: random.Random) -> list[str]:
    tokens = rng.choices(_TOKENS, k=count)
    tokens[0] = tokens[0].lstrip()
    return tokens


def _json_tokens(call: ProviderCall, rng: random.Random) -> list[str]:
    """Return a JSON response in pieces, if the call requests one."""
    if call.response_format is None:
        return []
    if call.response_format.type == "json_object":
        value: Json = {"answer": " ".join(rng.choices(WORDS, k=rng.randint(10, 30)))}
    else:
        wrapped = call.response_format.json_schema or {}
        schema = wrapped.get("schema")  # OpenAI's form: {"name": ..., "schema": {...}}
        value = example(schema if isinstance(schema, dict) else wrapped, rng)
    return re.findall(r"\s*\S+", msgspec.json.encode(value).decode())


def _cut(tokens: list[str], stops: list[str]) -> list[str] | None:
    """Return the tokens before the first stop sequence, or None if there is none."""
    text = "".join(tokens)
    if not (found := [at for stop in stops if stop and (at := text.find(stop)) >= 0]):
        return None
    room, kept = min(found), list[str]()
    for token in tokens:
        if room <= 0:
            break
        kept.append(token[:room])
        room -= len(token)
    return kept


def _wanted_tool(call: ProviderCall, origin: str) -> ModelConfigTool | None:
    """Return the tool to call: the forced one, the first if one is required, or one that the user names."""
    choice = call.tool_choice
    if isinstance(choice, ToolChoice):
        for tool in call.tools:
            if tool.name == choice.function.name:
                return tool
        raise ProviderError(422, f"tool_choice: there is no tool {choice.function.name!r}", origin)
    if choice == "required":
        if not call.tools:
            raise ProviderError(422, "tool_choice: a tool call is required, but there are no tools", origin)
        return call.tools[0]
    if choice == "none" or not call.messages or call.messages[-1].role != "user":
        return None
    asked = _message_text(call.messages[-1])
    return next((tool for tool in call.tools if tool.name and tool.name in asked), None)


def _prompt_text(call: ProviderCall) -> str:
    if call.endpoint == "complete":
        return call.prompt
    return "\n".join(f"{message.role}: {_message_text(message)}" for message in call.messages)


def _texts(call: ProviderCall) -> list[str]:
    """Return the prompt, or the text of each message."""
    return [call.prompt] if call.endpoint == "complete" else [_message_text(message) for message in call.messages]


def _message_text(message: ChatMessage) -> str:
    if isinstance(message.content, list):
        return " ".join(part.text for part in message.content if isinstance(part, TextChatContent))
    return message.content or ""
