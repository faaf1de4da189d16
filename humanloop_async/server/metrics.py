"""Metrics of a server for Prometheus, served at ``/metrics`` (extra `metrics`).

Several processes of one server share a folder, whose name `FOLDER` contains when they import this module. Each one
keeps its values there, in files mapped into memory, and each one can report the sums.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

_multiprocess: Any = multiprocess  # without types

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable with the name of the folder that processes share; prometheus_client reads it when it is imported."""

_FIRST_TOKEN = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60)
_GAP = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15)
_CURRENT = {
    "humanloop_running_generations": "Generations that run now.",
    "humanloop_log_backlog": "Entries that wait to be written to the database.",
    "humanloop_database_waits_total": "Transactions that waited for a database connection.",
    "humanloop_database_wait_seconds_total": "Their waits in total.",
}


class Metrics:
    """The metrics of a server process.

    Args:
        current: Returns the current values, by the name of the gauge or, if it ends in ``_total``, of the counter.

    Attributes:
        is_shared: Whether `text` contains the values of other processes, too.
    """

    def __init__(self, current: Callable[[], dict[str, float]]) -> None:
        folder = os.environ.get(FOLDER)
        self.is_shared = folder is not None
        self._current = current
        self._before: dict[str, float] = {}
        own = CollectorRegistry()
        self._registry = own
        if folder is not None:
            self._registry = CollectorRegistry()
            _multiprocess.MultiProcessCollector(self._registry, folder)
        self.rejected = Counter(
            "humanloop_rejected_generations", "Generations rejected by a limit or a stop.", ["status"], registry=own
        )
        self.provider_errors = Counter(
            "humanloop_provider_errors", "Failures of providers.", ["provider", "status"], registry=own
        )
        self.first_token = Histogram(
            "humanloop_first_token_seconds",
            "Time from the call of the provider to the first chunk of a stream.",
            ["provider"],
            buckets=_FIRST_TOKEN,
            registry=own,
        )
        self.gap = Histogram(
            "humanloop_chunk_gap_seconds",
            "Time between two reads of chunks of a stream.",
            ["provider"],
            buckets=_GAP,
            registry=own,
        )
        self._counters = {
            name: Counter(name, text, registry=own) for name, text in _CURRENT.items() if name.endswith("_total")
        }
        self._gauges = {
            name: Gauge(name, text, registry=own, multiprocess_mode="livesum")
            for name, text in _CURRENT.items()
            if name not in self._counters
        }

    def provider_failed(self, provider: str, status: int) -> None:
        """Count a failure of a provider."""
        self.provider_errors.labels(provider, status).inc()

    def stream(self, provider: str) -> Callable[[], None]:
        """Return a function to call for each read of chunks of a stream that begins now."""
        gap = self.gap.labels(provider)
        observe = self.first_token.labels(provider).observe
        last = time.perf_counter()

        def chunks_arrived() -> None:
            nonlocal last, observe
            now = time.perf_counter()
            observe(now - last)
            last, observe = now, gap.observe

        return chunks_arrived

    def refresh(self) -> None:
        """Update the metrics that are current values of this process."""
        for name, value in self._current().items():
            if name in self._gauges:
                self._gauges[name].set(value)
            else:
                self._counters[name].inc(value - self._before.get(name, 0))
                self._before[name] = value

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        self.refresh()
        return generate_latest(self._registry)


def forget_process(folder: str, pid: int) -> None:
    """Remove the gauges of a process that has ended; what it counted stays."""
    _multiprocess.mark_process_dead(pid, folder)
