"""The measures: each has cases, and each case has a plan for the server and a job for the client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Job = dict[str, Any]
Result = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """One number of a result. `of` returns None for a client that has no such number."""

    key: str
    heading: str
    of: Callable[[Result], float | None]


@dataclass(frozen=True)
class Case:
    """One column of a table: a plan for the server and a job for the client; `warm_up` is a short pair to run first."""

    name: str
    plan: Job
    job: Job
    warm_up: tuple[Job, Job] | None = None


@dataclass(frozen=True)
class Measure:
    """A table. Ratios are of the first figure; less is better.

    Attributes:
        fresh: Whether every case needs a new process, because memory that one case leaves behind changes the next.
    """

    name: str
    title: str
    peers: tuple[str, ...]
    cases: tuple[Case, ...]
    figures: tuple[Figure, ...]
    fresh: bool = field(default=False, kw_only=True)


CPU = Figure("cpu_us", "us", lambda r: r["cpu_s"] / r["events"] * 1e6)
BUSY = Figure("busy", "busy", lambda r: r["cpu_s"] / r["wall_s"])
SLEEPS = Figure("sleeps", "sleeps/event", lambda r: r["sleeps"] / r["events"])
MEMORY = Figure("memory_kb", "KB/stream", lambda r: r["memory_bytes"] / 1e3)
P50 = Figure("p50_ms", "p50 ms", lambda r: r["delay_p50_s"] * 1e3 if "delay_p50_s" in r else None)
P99 = Figure("p99_ms", "p99 ms", lambda r: r["delay_p99_s"] * 1e3 if "delay_p99_s" in r else None)
RATE = Figure("per_second", "calls/s", lambda r: r["events"] / r["wall_s"])
PER_BYTE = Figure("ns_per_byte", "ns/byte", lambda r: r["cpu_s"] / r["bytes"] * 1e9)

BASELINES = ("baseline-read", "baseline-decode", "baseline-uvloop")
OURS = ("ours", "ours-tasks", "ours-uvloop", "ours-httpx")
OTHERS = ("official", "openai", "openai-aiohttp", "httpx-sse", "aiohttp-json")
WARM_UP_EVENTS = 200


def stream_job(samples: int = 2, *, streams: int = 1, ping_pong: bool = False, stamped: bool = False) -> Job:
    return {"do": "stream", "streams": streams, "samples": samples, "ping_pong": ping_pong, "stamped": stamped}


def throughput(name: str, *, events: int, samples: int = 2, per_write: int = 8, event_size: int = 300) -> Case:
    plan = {"kind": "throughput", "samples": samples, "per_write": per_write, "event_size": event_size}
    job = stream_job(samples)
    few = min(events, max(samples + 1, WARM_UP_EVENTS * 300 // event_size))
    return Case(name, {**plan, "events": events}, job, ({**plan, "events": few}, job))


def ping_pong(name: str, *, events: int, pause: float = 0.0) -> Case:
    plan = {"kind": "ping-pong", "samples": 2, "pause": pause}
    job = stream_job(ping_pong=True)
    return Case(name, {**plan, "events": events}, job, ({**plan, "events": min(events, 50)}, job))


def paced(streams: int, rate: int, seconds: float) -> Case:
    plan = {"kind": "paced", "streams": streams, "samples": 2, "rate": rate, "events": max(4, int(rate * seconds))}
    warm_up = throughput("", events=20)
    return Case(f"{streams:,} x {rate}/s", plan, stream_job(streams=streams, stamped=True), (warm_up.plan, warm_up.job))


def calls(name: str, number: int, at_once: int) -> Case:
    plan, job = {"kind": "calls"}, {"do": "calls", "at_once": at_once}
    return Case(name, plan, {**job, "calls": number}, (plan, {**job, "calls": 2 * at_once}))


ALIASES = {"flood": "throughput", "lockstep": "ping-pong"}
"""Earlier names of measures, still accepted on the command line."""


def measures(scale: float = 1.0) -> dict[str, Measure]:
    """Return all measures but `start` and `gateway`. `scale` shortens the runs; the recorded tables use 1."""
    events = max(200, int(20_000 * scale))
    steps = max(50, int(5_000 * scale))
    largest = int((8 << 20) * min(1, scale * 10))
    sizes = [size for size in (300, 4 << 10, 64 << 10, 1 << 20, 8 << 20) if size <= largest]
    lengths = [length for length in (1_000, 10_000, 100_000, 1_000_000) if length <= max(1_000, 1_000_000 * scale)]
    every = (
        Measure(
            "throughput",
            "Throughput: CPU per event, sent as fast as the client reads",
            (*BASELINES, *OURS, *OTHERS),
            tuple(throughput(f"{n} per write", events=events, per_write=n) for n in (1, 8, 64)),
            (CPU, BUSY),
        ),
        Measure(
            "ping-pong",
            "Ping-pong: CPU per event, one event per read",
            (*BASELINES, *OURS, *OTHERS),
            (ping_pong("at once", events=steps), ping_pong("after a pause", events=steps, pause=100e-6)),
            (CPU, SLEEPS),
        ),
        Measure(
            "many",
            "Many streams: CPU per event, one write per event",
            (*BASELINES, *OURS, *OTHERS),
            (
                paced(max(4, int(200 * scale)), 50, 5 * min(1, scale * 10)),
                paced(max(8, int(1_000 * scale)), 10, 5 * min(1, scale * 10)),
            ),
            (CPU, BUSY, MEMORY, P50, P99),
            fresh=True,
        ),
        Measure(
            "calls",
            "Calls: CPU per call without streaming, 2 KB response",
            ("baseline-read", "baseline-decode", "ours", "ours-uvloop", "ours-httpx", *OTHERS),
            (
                calls("one by one", max(10, int(1_000 * scale)), 1),
                calls("64 at once", max(128, int(1_024 * scale)), 64),
            ),
            (CPU, RATE),
        ),
        Measure(
            "sync",
            "Sync: CPU per event of `throughput`, with a synchronous client",
            ("ours", "ours-sync", "openai", "openai-sync"),
            tuple(throughput(f"{n} per write", events=events, per_write=n) for n in (1, 64)),
            (CPU,),
        ),
        Measure(
            "growth-event",
            "Growth: larger events",
            ("baseline-decode", "ours", "official", "httpx-sse", "aiohttp-json"),
            tuple(
                throughput(
                    f"{size:,} B",
                    events=1 + max(4, events * 300 // max(size, 300) // 2),
                    samples=1,
                    per_write=1,
                    event_size=size,
                )
                for size in sizes
            ),
            (CPU, PER_BYTE),
        ),
        Measure(
            "growth-stream",
            "Growth: longer streams (events, 8 per write)",
            ("baseline-decode", "ours", "ours-tasks"),
            tuple(throughput(f"{length:,}", events=length) for length in lengths),
            (CPU,),
        ),
        Measure(
            "growth-samples",
            "Growth: more samples (8 events per write)",
            ("baseline-decode", "ours", "ours-tasks"),
            tuple(throughput(f"{n}", events=max(events, 4 * n), samples=n) for n in (1, 2, 8, 32, 128)),
            (CPU,),
        ),
        Measure(
            "allocator",
            "Allocator: ping-pong, with glibc's initial mmap threshold, and after a large block was freed",
            ("baseline-held", "baseline-read", "ours-held", "ours"),
            (ping_pong("at once", events=steps),),
            (CPU,),
        ),
    )
    return {measure.name: measure for measure in every}
