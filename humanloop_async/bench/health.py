"""Watch the load generator: a client that is busy or blocked reports its delays as the server's."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence

from msgspec import Struct

from .statistics import percentile

_PERIOD = 0.01
_TIMER_RESOLUTION = 0.001
"""Event loops round timers up to a full millisecond. That is not lag."""

MIN_LAG = 0.001
MAX_SHARE = 0.05
MAX_CPU = 0.9
MAX_GC = 0.01


class Health(Struct, kw_only=True):
    """How a load generator's process fared during a run. Times are in seconds.

    Attributes:
        wall: Length of the run.
        cpu: CPU time of the process, user and system, all threads.
        lag_p99: Lag of the event loop: how much later than due a timer ran, beyond its resolution of 1 ms.
        lag_max: Largest lag.
        gc_count: Collections of Python's garbage collector.
        gc_total: Time in which they paused the process.
        gc_max: Longest of these pauses.
    """

    wall: float
    cpu: float
    lag_p99: float
    lag_max: float
    gc_count: int
    gc_total: float
    gc_max: float


class Monitor:
    """Measures the health of the running event loop's process, from `start` to `stop`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lags: list[float] = []
        self._pauses: list[float] = []
        self._gc_started = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._wall = self._cpu = 0.0

    def start(self) -> None:
        """Begin to measure."""
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        gc.callbacks.append(self._on_gc)
        self._schedule()

    def _schedule(self) -> None:
        self._due = time.perf_counter() + _PERIOD  # not `loop.time`, which uvloop rounds
        self._timer = self._loop.call_later(_PERIOD, self._tick)

    def _tick(self) -> None:
        self._note_lag()
        self._schedule()

    def _note_lag(self) -> None:
        self._lags.append(max(0.0, time.perf_counter() - self._due - _TIMER_RESOLUTION))

    def _on_gc(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._gc_started = time.perf_counter()
        else:
            self._pauses.append(time.perf_counter() - self._gc_started)

    def stop(self) -> Health:
        """End the measurement and return it."""
        if self._timer is not None:
            self._timer.cancel()
        gc.callbacks.remove(self._on_gc)
        # A timer that is overdue at the end counts, too: the loop may have been blocked until now.
        self._note_lag()
        return Health(
            wall=time.perf_counter() - self._wall,
            cpu=time.process_time() - self._cpu,
            lag_p99=percentile(sorted(self._lags), 99),
            lag_max=max(self._lags),
            gc_count=len(self._pauses),
            gc_total=sum(self._pauses),
            gc_max=max(self._pauses, default=0.0),
        )


def limits_exceeded(
    processes: Sequence[Health], *, send_lag_p99: float | None, ttft_p50: float | None, itl_p50: float | None
) -> list[str]:
    """Return the reasons why a run measured its client instead of the server; empty if it did not.

    Args:
        processes: The health of each load generator.
        send_lag_p99: How late requests were sent, in seconds; None in closed load.
        ttft_p50: The median time to first token, in seconds; None if not measured.
        itl_p50: The median inter-token latency, in seconds; None if not measured.
    """
    reasons: list[str] = []
    medians = [(value, name) for value, name in ((ttft_p50, "TTFT"), (itl_p50, "ITL")) if value is not None]
    if medians:
        value, name = min(medians)
        allowed = max(MIN_LAG, MAX_SHARE * value)
        lag = max(health.lag_p99 for health in processes)
        if lag > allowed:
            reasons.append(
                f"the client's event loop lagged: p99 {_ms(lag)}, allowed {_ms(allowed)} "
                f"({MAX_SHARE:.0%} of the median {name}, at least {_ms(MIN_LAG)})"
            )
    if send_lag_p99 is not None:
        allowed = max(5 * MIN_LAG, MAX_SHARE * (ttft_p50 or 0.0))
        if send_lag_p99 > allowed:
            reasons.append(f"requests were sent late: p99 {_ms(send_lag_p99)}, allowed {_ms(allowed)}")
    busy = max(health.cpu / health.wall for health in processes)
    if busy > MAX_CPU:
        reasons.append(
            f"the client used {busy:.0%} of a core, allowed {MAX_CPU:.0%}; use more --processes or less load"
        )
    paused = max(health.gc_total / health.wall for health in processes)
    if paused > MAX_GC:
        reasons.append(f"garbage collection paused the client for {paused:.1%} of the run, allowed {MAX_GC:.0%}")
    return reasons


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2g} ms" if seconds < 0.01 else f"{seconds * 1000:,.0f} ms"
