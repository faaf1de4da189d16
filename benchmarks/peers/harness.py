"""The main program of every adapter: it reads jobs, measures them and prints results. Standard library only.

``python -m benchmarks.peers.NAME PORT OPTIONS`` prints a first line once the client's library is imported. Then it
reads one job per line (JSON) from standard input and prints one line for each::

    {"do": "stream", "streams", "samples", "expect": {...}, "seen": path or null, "stamped": bool, "watch": pid or null}
    {"do": "first", "calls"}
    {"do": "calls", "calls", "at_once"}

The clock is `time.process_time`: user and system time of this process, in all threads, without sleep.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import mmap
import platform
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from typing import Any, NamedTuple, Protocol, TypeVar

from ..processes import cpu_seconds

T = TypeVar("T")

API_KEY = "sk-not-a-real-key-aK3qZ8vT1nB6yRcW000"
MESSAGES: list[Any] = [{"role": "user", "content": "Hello"}]
MODEL = "gpt-4o-mini"
CALIBRATION_EVENTS = 10_000


def v4_request(samples: int) -> dict[str, Any]:
    """Return the arguments of a v4 chat call, which all v4 clients share."""
    return {"project": "benchmark", "model_config": {"model": MODEL}, "messages": MESSAGES, "num_samples": samples}


class Tally:
    """The consumer of a stream: every adapter passes each event's text to `text`, or the bytes it read to `read`.

    The cost of the tally is measured before and after each run and subtracted from the figure.
    """

    def __init__(self, seen: memoryview | None = None) -> None:
        self.events = self.chars = self.bytes = 0
        self.seen = memoryview(bytearray(8)).cast("Q") if seen is None else seen

    def text(self, text: str) -> None:
        self.events += 1
        self.chars += len(text)
        self.seen[0] = self.events

    def read(self, data: bytes) -> None:
        """Count bytes, for the adapter that decodes nothing; an event has two line feeds, both at its end."""
        self.bytes += len(data)
        self.chars += data.count(b"\n")
        self.events = self.chars // 2
        self.seen[0] = self.events

    def missing(self, expect: dict[str, int]) -> str | None:
        """Describe lost or duplicated events and characters; None if all arrived once."""
        names = ("bytes",) if self.bytes else ("events", "chars")
        wrong = [f"{getattr(self, n):,} of {expect[n]:,} {n}" for n in names if getattr(self, n) != expect[n]]
        return ", ".join(wrong) or None


class Moment(NamedTuple):
    """CPU seconds of this process, wall time, and CPU seconds of the watched processes."""

    cpu: float
    wall: float
    watched: float

    @classmethod
    def now(cls, watch: int | None) -> Moment:
        watched = cpu_seconds(watch) if watch else 0.0
        return cls(time.process_time(), time.perf_counter(), watched)


class StampTally(Tally):
    """A tally of many concurrent streams, which records the time of the first event and the delay of each.

    Args:
        events: Number of expected events, including those without a stamp.
        stamped: Number of expected events with a stamp; the time of the last one is recorded, too.
        watch: Process whose CPU time is recorded with these times.
    """

    def __init__(self, events: int, stamped: int = 0, watch: int | None = None) -> None:
        super().__init__()
        self.expected, self.watch = stamped, watch
        self.last: Moment | None = None
        # Allocated and touched in advance, or it would count as the streams' memory. Mapped, because freeing a large
        # block of malloc's would change the cost of the client's reads.
        self.delays = memoryview(mmap.mmap(-1, 8 * events)).cast("q")
        for i in range(0, events, mmap.PAGESIZE // 8):
            self.delays[i] = 0
        self.stamped = 0
        self.first: Moment | None = None

    def text(self, text: str) -> None:
        if text:
            self.delays[self.stamped] = time.monotonic_ns() - int(text[:20])
            self.stamped += 1
            if self.stamped == self.expected:
                self.last = Moment.now(self.watch)
        if self.first is None:
            self.first = Moment.now(self.watch)
        self.events += 1
        self.chars += len(text)

    def read(self, data: bytes) -> None:
        if self.first is None:
            self.first = Moment.now(self.watch)
        super().read(data)


class Adapter(Protocol):
    """The class that an adapter's module defines. All methods are async or, for a synchronous client, none is."""

    def __init__(self, port: int, options: dict[str, str]) -> None: ...
    def open(self) -> Any:
        """Create the client."""

    def stream(self, samples: int, tally: Tally) -> Any:
        """Stream one chat and pass each event to the tally."""

    def call(self) -> Any:
        """Make one call without streaming and return its text."""

    def close(self) -> Any:
        """Close the client."""


