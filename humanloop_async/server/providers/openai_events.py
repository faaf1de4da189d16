"""Responses and events of OpenAI's chat completions and legacy completions -> samples and chunks. No I/O.

Compatible servers differ in the fields that they omit and in how they count. A response is rejected only if its text
would be lost or mixed up, or if text or a finish would have to be invented.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from msgspec import Struct

from ...types import Json, ToolCall, Usage
from ...wire.sse import EventStreamDecoder
from .base import ProviderChunk, ProviderSample
from .openai_json import Choice, Message, OpenAIResponse, decode_usual, read_unusual
from .openai_tool_calls import ToolCalls
from .reading import (
    UNDECODABLE,
    ErrorEvent,
    MalformedResponse,
    decoded,
    error_message,
    error_status,
    join_surrogates,
    token_count,
)

UNKNOWN = "unknown"
"""The finish reason of a sample that the provider declared complete without naming a reason."""

# Reasons after which tool calls are complete. After others, such as "length", the last one may be cut.
_REGULAR = {"stop", "STOP", "eos", "end_turn", "stop_sequence", "tool_calls", "function_call", "tool_use", UNKNOWN}

_NO_EVENT = {b"", b"ping", b'"ping"', b"null", b"[DONE]", b'"[DONE]"'}  # without blanks around it


class _Counts(Struct, gc=False):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    reasoning_tokens: int | None


def _error(error: Json, data: bytes) -> ErrorEvent:
    return ErrorEvent(error_status(error), error_message(data) or "an error without a message")


def _is_error(body: Json) -> bool:
    """Return whether an event is an error without the key "error" (vLLM)."""
    return isinstance(body, dict) and body.get("object") == "error"


def _error_of_choice(index: int, data: bytes) -> ErrorEvent:
    """Return the error of a sample that ended with the finish reason "error"."""
    body = decoded(data)
    choices = body.get("choices") if isinstance(body, dict) else None
    for choice in choices if isinstance(choices, list) else []:  # OpenRouter has the error in the choice
        if isinstance(choice, dict) and choice.get("error") and choice.get("index", index) == index:
            return _error(choice["error"], msgspec.json.encode({"error": choice["error"]}))
    has_message = isinstance(body, dict) and (body.get("message") or body.get("detail"))
    return ErrorEvent(503, error_message(data) if has_message else 'the sample ended with finish_reason "error"')


def _finish_reason(reason: str | None, calls: list[ToolCall] | None) -> str:
    """Return v4's finish reason. Clients test for "tool_call", also where a server says "stop" in spite of calls."""
    reason = reason or UNKNOWN
    if reason in ("tool_calls", "function_call", "tool_use") or (calls and reason in _REGULAR):
        return "tool_call"
    return reason


def _read_counts(found: Json) -> _Counts | None:
    """Read the token counts of a response. Counts that make no sense end no call, and neither do counts of nothing."""
    if not isinstance(found, dict):
        return None
    details = found.get("completion_tokens_details")
    reasoning = details.get("reasoning_tokens") if isinstance(details, dict) else None
    prompt = token_count(found.get("prompt_tokens")) or 0
    completion = token_count(found.get("completion_tokens")) or 0
    if not prompt and not completion:
        return None
    # Some servers count the thinking in the total only.
    total = max(token_count(found.get("total_tokens")) or 0, prompt + completion)
    return _Counts(
        prompt, completion, total, token_count(found.get("reasoning_tokens") if reasoning is None else reasoning)
    )


def _usage(counts: list[_Counts]) -> Usage | None:
    """Return one total. The prompt is counted once, however many counts repeat it."""
    if not counts:
        return None
    prompt = max(count.prompt_tokens for count in counts)
    reasoning = [count.reasoning_tokens for count in counts if count.reasoning_tokens is not None]
    return Usage(
        prompt_tokens=prompt,
        generation_tokens=sum(count.completion_tokens for count in counts),
        total_tokens=prompt + sum(count.total_tokens - count.prompt_tokens for count in counts),
        reasoning_tokens=sum(reasoning) if reasoning else None,
    )


