"""Percentiles appear only with enough samples, and bootstrap intervals cover what they claim to cover."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from humanloop_async.bench.statistics import bootstrap, interval, percentile, samples_needed, summarize


def test_a_percentile_is_interpolated_like_the_standard_library_does() -> None:
    samples = sorted(random.Random(1).expovariate(1.0) for _ in range(1001))
    expected = statistics.quantiles(samples, n=100, method="inclusive")
    assert [percentile(samples, percent) for percent in range(1, 100)] == pytest.approx(expected)
    assert (percentile(samples, 0), percentile(samples, 100)) == (samples[0], samples[-1])
    assert percentile([5.0], 99) == 5.0


@pytest.mark.parametrize(("percent", "needed"), [(50, 20), (90, 100), (95, 200), (99, 1000), (99.9, 10_000)])
def test_a_percentile_is_left_out_with_fewer_than_ten_samples_beyond_it(percent: float, needed: int) -> None:
    assert samples_needed(percent) == needed
    name = f"p{percent:g}"
    for n in (needed - 1, needed):
        distribution = summarize([[float(value)] for value in range(n)])
        assert distribution is not None
        assert distribution.n == n
        assert (distribution.percentiles[name] is not None) == (n == needed)


def test_no_samples_have_no_distribution() -> None:
    assert summarize([]) is None
    assert summarize([[], []]) is None


def test_moments_and_extremes() -> None:
    distribution = summarize([[1.0, 2.0], [], [3.0, 10.0]])
    assert distribution is not None
    assert (distribution.n, distribution.requests) == (4, 2)
    assert (distribution.mean, distribution.minimum, distribution.maximum) == (4.0, 1.0, 10.0)
    assert distribution.sd == pytest.approx(statistics.stdev([1, 2, 3, 10]))
    assert distribution.intervals == {}  # of two requests


def covered(true_value: float, percent: float, clusters: list[list[float]], seed: int) -> bool:
    low, high = interval(bootstrap(clusters, sorted(v for c in clusters for v in c), percent, seed=seed))
    return low <= true_value <= high


@pytest.mark.parametrize("percent", [50.0, 99.0])
def test_intervals_contain_the_true_value_as_often_as_they_claim(percent: float) -> None:
    """Ask 95 % intervals of an exponential distribution's percentile for it, in 40 samples."""
    true_value = -math.log(1 - percent / 100)
    hits = 0
    for seed in range(40):
        rng = random.Random(seed)
        hits += covered(true_value, percent, [[rng.expovariate(1.0)] for _ in range(1000)], seed)
    assert hits >= 34


def test_samples_of_one_request_do_not_narrow_the_interval() -> None:
    """Fifty equal gaps in each stream carry no more information than one."""
    rng = random.Random(7)
    values = [rng.expovariate(1.0) for _ in range(100)]
    alone = interval(bootstrap([[value] for value in values], sorted(values), 50, seed=1))
    pooled = sorted(value for value in values for _ in range(50))
    together = interval(bootstrap([[value] * 50 for value in values], pooled, 50, seed=1))
    assert together[1] - together[0] > 0.7 * (alone[1] - alone[0])


def test_intervals_do_not_depend_on_chance() -> None:
    clusters = [[random.Random(number).random()] for number in range(60)]
    first, second = summarize(clusters, seed=3), summarize(clusters, seed=3)
    assert first is not None
    assert second is not None
    assert first.intervals == second.intervals != {}
    assert first.intervals["p50"] == pytest.approx(interval(first.replicates["p50"]))


def test_many_requests_are_summarized_in_groups() -> None:
    rng = random.Random(2)
    distribution = summarize([[rng.random()] for _ in range(20_000)])
    assert distribution is not None
    low, high = distribution.intervals["p50"]
    assert low <= 0.5 <= high
    assert high - low == pytest.approx(4 * 0.5 / 20_000**0.5, rel=0.4)  # four standard errors of a median
