"""Seeded synthetic streams in the formats of v4 and OpenAI, split into the writes of a server.

Both formats carry the same texts, and corresponding events have the same length, so that no client is faster
because its stream is shorter.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Any

# Words as models send them: with a leading space, some outside ASCII, some that JSON must escape.
PLAIN = " the of and to in that is was he for it with as his on be at by had not are but streaming token"
WORDS = [f" {word}" for word in PLAIN.split()]
WORDS += [" naïve", " café", " 日本", " 🙂", '"quoted"', "\n\n", "\\frac", "\tend"]

BLOCK_EVENTS, BLOCK_BYTES = 1024, 8 << 20  # a long stream repeats one block, to limit the server's memory


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def v4_event(index: int, text: str, *, samples: int, last: bool = False, final: bool = False) -> bytes:
    """Build an event of ``POST /v4/chat``. `last` ends a sample, `final` ends the stream."""
    sample = {
        "id": f"data_{index:021d}",
        "index": index,
        "output": text,
        "raw_output": text,
        "inputs": {},
        "finish_reason": "stop" if last else None,
        "model_config_id": "config_8f3kQ0zLxW5vT2nB7yRcA",
        "output_message": {"role": "assistant", "content": text},
    }
    usage = {"prompt_tokens": 12, "generation_tokens": 40, "total_tokens": 52} if final else None
    event = {"project_id": "pr_4Hq9dXn2ZtV7sLmK1wPbE", "num_samples": samples, "data": [sample]}
    return b"data: " + _dump({**event, "usage": usage, "provider_responses": [], "session_id": None}) + b"\n\n"


def openai_event(index: int, text: str, *, samples: int, last: bool = False, final: bool = False) -> bytes:
    """Build the same event in OpenAI's format, padded to v4's length with the `obfuscation` field."""
    choice = {"index": index, "delta": {"content": text}, "logprobs": None, "finish_reason": "stop" if last else None}
    event = {
        "id": "chatcmpl-CQm3vYt8Zp1LxKd7",
        "object": "chat.completion.chunk",
        "created": 1750000000,
        "model": "gpt-4o-mini",
        "choices": [choice],
        "obfuscation": "",
    }
    missing = len(v4_event(index, text, samples=samples, last=last, final=final)) - len(_dump(event)) - 8
    return b"data: " + _dump({**event, "obfuscation": "x" * missing}) + b"\n\n"


def openai_usage() -> bytes:
    """Build the event with the token usage, which has no choices and follows the last sample."""
    usage = {"prompt_tokens": 12, "completion_tokens": 40, "total_tokens": 52}
    event = {"id": "chatcmpl-CQm3vYt8Zp1LxKd7", "object": "chat.completion.chunk", "created": 1750000000}
    return b"data: " + _dump({**event, "model": "gpt-4o-mini", "choices": [], "usage": usage}) + b"\n\n"


DONE = b"data: [DONE]\n\n"
EventMaker = Callable[..., bytes]
# By format: the function that builds an event, and the bytes after the last event.
SHAPES: dict[str, tuple[EventMaker, bytes]] = {
    "v4": (v4_event, b""),
    "openai": (openai_event, DONE),
    "openai, counted": (openai_event, openai_usage() + DONE),
}


def texts(event_size: int) -> Iterator[str]:
    """Yield texts without end, such that a v4 event has about `event_size` bytes, at least some 330."""
    rng = random.Random(20_250_908)
    padding = " word" * (max(0, event_size - 330) // 3 // 5)  # an event contains its text three times
    while True:
        yield rng.choice(WORDS) + padding


def http_chunk(data: bytes) -> bytes:
    """Frame `data` as one chunk of HTTP's chunked encoding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


END = b"0\r\n\r\n"


@dataclass(frozen=True)
class Stream:
    """A response body: `block` repeated `times` times, then `tail`. Each item is one write and one HTTP chunk.

    Attributes:
        events: Number of events.
        chars: Number of characters of text.
        body_bytes: Number of bytes, without the framing of HTTP chunks.
    """

    block: list[bytes]
    times: int
    tail: list[bytes]
    events: int
    chars: int
    body_bytes: int

    def writes(self) -> Iterator[bytes]:
        return chain(chain.from_iterable(repeat(self.block, self.times)), self.tail)


def build(shape: str, *, events: int, samples: int = 2, per_write: int = 1, event_size: int = 300) -> Stream:
    """Build a stream of `events` events; the last `samples` of them have no text and finish one sample each."""
    make, done = SHAPES[shape]
    rng, words = random.Random(4), texts(event_size)
    length = max(1, min(events - samples, BLOCK_EVENTS, BLOCK_BYTES // event_size))
    times, rest = divmod(events - samples, length)
    block_texts = [next(words) for _ in range(length)]
    block = [make(rng.randrange(samples), text, samples=samples) for text in block_texts]
    finishes = [make(i, "", samples=samples, last=True, final=i == samples - 1) for i in range(samples)]
    tail = block[:rest] + finishes + ([done] if done else [])

    def write(items: list[bytes]) -> list[bytes]:
        return [http_chunk(b"".join(items[i : i + per_write])) for i in range(0, len(items), per_write)]

    chars = [len(text) for text in block_texts]
    return Stream(
        write(block),
        times,
        write(tail),
        events,
        sum(chars) * times + sum(chars[:rest]),
        sum(map(len, block)) * times + sum(map(len, tail)),
    )


STAMP = "@" * 20


@dataclass(frozen=True)
class StampedStream:
    """A stream whose texts start with the time at which they were sent.

    The other attributes are those of `Stream`.

    Attributes:
        pieces: For each event, the parts to join with 20 digits of the time (nanoseconds, monotonic).
    """

    pieces: list[list[bytes]]
    events: int
    chars: int
    body_bytes: int


def build_stamped(shape: str, *, events: int, samples: int = 2) -> StampedStream:
    """Build a stream of `events` events. All are stamped but the last `samples`, which finish one sample each."""
    make, done = SHAPES[shape]
    stamped = [STAMP + text for text in islice(texts(300), events - samples)]
    body = [make(i % samples, text, samples=samples) for i, text in enumerate(stamped)]
    body += [make(i, "", samples=samples, last=True, final=i == samples - 1) for i in range(samples)]
    body[-1] += done
    pieces = [event.split(STAMP.encode()) for event in body]
    return StampedStream(pieces, events, sum(map(len, stamped)), sum(map(len, body)))


def reply(shape: str) -> bytes:
    """Build a response without streaming, of about 2 KB."""
    text = "".join(islice(texts(300), 190)).strip()
    if shape == "v4":
        sample = {
            "id": "data_000000000000000000000",
            "index": 0,
            "output": text,
            "raw_output": text,
            "inputs": {},
            "finish_reason": "stop",
            "model_config_id": "config_8f3kQ0zLxW5vT2nB7yRcA",
            "messages": [{"role": "user", "content": "Hello"}],
        }
        usage = {"prompt_tokens": 12, "generation_tokens": 190, "total_tokens": 202}
        response = {"project_id": "pr_4Hq9dXn2ZtV7sLmK1wPbE", "num_samples": 1, "data": [sample], "usage": usage}
        return _dump({**response, "provider_responses": [], "session_id": None, "metadata": None, "user": None})
    message: dict[str, Any] = {"role": "assistant", "content": text * 2, "annotations": []}
    response = {
        "id": "chatcmpl-CQm3vYt8Zp1LxKd7",
        "object": "chat.completion",
        "created": 1750000000,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
    }
    usage = {"prompt_tokens": 12, "completion_tokens": 190, "total_tokens": 202}
    return _dump({**response, "usage": usage})