def read_response(data: bytes, num_samples: int) -> tuple[dict[int, ProviderSample], Usage | None]:
    """Return the samples of a response that was not streamed, by index, and the usage.

    There may be fewer samples than requested, but at least one. A stream of events in place of the response is
    accepted, too: some servers only stream.

    Raises:
        MalformedResponse: Not a response, or one without samples or with too many.
        ErrorEvent: An error object.
    """
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:6]
    if start.startswith((b"data:", b"event:", b":")):
        return _read_stream(data, num_samples)
    try:
        response = decode_usual(data)
    except UNDECODABLE:
        response, data = read_unusual(data)
    choices = response.choices
    if response.error and not (choices and all(map(_is_finished, choices))):
        raise _error(response.error, data)
    if not choices:
        if _is_error(body := decoded(data)):
            raise _error(body, data)
        raise MalformedResponse(f"no samples: {error_message(data)}")
    samples: dict[int, ProviderSample] = {}
    for index, choice in zip(_indexes(choices, num_samples), choices, strict=True):
        if choice.finish_reason == "error":
            raise _error_of_choice(choice.index, data)
        message = choice.message or choice.delta
        if message is None and choice.text is None and not choice.finish_reason:
            raise MalformedResponse(f"sample {index} has neither a message nor text")
        message = message or Message()
        tool_calls = ToolCalls()
        for piece in message.pieces:
            tool_calls.add(piece)
        calls = tool_calls.complete(index)
        samples[index] = ProviderSample(
            index,
            join_surrogates(choice.text or message.text),
            _finish_reason(choice.finish_reason, calls),
            calls,
            join_surrogates(message.thoughts),
        )
    counts = _read_counts(response.counts)
    return samples, _usage([counts] if counts else [])


def _is_finished(choice: Choice) -> bool:
    return bool(choice.finish_reason) and choice.finish_reason != "error"


def _indexes(choices: list[Choice], num_samples: int) -> list[int]:
    """Return the index of each sample of a whole response: as sent, or the position if those make no sense."""
    if len(choices) > num_samples:
        raise MalformedResponse(f"requested {num_samples} samples, received {len(choices)}")
    indexes = [choice.index for choice in choices]
    if len(set(indexes)) == len(choices) and all(0 <= index < num_samples for index in indexes):
        return indexes
    return list(range(len(choices)))


def _read_stream(data: bytes, num_samples: int) -> tuple[dict[int, ProviderSample], Usage | None]:
    reader = EventReader(num_samples)
    chunks: list[ProviderChunk] = []
    decoder = EventStreamDecoder(max_event_bytes=len(data) + 1)
    reader.read([*decoder.feed(data), *decoder.feed(b"\n\n")], chunks.append)
    reader.end(chunks.append)
    if reader.unfinished - reader.missing:
        raise MalformedResponse(f"the response ended before all samples were finished: {reader.words}")
    samples: dict[int, ProviderSample] = {}
    for chunk in chunks:
        sample = samples.setdefault(chunk.index, ProviderSample(chunk.index, "", ""))
        sample.text += chunk.text
        sample.reasoning += chunk.reasoning
        if chunk.finish_reason is not None:
            sample.finish_reason, sample.tool_calls = chunk.finish_reason, chunk.tool_calls
    return samples, reader.usage


