"""Metrics of one server process for Prometheus, served at ``/metrics`` (extra `metrics`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_FIRST_TOKEN = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60)
_GAP = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15)


class Metrics:
    """The counters and histograms of a server.

    Args:
        current: Returns the current values, by the name of the gauge or, if it ends in ``_total``, of the counter.
    """

    def __init__(self, current: Callable[[], dict[str, float]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_CurrentValues(current))
        self.rejected = Counter(
            "humanloop_rejected_generations",
            "Generations rejected by a limit or a stop.",
            ["status"],
            registry=self._registry,
        )
        self.provider_errors = Counter(
            "humanloop_provider_errors", "Failures of providers.", ["provider", "status"], registry=self._registry
        )
        self.first_token = Histogram(
            "humanloop_first_token_seconds",
            "Time from the call of the provider to the first chunk of a stream.",
            ["provider"],
            buckets=_FIRST_TOKEN,
            registry=self._registry,
        )
        self.gap = Histogram(
            "humanloop_chunk_gap_seconds",
            "Time between two reads of chunks of a stream.",
            ["provider"],
            buckets=_GAP,
            registry=self._registry,
        )

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

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self._registry)


_HELP = {
    "humanloop_running_generations": "Generations that run now.",
    "humanloop_log_backlog": "Entries that wait to be written to the database.",
    "humanloop_database_waits_total": "Transactions that waited for a database connection.",
    "humanloop_database_wait_seconds_total": "Their waits in total.",
}


class _CurrentValues(Collector):
    def __init__(self, current: Callable[[], dict[str, float]]) -> None:
        self._current = current

    def collect(self) -> Iterator[Metric]:
        for name, value in self._current().items():
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            yield kind(name, _HELP[name], value=value)
