"""Which configuration an experiment picks: counted over many picks of a seeded generator."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from humanloop_async.server.records.sampling import mean_and_spread, thompson
from humanloop_async.server.storage.experiments import Results

ARMS = ["config_a", "config_b", "config_c"]


def test_thompson_tries_equals_equally() -> None:
    generator = random.Random(1)
    picked = Counter(thompson(dict.fromkeys(ARMS, Results()), generator) for _ in range(6000))
    assert all(abs(picked[arm] - 2000) < 150 for arm in ARMS)  # four standard deviations


@pytest.mark.parametrize("seed", range(5))
def test_thompson_converges_on_the_better_arm(seed: int) -> None:
    """With true rates of 0.3, 0.5 and 0.7 the best one gets nearly all of the later trials."""
    generator, rates = random.Random(seed), dict(zip(ARMS, (0.3, 0.5, 0.7), strict=True))
    known = dict.fromkeys(ARMS, Results())
    picks: list[str] = []
    for _ in range(1500):
        arm = thompson(known, generator)
        picks.append(arm)
        success = generator.random() < rates[arm]
        known[arm] = Results(known[arm].trials + 1, known[arm].successes + success)
    assert Counter(picks[:60])["config_c"] < 60  # the others were tried
    assert Counter(picks[-500:])["config_c"] > 450


def test_thompson_is_repeatable() -> None:
    known = {"config_a": Results(10, 4), "config_b": Results(3, 2), "config_c": Results()}
    first, second = (
        [thompson(known, generator) for _ in range(50)] for generator in (random.Random(7), random.Random(7))
    )
    assert first == second
    assert len(set(first)) > 1


@pytest.mark.parametrize(
    ("results", "mean", "spread"),
    [
        (Results(0, 0), None, None),
        (Results(1, 1), 1.0, 0.2357),  # Beta(2, 1)
        (Results(4, 1), 0.25, 0.1782),  # Beta(2, 4)
        (Results(1000, 500), 0.5, 0.0158),
    ],
)
def test_mean_and_spread(results: Results, mean: float | None, spread: float | None) -> None:
    found_mean, found_spread = mean_and_spread(results)
    assert found_mean == mean
    assert found_spread == pytest.approx(spread, abs=1e-4)