def raise_file_limit() -> None:
    """Raise the limit on open files to the hard limit."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def resident_bytes() -> int:
    """Return the resident memory of this process, 0 without /proc."""
    with suppress(OSError), open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE
    return 0


def sleeps() -> int:
    """Return the number of voluntary context switches of this process."""
    with suppress(ImportError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    return 0


async def _gather(adapter: Adapter, streams: int, samples: int, tally: Tally) -> None:
    async with asyncio.TaskGroup() as tasks:
        for _ in range(streams):
            tasks.create_task(adapter.stream(samples, tally))


def stream(adapter: Adapter, drive: Callable[[Any], Any], job: dict[str, Any]) -> dict[str, Any]:
    """Read one stream, or many concurrent ones, to the end."""
    streams, samples, watch = job["streams"], job["samples"], job.get("watch")
    if job["seen"]:
        with open(job["seen"], "r+b") as file:
            tally = Tally(memoryview(mmap.mmap(file.fileno(), 8)).cast("Q"))
        tally.seen[0] = 0
    else:
        tally = Tally()
        if job["stamped"]:
            expected = job["expect"]["events"]
            tally = StampTally(expected * streams, (expected - samples) * streams, watch)
    gc.collect()
    before = calibrate(tally)
    memory, slept = resident_bytes(), sleeps()
    begin = start = Moment.now(watch)
    if streams == 1:
        drive(adapter.stream(samples, tally))
    else:
        drive(_gather(adapter, streams, samples, tally))
    end = Moment.now(watch)
    if isinstance(tally, StampTally) and tally.first:
        start = tally.first  # the time to open the streams does not count
    events, missing = tally.events, tally.missing({key: n * streams for key, n in job["expect"].items()})
    if missing:
        return {"error": f"not all arrived: {missing}"}
    after = calibrate(tally)
    own = 0.0 if tally.bytes else events * (before + after) / 2  # the read-only adapter calls it once per read
    result = {
        "events": events,
        "cpu_s": end.cpu - start.cpu - own,
        "consumer_s": own,
        "calibration_s": max(before, after),
        "wall_s": end.wall - start.wall,
        "sleeps": sleeps() - slept,
        "memory_bytes": (resident_bytes() - memory) / streams,
    }
    if watch:
        result |= {"watched_s": end.watched - start.watched, "watched_events": events}
    if watch and isinstance(tally, StampTally) and tally.last:
        forwarding = tally.last.watched - start.watched
        rest = (end.watched - begin.watched - forwarding) / streams
        result |= {"watched_s": forwarding, "watched_events": tally.stamped - 1, "watched_rest_s": rest}
    if isinstance(tally, StampTally) and tally.last:
        result["stamped_s"] = tally.last.wall - start.wall
    if isinstance(tally, StampTally) and tally.stamped:
        quantiles = statistics.quantiles(tally.delays[: tally.stamped], n=100)
        result |= {"delay_p50_s": quantiles[49] / 1e9, "delay_p99_s": quantiles[98] / 1e9}
    return result


def calibrate(tally: Tally) -> float:
    """Measure the CPU seconds that the tally needs for one event at this moment.

    The work is the same for every client, so this also measures the current speed of the machine.
    """
    other = StampTally(CALIBRATION_EVENTS) if isinstance(tally, StampTally) else Tally()
    see, text = other.text, f"{time.monotonic_ns():020d} word"
    start = time.process_time()
    for _ in range(CALIBRATION_EVENTS):
        see(text)
    return (time.process_time() - start) / CALIBRATION_EVENTS


def calls(adapter: Adapter, drive: Callable[[Any], Any], job: dict[str, Any]) -> dict[str, Any]:
    """Make calls without streaming, one by one or concurrently."""
    lengths: list[int] = []

    async def caller(number: int) -> None:
        for _ in range(number):
            text: str = await adapter.call()
            lengths.append(len(text))

    async def callers() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(job["at_once"]):
                tasks.create_task(caller(job["calls"] // job["at_once"]))

    gc.collect()
    before = calibrate(Tally())
    cpu, wall = time.process_time(), time.perf_counter()
    drive(callers())
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    slowest = max(before, calibrate(Tally()))
    if not min(lengths):
        return {"error": "a response without text"}
    return {"events": len(lengths), "cpu_s": cpu, "wall_s": wall, "calibration_s": slowest}


class FirstTally(Tally):
    """A tally that records the time of a stream's first text."""

    at: float | None = None

    def text(self, text: str) -> None:
        if self.at is None:
            self.at = time.perf_counter()
        super().text(text)