class EventReader:
    """Converts the events of one streamed response into chunks.

    A sample's last chunk is held back in two cases, until the stream ends or the sample continues. Some servers send a
    finish reason with every event, so the last running sample has not finished before the stream ends; nobody waits
    for it, as the usage comes later anyway. Others send one at the end of the thinking, before the text.

    Args:
        num_samples: How many samples the call requested.

    Attributes:
        unfinished: Samples that have no finish reason yet.
        ended: Whether the closing ``[DONE]`` has arrived.
        words: The message of an event that is no part of a response; often the reason why the stream ends.
    """

    def __init__(self, num_samples: int) -> None:
        self.unfinished = set(range(num_samples))
        self.ended = False
        self.words = ""
        self._num_samples = num_samples
        self._unseen = set(range(num_samples))
        self._first_index: int | None = None  # in place of 0, from a server that counts in another way
        self._from_deltas: set[int] = set()
        self._calls: dict[int, ToolCalls] = {}
        self._held: dict[int, ProviderChunk] = {}
        self._halves: dict[tuple[int, bool], str] = {}  # first halves of surrogate pairs; the flag is True for thinking
        self._counts_of_samples: dict[int, _Counts] = {}
        self._totals: list[_Counts] = []

    @property
    def missing(self) -> set[int]:
        """The samples that the server did not generate, once it has ended the stream after the others."""
        return self._unseen if self.unfinished == self._unseen and len(self._unseen) < self._num_samples else set()

    def read(self, events: Iterable[bytes], emit: Callable[[ProviderChunk], object]) -> None:
        """Emit the chunks of events; events that add nothing to a sample emit nothing.

        A chunk without text and reasoning says that the provider works on tool calls.

        Raises:
            MalformedResponse: Not an event, an index outside ``range(num_samples)``, or text after a sample's end.
            ErrorEvent: An error object.
        """
        # Every token of every call passes through this loop: few calls, and the usual event with text alone first.
        unfinished, unseen, held, halves = self.unfinished, self._unseen, self._held, self._halves
        for data in events:
            try:
                response = decode_usual(data)
            except UNDECODABLE:  # also for [DONE], which is no JSON
                self._read_unusual(data, emit)
                if self.ended:
                    return
                continue
            raw = data if b"\n" not in data and data.isascii() else _as_line(data)
            choices = response.choices
            if len(choices) == 1 and response.usage is None and not (unseen or held or halves):
                choice = choices[0]
                message = choice.delta
                if (
                    message is not None
                    and (text := message.content)
                    and choice.index in unfinished
                    and not choice.finish_reason
                    and not (message.reasoning_content or message.reasoning or message.reasoning_details)
                    and not message.tool_calls
                    and not (message.refusal or message.function_call or choice.text or response.error)
                ):
                    emit(ProviderChunk(choice.index, text, None, None, raw))
                    continue
            self._read_response(response, raw, False, emit)

    def _read_unusual(self, data: bytes, emit: Callable[[ProviderChunk], object]) -> None:
        stripped = data.strip()
        if stripped.startswith(b":"):  # a comment that a gateway sends as data
            return
        if stripped in _NO_EVENT:
            if b"DONE" in stripped:
                self._finish_unknown(emit)
        elif b"\n" in data and (lines := _json_lines(data)):
            self.read(lines, emit)
        else:
            response, raw = read_unusual(data)
            self._read_response(response, raw, True, emit)

    def _read_response(
        self, response: OpenAIResponse, raw: bytes, is_unusual: bool, emit: Callable[[ProviderChunk], object]
    ) -> None:
        """Emit the chunks of one event. The strings of an unusual one may contain halves of surrogate pairs."""
        choices = response.choices
        if (counts := response.counts) is not None:
            self._count(_read_counts(counts), choices)
        elif not choices:
            self._note_message(raw)
        if len(choices) > 1:
            self._separate(choices)
        for choice in choices:
            index = choice.index if choice.index in self.unfinished else self._resolve_index(choice.index)
            message = choice.delta
            if index in self._unseen:
                self._unseen.discard(index)
                if message is not None:
                    self._from_deltas.add(index)
            if message is None and index not in self._from_deltas:
                message = choice.message  # otherwise it repeats the deltas
            message = message or Message()
            text, reasoning = choice.text or message.text, message.thoughts
            if is_unusual or self._halves:
                text, reasoning = self._joined(index, text, reasoning, bool(choice.finish_reason))
            pieces = message.pieces
            if index in self._held and (text or reasoning or pieces):
                self._resume(index, emit)
            if index not in self.unfinished:
                if text or pieces:
                    raise MalformedResponse(f"sample {index} continues after its finish reason")
                continue
            for piece in pieces:
                self._calls.setdefault(index, ToolCalls()).add(piece)
            chunk = ProviderChunk(index, text, None, None, raw, reasoning)
            finish = None if response.error or choice.finish_reason == "null" else choice.finish_reason
            if finish and finish != "error":
                chunk.finish_reason = finish
                self.unfinished.discard(index)
                if not self.unfinished or (reasoning and not text and index not in self._calls):
                    self._held[index] = chunk
                else:
                    emit(self._finished(chunk))
            elif text or reasoning or pieces:
                emit(chunk)
            if finish == "error":
                raise _error_of_choice(choice.index, raw)
        if response.error:
            raise _error(response.error, raw)

    def end(self, emit: Callable[[ProviderChunk], object]) -> None:
        """Emit the chunks that were held back, after the last event or in front of an error."""
        for index in sorted(self._held):
            emit(self._finished(self._held.pop(index)))

    def _finish_unknown(self, emit: Callable[[ProviderChunk], object]) -> None:
        """End the stream at ``[DONE]``, which completes samples without a finish reason, too."""
        self.ended = True
        self.end(emit)
        if self.words:
            return
        for index in sorted(self.unfinished - self._unseen):
            self.unfinished.discard(index)
            text, reasoning = self._joined(index, "", "", True)
            emit(self._finished(ProviderChunk(index, text, UNKNOWN, None, b"", reasoning)))

    def _finished(self, chunk: ProviderChunk) -> ProviderChunk:
        calls = self._calls.pop(chunk.index, None)
        chunk.tool_calls = calls.complete(chunk.index) if calls else None
        chunk.finish_reason = _finish_reason(chunk.finish_reason, chunk.tool_calls)
        return chunk

    def _resume(self, index: int, emit: Callable[[ProviderChunk], object]) -> None:
        """Continue a sample whose finish reason was not its end."""
        chunk = self._held.pop(index)
        chunk.finish_reason = None
        self.unfinished.add(index)
        if chunk.text or chunk.reasoning:
            emit(chunk)

    def _separate(self, choices: list[Choice]) -> None:
        """Tell the choices of one event apart. Without distinct indexes, their position counts if all are there."""
        if len({choice.index for choice in choices}) == len(choices):
            return
        if len(choices) != self._num_samples:
            raise MalformedResponse(f"an event with {len(choices)} samples that have no distinct index")
        for place, choice in enumerate(choices):
            choice.index = place

    def _resolve_index(self, index: int) -> int:
        """Return the sample that an index means which is not that of an unfinished sample."""
        if 0 <= index < self._num_samples:
            return index
        if self._num_samples == 1:
            if index != -1 and self._first_index is None and self._unseen:
                self._first_index = index
            if index in (-1, self._first_index):
                return 0
        if index == -1:
            raise MalformedResponse(f"an event for one of {self._num_samples} samples has no index")
        raise MalformedResponse(f"sample index {index} is not in range({self._num_samples})")

    def _joined(self, index: int, text: str, reasoning: str, is_last: bool) -> tuple[str, str]:
        """Join surrogate pairs that were split over two events."""
        joined: list[str] = []
        for is_reasoning, part in ((False, text), (True, reasoning)):
            if part or is_last:
                part = self._halves.pop((index, is_reasoning), "") + part
                if part and not is_last and "\ud800" <= part[-1] <= "\udbff":
                    self._halves[index, is_reasoning] = part[-1]
                    part = part[:-1]
            joined.append(join_surrogates(part))
        return joined[0], joined[1]

    def _note_message(self, data: bytes) -> None:
        found = decoded(data)
        if _is_error(found):
            raise _error(found, data)
        if isinstance(found, dict) and any(found.get(name) for name in ("message", "detail", "msg")):
            self.words = error_message(data)

    @property
    def usage(self) -> Usage | None:
        """The token counts received so far."""
        return _usage(self._totals or list(self._counts_of_samples.values()))

    def _count(self, counts: _Counts | None, choices: list[Choice]) -> None:
        if counts is None:
            return
        # OpenAI sends one total in an event without choices; llama.cpp sends such an event for each sample. Others
        # send a running count with the events of a sample, where the last one is final.
        if choices:
            self._counts_of_samples[choices[0].index] = counts
        else:
            self._totals = [*self._totals, counts][-self._num_samples :]


def _as_line(data: bytes) -> bytes:
    """Return the JSON of an event on one line and in valid UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return read_unusual(data)[1]
    return msgspec.json.format(data, indent=-1) if b"\n" in data else data


def _json_lines(data: bytes) -> list[bytes]:
    """Return the events of a server that puts no blank lines between them, or [] if the data is not of that kind."""
    lines = [line for line in data.split(b"\n") if line.strip()]
    return lines if len(lines) > 1 and all(line.startswith((b"{", b"[DONE]")) for line in lines) else []
