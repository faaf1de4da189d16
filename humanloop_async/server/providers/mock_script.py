"""Scripted replies of ``mock``: texts, tool calls, reasoning, errors and delays, by prompt or in sequence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Self

import msgspec
from msgspec import Meta, Struct, field

from ...types import FunctionTool, Json, ToolCall
from .base import ProviderCall, ProviderChunk, ProviderError, v4_status

_Seconds = Annotated[float, Meta(ge=0, le=3600)]


class MockToolCall(Struct, kw_only=True, forbid_unknown_fields=True):
    """A tool call of a scripted reply.

    Attributes:
        arguments: The arguments as an object, or as the text that the model wrote, which need not be JSON.
        id: The id of the call. Default: ``call_0``, ``call_1`` and so on.
    """

    name: str
    arguments: dict[str, Json] | str = field(default_factory=dict[str, Json])
    id: str | None = None


class MockError(Struct, kw_only=True, forbid_unknown_fields=True):
    """A failure of a scripted call.

    Attributes:
        status: The provider's status.
        retry_after: Seconds that the failure requests to wait.
        after: Number of chunks before the failure, all samples together; 0 rejects the call.
    """

    status: Annotated[int, Meta(ge=400, le=599)] = 503
    message: str = "the script requests this failure"
    retry_after: Annotated[float, Meta(ge=0)] | None = None
    after: Annotated[int, Meta(ge=0)] = 0


class MockSample(Struct, kw_only=True, forbid_unknown_fields=True):
    """One sample of a scripted reply.

    Attributes:
        text: The text, which is sent word by word; or the text of each chunk.
        reasoning: The text of the model's thinking, which is sent before the text; or that of each chunk.
        tool_calls: Tool calls, which are sent with the last chunk.
        finish_reason: Default: "tool_call" with tool calls, else "stop".
    """

    text: str | list[str] = ""
    reasoning: str | list[str] = ""
    tool_calls: list[MockToolCall] = field(default_factory=list[MockToolCall])
    finish_reason: str | None = None


class MockReply(MockSample, kw_only=True, forbid_unknown_fields=True):
    """One scripted reply.

    Attributes:
        prompt: Text that must occur in the prompt or in one of the messages. Default: any call matches.
        model: Name of the model that the call must have.
        times: How many calls get this reply. Default: any number with a `prompt` or a `model`, else one.
        samples: The samples, if they differ; further ones start again with the first. Default: the fields of this reply
            for every sample.
        delay: Seconds until the first chunk.
        tokens_per_second: Pace of each sample; 0 for no pause. Default: the server's setting.
        error: A failure, instead of the text or in the middle of it.
    """

    prompt: str | None = None
    model: str | None = None
    times: Annotated[int, Meta(ge=1)] | None = None
    samples: list[MockSample] = field(default_factory=list[MockSample])
    delay: _Seconds = 0
    tokens_per_second: Annotated[float, Meta(ge=0)] | None = None
    error: MockError | None = None

    def matches(self, call: ProviderCall, texts: list[str]) -> bool:
        """Return whether a call may get this reply.

        Args:
            call: The call.
            texts: The prompt, or the text of each message.
        """
        if self.model is not None and self.model != call.model:
            return False
        return self.prompt is None or any(self.prompt in text for text in texts)

    @property
    def limit(self) -> int | None:
        """How many calls get this reply; None for any number."""
        if self.times is not None or self.prompt is not None or self.model is not None:
            return self.times
        return 1

    def sample(self, index: int) -> MockSample:
        """Return the sample with this index."""
        return self.samples[index % len(self.samples)] if self.samples else self

    def failure(self, origin: str) -> ProviderError | None:
        """Return the error that the call ends with."""
        if (error := self.error) is None:
            return None
        return ProviderError(v4_status(error.status), error.message, origin, error.retry_after)


class MockScript(Struct):
    """The replies of ``mock``, in their order. A call gets the first one that matches and is not used up.

    Without any reply, ``mock`` generates words. Otherwise a call that no reply matches gets a 422, which quotes the
    prompt. Each process of a server counts separately how often a reply was used.

    Attributes:
        uses: How often each reply was used.
    """

    replies: list[MockReply] = field(default_factory=list[MockReply])
    uses: list[int] = field(default_factory=list[int])

    @classmethod
    def from_file(cls, path: Path | str) -> Self:
        """Read a list of replies from a JSON or YAML file.

        Raises:
            ValueError: The file cannot be read, or is not a list of replies; the message names the place.
        """
        path = Path(path)
        try:
            content = path.read_bytes()
        except OSError as exc:
            raise ValueError(f"cannot read the mock script {path}: {exc.strerror}") from exc
        try:
            if path.suffix == ".json":
                return cls(msgspec.json.decode(content, type=list[MockReply]))
            return cls(msgspec.yaml.decode(content, type=list[MockReply]))
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise ValueError(f"{path} is not a list of mock replies: {exc}") from exc

    def add(self, *replies: MockReply) -> None:
        """Add replies behind the others. A running server uses them from then on.

        Raises:
            ValueError: A field of a reply is invalid.
        """
        for reply in replies:
            try:
                msgspec.convert(msgspec.to_builtins(reply), MockReply)
            except msgspec.ValidationError as exc:
                raise ValueError(f"the reply is invalid: {exc}") from exc
            self.replies.append(reply)

    def take(self, call: ProviderCall, texts: list[str], origin: str) -> MockReply | None:
        """Return the reply of a call, and count it; None if there are no replies.

        Raises:
            ProviderError: No reply matches, or all that do are used up (422).
        """
        if not self.replies:
            return None
        self.uses += [0] * (len(self.replies) - len(self.uses))
        used_up = False
        for number, reply in enumerate(self.replies):
            if not reply.matches(call, texts):
                continue
            if reply.limit is None or self.uses[number] < reply.limit:
                self.uses[number] += 1
                return reply
            used_up = True
        problem = "all replies for this call are used up" if used_up else "no reply matches this call"
        shown = texts[-1][:200] if texts else ""
        raise ProviderError(422, f"the mock script: {problem}; model {call.model!r}, prompt {shown!r}", origin)


class ScriptedSample:
    """The chunks of one scripted sample.

    Attributes:
        tokens: The texts of the chunks, for the count of tokens.
    """

    def __init__(self, index: int, sample: MockSample, tokens_per_second: float) -> None:
        self._index = index
        self._reasoning = _pieces(sample.reasoning)
        self.tokens: list[str] = _pieces(sample.text)
        self._period = 1 / (tokens_per_second or 1)  # without a pace only the order matters
        self._tool_calls = [
            ToolCall(id=call.id or f"call_{number}", function=FunctionTool(name=call.name, arguments=_text(call)))
            for number, call in enumerate(sample.tool_calls)
        ]
        self._finish_reason = sample.finish_reason or ("tool_call" if sample.tool_calls else "stop")

    def chunks(self) -> Iterator[tuple[float, ProviderChunk]]:
        """Yield each chunk with its time, in seconds from the start."""
        due = 0.0
        for piece in self._reasoning:
            due += self._period
            yield due, ProviderChunk(self._index, reasoning=piece)
        for piece in self.tokens[:-1]:
            due += self._period
            yield due, ProviderChunk(self._index, piece)
        last = self.tokens[-1] if self.tokens else ""
        yield due + self._period, ProviderChunk(self._index, last, self._finish_reason, self._tool_calls or None)


def _pieces(text: str | list[str]) -> list[str]:
    """Return the pieces in which a text is sent: words, each with the white space before it."""
    return text if isinstance(text, list) else re.findall(r"\s*\S+|\s+", text)


def _text(call: MockToolCall) -> str:
    if isinstance(call.arguments, str):
        return call.arguments
    return msgspec.json.encode(call.arguments).decode()
