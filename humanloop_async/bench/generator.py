"""Generate load in one event loop."""

from __future__ import annotations

import asyncio
import gc
import itertools
import math
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

from .health import Health, Monitor
from .load import Burst, Closed, Limits, Load, Open, Ramp, Replay, TraceEntry, schedule
from .prompts import Prompts
from .recording import UNFINISHED, Record
from .targets import Target

_PROGRESS_PERIOD = 0.5
_POLL = 0.05


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run, or one process's share of it.

    Attributes:
        load: When requests are sent.
        limits: How many, and for how long.
        prompts: The prompts.
        seed: Seed of random arrival times.
        process: Number of this process, from 0.
        processes: Number of processes that share the run.
    """

    load: Load
    limits: Limits
    prompts: Prompts
    seed: int = 0
    process: int = 0
    processes: int = 1

    def share(self, total: int) -> int:
        """Return this process's part of a number."""
        return total // self.processes + (self.process < total % self.processes)


@dataclass(slots=True)
class Progress:
    """The state of a running load. `tokens` counts chunks, and those of ended requests only."""

    sent: int = 0
    ended: int = 0
    failed: int = 0
    tokens: int = 0


@dataclass
class Outcome:
    """The result of a run in one process.

    Attributes:
        records: One for each request that was sent, in order of sending, warm-up included.
        health: The state of this process during the run.
        wall: Seconds from the start of the run to the end of its last request.
        origin: The start of the run, by `time.perf_counter` of this process.
        interrupted: Whether the run was stopped before its end.
    """

    records: list[Record]
    health: Health
    wall: float
    origin: float
    interrupted: bool = False


class LoadGenerator:
    """Sends the requests of a plan to a target and records them.

    Args:
        plan: The run.
        target: The server.
        on_progress: Called twice a second.
    """

    def __init__(self, plan: Plan, target: Target, on_progress: Callable[[Progress], None] | None = None) -> None:
        self._plan = plan
        self._target = target
        self._on_progress = on_progress
        self._progress = Progress()
        self._records: list[Record] = []
        self._running: set[asyncio.Task[None]] = set()
        self._origin = 0.0
        self._sending: asyncio.Task[None] | None = None
        self._interrupted = False
        self._end = math.inf  # when a closed load sends its last request, in seconds since the start
        self._crash: BaseException | None = None

    async def run(self) -> Outcome:
        """Send all requests, wait for their ends, and return the records.

        Requests that still run `Limits.drain` seconds after the last one was sent are cancelled and stay
        ``unfinished``.
        """
        gc.collect()
        gc.freeze()  # what exists already need not be searched during the run
        monitor = Monitor()
        reporting = asyncio.create_task(self._report()) if self._on_progress is not None else None
        monitor.start()
        self._origin = time.perf_counter()
        load = self._plan.load
        self._sending = asyncio.create_task(
            self._send_closed(load) if isinstance(load, Closed) else self._send_open(load)
        )
        try:
            await asyncio.wait({self._sending})
            if not self._sending.cancelled():
                self._sending.result()
            if self._running and not self._interrupted:
                await asyncio.wait(self._running, timeout=self._plan.limits.drain)
        finally:
            for task in self._running | {self._sending}:
                task.cancel()
            if self._running:
                await asyncio.wait(self._running)
            wall = time.perf_counter() - self._origin
            health = monitor.stop()
            gc.unfreeze()
            if reporting is not None:
                reporting.cancel()
        if self._crash is not None:
            raise self._crash
        for record in self._records:
            record.shift(self._origin)
        return Outcome(self._records, health, wall, self._origin, self._interrupted)

    def stop(self) -> None:
        """Send no more requests and cancel those that are running: `run` returns the records so far."""
        self._interrupted = True
        if self._sending is not None:
            self._sending.cancel()

    async def _report(self) -> None:
        assert self._on_progress is not None
        while True:
            await asyncio.sleep(_PROGRESS_PERIOD)
            self._on_progress(self._progress)

    # -- closed load ---------------------------------------------------------------------------------------------

    async def _send_closed(self, load: Closed) -> None:
        turns = self._closed_turns()
        workers = {self._start(self._follow(turns)) for _ in range(self._plan.share(load.concurrency))}
        while workers and time.perf_counter() - self._origin < self._end:
            _, workers = await asyncio.wait(workers, timeout=_POLL)

    def _closed_turns(self) -> Iterator[tuple[int, bool]]:
        """Yield number and warm-up flag of each request, as long as more may be sent."""
        plan, limits = self._plan, self._plan.limits
        warmup = plan.share(limits.warmup_requests)
        requests = math.inf if limits.requests is None else plan.share(limits.requests)
        measured = 0
        for turn in itertools.count():
            at = time.perf_counter() - self._origin
            in_warmup = turn < warmup or at < limits.warmup_seconds
            if not in_warmup:
                if not measured and limits.duration is not None:
                    self._end = (at if warmup else limits.warmup_seconds) + limits.duration
                if at >= self._end or measured >= requests:
                    return
                measured += 1
            yield turn * plan.processes + plan.process, in_warmup

    async def _follow(self, turns: Iterator[tuple[int, bool]]) -> None:
        """Send requests one after another."""
        for number, warmup in turns:
            await self._send(Record(number, warmup, None), None)

    # -- open load -----------------------------------------------------------------------------------------------

    async def _send_open(self, load: Open | Ramp | Burst | Replay) -> None:
        plan = self._plan
        arrivals = schedule(load, plan.limits, plan.seed)
        for arrival in itertools.islice(arrivals, plan.process, None, plan.processes):
            if (pause := self._origin + arrival.at - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            self._start(self._send(Record(arrival.number, arrival.warmup, arrival.at), arrival.entry))

    # -- requests ------------------------------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (crash := task.exception()) is not None:  # a bug: failures are in the records
            self._crash = self._crash or crash
            self.stop()

    async def _send(self, record: Record, entry: TraceEntry | None) -> None:
        self._records.append(record)
        self._progress.sent += 1
        record.sent = time.perf_counter()
        try:
            await self._target.stream(self._plan.prompts.prompt(record.number, entry), record)
        finally:
            record.ended = record.ended or time.perf_counter()
            self._progress.ended += 1
            self._progress.failed += not record.ok
            self._progress.tokens += record.chunks
            if record.outcome == UNFINISHED:
                record.message = "the run ended first"