def first(adapter: Adapter, drive: Callable[[Any], Any], job: dict[str, Any]) -> dict[str, Any]:
    """Make streamed calls one by one and measure the time from the request to the first text."""
    delays: list[float] = []

    async def caller() -> None:
        for _ in range(job["calls"]):
            tally, start = FirstTally(), time.perf_counter()
            await adapter.stream(1, tally)
            if tally.at is not None:
                delays.append(tally.at - start)

    gc.collect()
    wall = time.perf_counter()
    drive(caller())
    if len(delays) < job["calls"]:
        return {"error": "a stream without text"}
    quantiles = statistics.quantiles(delays, n=100)
    wall = time.perf_counter() - wall
    return {"events": len(delays), "wall_s": wall, "first_p50_s": quantiles[49], "first_p99_s": quantiles[98]}


def raise_mmap_threshold() -> None:
    """Allocate and free one large block, after which glibc no longer maps a new buffer for every read."""
    bytes(8 << 20)


JOBS = {"stream": stream, "first": first, "calls": calls}


def main(adapter_type: Callable[[int, dict[str, str]], Adapter], *packages: str) -> None:
    """Run an adapter until standard input ends. The versions of `packages` are recorded."""
    port, options = int(sys.argv[1]), json.loads(sys.argv[2])
    raise_file_limit()
    adapter = adapter_type(port, options)
    loop_factory = None
    if options.get("loop") == "uvloop":
        import uvloop

        loop_factory, packages = uvloop.new_event_loop, (*packages, "uvloop")
    versions = {name: metadata.version(name) for name in packages}
    print(json.dumps({"versions": versions, "python": platform.python_version()}), flush=True)
    if inspect.iscoroutinefunction(adapter.stream):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            _run_jobs(adapter, runner.run)
    else:
        _run_jobs(adapter, lambda done: done)


def _run_jobs(adapter: Adapter, drive: Callable[[Any], Any]) -> None:
    drive(adapter.open())
    for line in sys.stdin:
        job = json.loads(line)
        try:
            result = JOBS[job["do"]](adapter, drive, job)
        except Exception as exc:  # noqa: BLE001 - any error of a client is its result
            cause: Exception = exc
            while isinstance(cause, ExceptionGroup):
                cause = cause.exceptions[0]
            result = {"error": " ".join(f"{type(cause).__name__}: {cause}"[:200].split())}
        print(json.dumps(result), flush=True)
    drive(adapter.close())
