"""Answers and events of OpenAI's chat completions and legacy completions -> samples and chunks. No I/O.

Servers that call themselves compatible differ in what they leave out and in how they count; what is tolerated
here is tolerated because one of them does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from msgspec import Struct, field

from ...types import FunctionTool, Json, ToolCall, Usage
from .base import ProviderChunk, ProviderSample
from .reading import UNDECODABLE, ErrorEvent, MalformedResponse, decoded, error_message, token_count


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(Struct, gc=False):
    index: int | None = None  # missing in whole answers, and in the streams of some servers
    id: str | None = None
    function: _Function | None = None


class _Message(Struct, gc=False):
    """A whole message, or a delta of one."""

    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None


class _Choice(Struct, gc=False):
    index: int = 0
    message: _Message | None = None
    delta: _Message | None = None
    text: str | None = None  # legacy completions
    finish_reason: str | None = None


class _Usage(Struct, gc=False):
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int | None


class _Answer(Struct, gc=False):
    """A whole answer, or one event of a streamed one."""

    choices: list[_Choice] = field(default_factory=list[_Choice])
    usage: Json = None
    error: Json = None


_decode = msgspec.json.Decoder(_Answer).decode


def _error_event(error: Json, data: bytes) -> ErrorEvent:
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) and 400 <= code <= 599 else 503
    return ErrorEvent(status, error_message(data))


def _v4_finish(reason: str) -> str:
    return "tool_call" if reason in ("tool_calls", "function_call") else reason


class _Calls:
    """The tool calls of one sample, put together from their pieces."""

    def __init__(self) -> None:
        self._pieces: dict[int, tuple[list[str], list[str], list[str]]] = {}  # index -> ids, names, arguments

    def add(self, message: _Message) -> None:
        pieces = list(message.tool_calls or ())
        if message.function_call is not None:  # the deprecated form has one call, without id
            pieces.append(_ToolCall(index=0, function=message.function_call))
        for piece in pieces:
            index = piece.index
            if index is None:  # a piece that brings an id begins a call, any other goes on with the last one
                index = len(self._pieces) if piece.id or not self._pieces else len(self._pieces) - 1
            ids, names, arguments = self._pieces.setdefault(index, ([], [], []))
            function = piece.function or _Function()
            for collected, value in ((ids, piece.id), (names, function.name), (arguments, function.arguments)):
                if value:
                    collected.append(value)

    def whole(self, sample: int) -> list[ToolCall] | None:
        """All calls in order, None when there are none."""
        calls: list[ToolCall] = []
        for index, (ids, names, arguments) in sorted(self._pieces.items()):
            if not names:
                raise MalformedResponse(f"tool call {index} of sample {sample} has no name")
            function = FunctionTool(name=names[0], arguments="".join(arguments))
            calls.append(ToolCall(id=ids[0] if ids else f"call_{sample}_{index}", function=function))
        return calls or None


def _read_usage(found: Json) -> _Usage | None:
    """What a provider says of tokens, as far as it makes sense. It ends no call: what was generated is there."""
    if not isinstance(found, dict):
        return None
    details = found.get("completion_tokens_details")
    reasoning = details.get("reasoning_tokens") if isinstance(details, dict) else None
    return _Usage(
        token_count(found.get("prompt_tokens")) or 0,
        token_count(found.get("completion_tokens")) or 0,
        token_count(reasoning),
    )


def _usage(counts: list[_Usage]) -> Usage | None:
    """One total. The prompt counts once, however many counts repeat it."""
    if not counts:
        return None
    prompt = max(count.prompt_tokens for count in counts)
    generated = sum(count.completion_tokens for count in counts)
    reasoning = [count.reasoning_tokens for count in counts if count.reasoning_tokens is not None]
    return Usage(
        prompt_tokens=prompt,
        generation_tokens=generated,
        total_tokens=prompt + generated,
        reasoning_tokens=sum(reasoning) if reasoning else None,
    )


def read_answer(data: bytes, num_samples: int) -> tuple[list[ProviderSample], Usage | None]:
    """The samples of an answer that was not streamed, in order of their index.

    Raises:
        MalformedResponse: Not an answer, or not one finished sample for each that was asked for.
        ErrorEvent: An error object.
    """
    try:
        answer = _decode(data)
    except UNDECODABLE as exc:
        raise MalformedResponse.undecodable(exc, data) from exc
    if answer.error:
        raise _error_event(answer.error, data)
    samples: dict[int, ProviderSample] = {}
    for choice in answer.choices:
        if choice.finish_reason is None:
            raise MalformedResponse(f"sample {choice.index} has no finish reason")
        message = choice.message or _Message()
        calls = _Calls()
        calls.add(message)
        text = choice.text or message.content or message.refusal or ""
        samples[choice.index] = ProviderSample(
            choice.index, text, _v4_finish(choice.finish_reason), calls.whole(choice.index)
        )
    if sorted(samples) != list(range(num_samples)):
        raise MalformedResponse(f"asked for {num_samples} samples, got those with index {sorted(samples)}")
    counted = _read_usage(answer.usage)
    return [samples[index] for index in range(num_samples)], _usage([counted] if counted else [])


class EventReader:
    """Events of one streamed answer -> chunks.

    Args:
        num_samples: How many samples were asked for.

    Attributes:
        unfinished: Samples that have had no finish reason yet.
        ended: Whether the closing ``[DONE]`` has come.
        words: What came in an event that is nothing of an answer: with others, the reason why no more comes.
    """

    def __init__(self, num_samples: int) -> None:
        self.unfinished = set(range(num_samples))
        self.ended = False
        self.words = ""
        self._num_samples = num_samples
        self._calls: dict[int, _Calls] = {}
        self._riding: dict[int, _Usage] = {}
        self._alone: list[_Usage] = []

    def read(self, events: Iterable[bytes], emit: Callable[[ProviderChunk], object]) -> None:
        """Emit what each event adds to each sample; events that add nothing emit nothing.

        Raises:
            MalformedResponse: Not an event, an index outside ``range(num_samples)``, or text after a sample's end.
            ErrorEvent: An error object.
        """
        # Every token of every call comes through here, hence few calls, and the common event with text alone first.
        unfinished = self.unfinished
        for data in events:
            if data == b"[DONE]":
                self.ended = True
                continue
            try:
                answer = _decode(data)
            except UNDECODABLE as exc:
                words = data.strip()
                if words in (b"", b"ping", b"[DONE]"):
                    self.ended = self.ended or words == b"[DONE]"
                    continue
                raise MalformedResponse.undecodable(exc, data) from exc
            if answer.error:
                raise _error_event(answer.error, data)
            choices = answer.choices
            if answer.usage is not None:
                self._count(_read_usage(answer.usage), choices)
            elif not choices:
                self._listen(data)
            for choice in choices:
                index, message, finish = choice.index, choice.delta or choice.message, choice.finish_reason
                text, calls = choice.text or "", None
                if message is not None:
                    text = text or message.content or message.refusal or ""
                    if message.tool_calls or message.function_call:
                        self._calls_of(index).add(message)
                if index not in unfinished:
                    self._check_index(index)
                    if text:
                        raise MalformedResponse(f"text for sample {index} after its finish reason")
                    continue
                if finish:
                    unfinished.discard(index)
                    finish = _v4_finish(finish)
                    if index in self._calls:
                        calls = self._calls.pop(index).whole(index)
                elif not text:
                    continue
                raw = data if b"\n" not in data else msgspec.json.format(data, indent=-1)
                emit(ProviderChunk(index, text, finish or None, calls, raw))

    def _listen(self, data: bytes) -> None:
        found = decoded(data)
        if isinstance(found, dict) and (found.get("message") or found.get("detail")):
            self.words = error_message(data)

    def _calls_of(self, index: int) -> _Calls:
        self._check_index(index)
        return self._calls.setdefault(index, _Calls())

    def _check_index(self, index: int) -> None:
        if not 0 <= index < self._num_samples:
            raise MalformedResponse(f"sample index {index} is not in range({self._num_samples})")

    @property
    def usage(self) -> Usage | None:
        """What has been counted so far."""
        return _usage(self._alone or list(self._riding.values()))

    def _count(self, usage: _Usage | None, choices: list[_Choice]) -> None:
        if usage is None:
            return
        # OpenAI sends one count of everything in an event without choices; llama.cpp sends such an event for each
        # sample. Others let a running count ride on the events of a sample, where the last one holds.
        if choices:
            self._riding[choices[0].index] = usage
        else:
            self._alone = [*self._alone, usage][-self._num_samples :]
