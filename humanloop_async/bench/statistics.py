"""Percentiles and their bootstrap intervals, without dependencies."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from operator import mul

from msgspec import Struct

PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9)
"""The percentiles that a distribution reports."""

INTERVAL_PERCENTILES = (50.0, 99.0)
"""Those of them that have a bootstrap interval."""

_BEYOND = 10
"""Samples that must lie beyond a percentile. With fewer, one outlier decides its value."""

_REPLICATES = 400
_MAX_CLUSTERS = 100
_MIN_CLUSTERS = 10
_GRID = 129
_CURVE = 200


def samples_needed(percent: float) -> int:
    """Return the number of samples from which a percentile is reported: 20 for p50, 1,000 for p99."""
    return math.ceil(round(_BEYOND / (1 - percent / 100), 6))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return a percentile of sorted samples, interpolated linearly between the two nearest ones."""
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def percentile_name(percent: float) -> str:
    """Return the name of a percentile, such as ``p99.9``."""
    return f"p{percent:g}"


class Distribution(Struct, kw_only=True):
    """The distribution of one metric, in the metric's unit.

    Attributes:
        n: Number of samples.
        requests: Number of requests that the samples come from. Samples of one request are not independent.
        mean: Arithmetic mean.
        sd: Standard deviation of the samples.
        minimum: Smallest sample.
        maximum: Largest sample.
        percentiles: Value by name (``p50``, ``p99.9``); None where fewer than 10 samples lie beyond the percentile.
        intervals: 95 % bootstrap intervals of ``p50`` and ``p99``, as far as they have a value and there are at least
            10 requests. They cover the variation within the run, not that between runs.
        replicates: The bootstrap replicates behind the intervals, from which `compare` builds those of differences.
        curve: 201 quantiles from the minimum to the maximum, evenly spaced, to plot.
    """

    n: int
    requests: int
    mean: float
    sd: float
    minimum: float
    maximum: float
    percentiles: dict[str, float | None]
    intervals: dict[str, tuple[float, float]] = {}
    replicates: dict[str, list[float]] = {}
    curve: list[float] = []


def summarize(clusters: Sequence[Sequence[float]], *, seed: int = 0) -> Distribution | None:
    """Summarize samples that are grouped by request; None without any sample.

    Args:
        clusters: The samples of each request.
        seed: Seed of the bootstrap.
    """
    groups = [group for group in clusters if len(group)]
    ordered = sorted(value for group in groups for value in group)
    if not ordered:
        return None
    n = len(ordered)
    mean = math.fsum(ordered) / n
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in ordered) / (n - 1)) if n > 1 else 0.0
    values = {
        percentile_name(percent): percentile(ordered, percent) if n >= samples_needed(percent) else None
        for percent in PERCENTILES
    }
    replicates = {
        percentile_name(percent): bootstrap(groups, ordered, percent, seed=seed)
        for percent in INTERVAL_PERCENTILES
        if n >= samples_needed(percent) and len(groups) >= _MIN_CLUSTERS
    }
    return Distribution(
        n=n,
        requests=len(groups),
        mean=mean,
        sd=sd,
        minimum=ordered[0],
        maximum=ordered[-1],
        percentiles=values,
        intervals={name: interval(sample) for name, sample in replicates.items()},
        replicates={name: [round(value, 9) for value in sample] for name, sample in replicates.items()},
        curve=[round(percentile(ordered, 100 * step / _CURVE), 9) for step in range(_CURVE + 1)],
    )


def interval(replicates: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % percentile interval of bootstrap replicates."""
    ordered = sorted(replicates)
    return percentile(ordered, 2.5), percentile(ordered, 97.5)


def bootstrap(
    clusters: Sequence[Sequence[float]], ordered: Sequence[float], percent: float, *, seed: int
) -> list[float]:
    """Return bootstrap replicates of a percentile.

    Whole requests are drawn, not samples: the gaps of one stream resemble each other, and drawing gaps would give
    intervals that are far too narrow. More than 100 requests are first merged into 100 random groups, which bounds the
    time of the computation and leaves the groups independent.

    Args:
        clusters: The samples of each request, none empty.
        ordered: All samples, sorted.
        percent: The percentile, above 0 and below 100.
        seed: Seed of the random numbers.
    """
    shuffled = random.Random(seed).sample(clusters, len(clusters))
    count = min(len(shuffled), _MAX_CLUSTERS)
    groups = [sorted(value for cluster in shuffled[start::count] for value in cluster) for start in range(count)]
    sizes = [len(group) for group in groups]
    share = percent / 100
    grid = _grid(groups, sizes, ordered, percent)
    # counts[k][g]: how many samples of group g are at most grid[k]. A replicate is then a search over weighted sums.
    counts = [[bisect_right(group, value) for group in groups] for value in grid]
    replicates: list[float] = []
    for weights in _draws(count, seed):
        wanted = share * sum(map(mul, weights, sizes))
        low, high = 0, len(grid) - 1
        while low < high:
            middle = (low + high) // 2
            if sum(map(mul, weights, counts[middle])) >= wanted:
                high = middle
            else:
                low = middle + 1
        replicates.append(grid[low])
    return replicates


@lru_cache(maxsize=8)
def _draws(count: int, seed: int) -> list[list[int]]:
    """Return for each replicate how often each group is drawn. Every metric of a run uses the same draws."""
    rng = random.Random(f"draws:{seed}")
    draws: list[list[int]] = []
    for _ in range(_REPLICATES):
        weights = [0] * count
        for group in rng.choices(range(count), k=count):
            weights[group] += 1
        draws.append(weights)
    return draws


def _grid(
    groups: Sequence[Sequence[float]], sizes: Sequence[int], ordered: Sequence[float], percent: float
) -> list[float]:
    """Return samples around a percentile that are certain to contain its replicates: six standard errors each way."""
    n, share = len(ordered), percent / 100
    value = percentile(ordered, percent)
    spread = math.fsum(
        (bisect_right(group, value) - share * size) ** 2 for group, size in zip(groups, sizes, strict=True)
    )
    margin = 6 * math.sqrt(spread) + 2
    first = max(0, math.floor(share * n - margin))
    last = min(n - 1, math.ceil(share * n + margin))
    steps = min(_GRID - 1, last - first)
    places = {first + round((last - first) * step / steps) for step in range(steps + 1)} if steps else {first}
    return [ordered[place] for place in sorted(places)]
