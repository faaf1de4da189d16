"""Load shapes: when each request of a run is sent."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import msgspec
from msgspec import Struct

from ..errors import InvalidArgument


class Closed(Struct, frozen=True, tag_field="shape", tag="closed"):
    """A fixed number of concurrent streams. Each is followed by the next at once, so the server sets the rate."""

    concurrency: int

    def __str__(self) -> str:
        return f"closed, {self.concurrency} concurrent"


class Open(Struct, frozen=True, tag_field="shape", tag="open"):
    """Requests at a rate that does not depend on the server, in requests per second."""

    rate: float
    arrivals: Literal["poisson", "constant"] = "poisson"

    def __str__(self) -> str:
        return f"open, {self.rate:g}/s, {self.arrivals}"


class Ramp(Struct, frozen=True, tag_field="shape", tag="ramp"):
    """A rate that changes evenly from `start` to `end` requests per second over `seconds`."""

    start: float
    end: float
    seconds: float
    arrivals: Literal["poisson", "constant"] = "poisson"

    def __str__(self) -> str:
        return f"ramp, {self.start:g}/s to {self.end:g}/s, {self.arrivals}"


class Burst(Struct, frozen=True, tag_field="shape", tag="burst"):
    """`size` requests at once, every `every` seconds."""

    size: int
    every: float

    def __str__(self) -> str:
        return f"bursts of {self.size} every {self.every:g} s"


class TraceEntry(Struct, frozen=True):
    """One request of a recorded trace.

    Attributes:
        at: Seconds since the start of the trace.
        messages: The messages to send; None for the prompts of the run, or a generated prompt.
        prompt_tokens: Length of the prompt to generate if there are no messages; None for the prompts of the run.
        max_tokens: Maximum length of the output; None for the setting of the run.
    """

    at: float
    messages: list[dict[str, str]] | None = None
    prompt_tokens: int | None = None
    max_tokens: int | None = None


class Replay(Struct, frozen=True, tag_field="shape", tag="replay"):
    """The requests of a trace at their recorded times, `speed` times as fast."""

    entries: list[TraceEntry]
    speed: float = 1.0

    def __str__(self) -> str:
        return f"replay of {len(self.entries)} requests, {self.speed:g}x"


Load: TypeAlias = Closed | Open | Ramp | Burst | Replay


class Limits(Struct, frozen=True, kw_only=True):
    """The length of a run.

    Attributes:
        requests: Requests to measure; None for no limit.
        duration: Seconds in which measured requests start, after the warm-up; None for no limit.
        warmup_requests: Requests that are sent first, under the same load, and not measured.
        warmup_seconds: Seconds at the start whose requests are not measured.
        drain: Seconds to wait for running requests after the last one was sent. Those that are still running then
            count as ``unfinished``.
    """

    requests: int | None = None
    duration: float | None = None
    warmup_requests: int = 0
    warmup_seconds: float = 0.0
    drain: float = 30.0


class Arrival(Struct, frozen=True):
    """A scheduled request.

    Attributes:
        number: Number of the request in the run, from 0, warm-up included.
        at: Seconds after the start of the run.
        warmup: Whether it is excluded from the figures.
        entry: The request of the trace in a replay.
    """

    number: int
    at: float
    warmup: bool
    entry: TraceEntry | None = None


def schedule(load: Open | Ramp | Burst | Replay, limits: Limits, seed: int) -> Iterator[Arrival]:
    """Yield the requests of an open load in order of time; endless if neither `limits` nor the load ends it.

    The same seed gives the same times.
    """
    end: float | None = None
    measured = 0
    for number, (at, entry) in enumerate(_times(load, limits, seed)):
        warmup = number < limits.warmup_requests or at < limits.warmup_seconds
        if not warmup:
            if end is None:
                start = at if limits.warmup_requests else limits.warmup_seconds
                end = math.inf if limits.duration is None else start + limits.duration
            if at >= end or measured == limits.requests:
                return
            measured += 1
        yield Arrival(number, at, warmup, entry)


def _times(load: Open | Ramp | Burst | Replay, limits: Limits, seed: int) -> Iterator[tuple[float, TraceEntry | None]]:
    match load:
        case Open(rate, arrivals):
            yield from ((total / rate, None) for total in _totals(arrivals, seed))
        case Ramp():
            yield from ((at, None) for at in _ramp_times(load, limits.warmup_seconds, seed))
        case Burst(size, every):
            yield from ((burst * every, None) for burst in itertools.count() for _ in range(size))
        case Replay(entries, speed):
            yield from ((entry.at / speed, entry) for entry in entries)


def _totals(arrivals: Literal["poisson", "constant"], seed: int) -> Iterator[float]:
    """Yield the cumulative number of expected requests at each request: 0, 1, 2, ..., or with exponential steps."""
    if arrivals == "constant":
        yield from map(float, itertools.count())
        return
    rng = random.Random(f"arrivals:{seed}")
    total = 0.0
    while True:
        total += rng.expovariate(1.0)
        yield total


def _ramp_times(load: Ramp, warmup: float, seed: int) -> Iterator[float]:
    """Yield the times of a ramp that begins after the warm-up, during which the rate is that of its start."""
    slope = (load.end - load.start) / load.seconds
    before = load.start * warmup
    expected = before + (load.start + load.end) / 2 * load.seconds
    for total in _totals(load.arrivals, seed):
        if total >= expected:
            return
        if total < before:
            yield total / load.start
        elif slope == 0:
            yield warmup + (total - before) / load.start
        else:  # solve start * t + slope * t**2 / 2 = total - before
            root = math.sqrt(max(0.0, load.start**2 + 2 * slope * (total - before)))
            yield warmup + (root - load.start) / slope


def read_trace(path: Path, speed: float = 1.0) -> Replay:
    """Read a trace: a file with one JSON object per line.

    ``at`` is the time in seconds; ``timestamp``, as in Mooncake's traces, is in milliseconds. Times count from the
    first line. Optional are ``messages`` or ``prompt``; else ``prompt_tokens`` or ``input_length``, the length of the
    prompt to generate; and ``max_tokens`` or ``output_length``.

    Raises:
        InvalidArgument: The file cannot be read, or a line is not as described; the message names the line.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as exc:
        raise InvalidArgument(f"cannot read the trace {str(path)!r}: {exc.strerror}") from exc
    entries = [
        _trace_entry(line, f"{path.name}, line {number}") for number, line in enumerate(lines, 1) if line.strip()
    ]
    if not entries:
        raise InvalidArgument(f"the trace {str(path)!r} has no requests; write one JSON object per line")
    entries.sort(key=lambda entry: entry.at)
    first = entries[0].at
    return Replay([msgspec.structs.replace(entry, at=entry.at - first) for entry in entries], speed)


def _trace_entry(line: bytes, place: str) -> TraceEntry:
    try:
        fields = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InvalidArgument(f"{place}: not a JSON object ({exc})") from exc
    at = fields.get("at", fields.get("timestamp"))
    if not isinstance(at, int | float):
        raise InvalidArgument(f"{place}: no time; set `at` (seconds) or `timestamp` (milliseconds)")
    messages = fields.get("messages")
    if messages is None and isinstance(prompt := fields.get("prompt"), str):
        messages = [{"role": "user", "content": prompt}]
    try:
        return TraceEntry(
            at=float(at) if "at" in fields else at / 1000,
            messages=msgspec.convert(messages, list[dict[str, str]] | None),
            prompt_tokens=_length(fields, "prompt_tokens", "input_length"),
            max_tokens=_length(fields, "max_tokens", "output_length"),
        )
    except msgspec.ValidationError as exc:
        raise InvalidArgument(f"{place}: {exc}") from exc


def _length(fields: dict[str, Any], *names: str) -> int | None:
    value = next((fields[name] for name in names if name in fields), None)
    return cast("int | None", msgspec.convert(value, int | None))
