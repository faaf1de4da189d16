"""Sampling of experiments: Thompson sampling with seeded generators, and sticky experiments over HTTP."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from humanloop_async.server.records.sampling import mean_and_spread, thompson
from humanloop_async.server.storage.experiments import Results
from tests.server.served import Api, on_both_databases

PROMPT = {"provider": "mock", "model": "words", "max_tokens": 2, "prompt_template": "Hello"}
ARMS = ["config_a", "config_b", "config_c"]


def test_thompson_picks_equal_arms_equally_often() -> None:
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


async def experiment(api: Api, sticky: str) -> str:
    """Create an experiment with six configurations, and return its id."""
    configs = []
    for seed in range(6):
        _, made = await api.post("/model-configs", {"project": "greeter", "seed": seed, **PROMPT})
        configs.append(made)
    body = {
        "name": "six",
        "positive_labels": [],
        "sticky": sticky,
        "config_ids": [made["config"]["id"] for made in configs],
    }
    status, answer = await api.post(f"/projects/{configs[0]['project_id']}/experiments", body)
    assert status == 200, answer
    return str(answer["id"])


async def complete(api: Api, experiment_id: str, **more: Any) -> tuple[str, str]:
    """Generate, and return the ids of the configuration and the log."""
    status, answer = await api.post("/completion-experiment", {"experiment_id": experiment_id, **more})
    assert status == 200, answer
    [sample] = answer["data"]
    return sample["model_config_id"], sample["id"]


@on_both_databases
@pytest.mark.parametrize("by_reference", [False, True])
async def test_a_call_that_joins_its_parents_session_stays_with_its_config(api: Api, by_reference: bool) -> None:
    sticky = await experiment(api, "session")
    config_id, log_id = await complete(api, sticky, session_reference_id="visit")
    parent = {"parent_id": log_id}
    if by_reference:
        log = {"project": "greeter", "config": {"model": "m"}, "reference_id": "mine", "session_reference_id": "visit"}
        assert (await api.post("/logs", log))[0] == 200
        parent = {"parent_reference_id": "mine"}
    assert {(await complete(api, sticky, **parent))[0] for _ in range(8)} == {config_id}
    _, alone = await complete(api, sticky)
    assert len({(await complete(api, sticky, parent_id=alone))[0] for _ in range(24)}) > 1  # it has no session


@on_both_databases
async def test_a_user_with_a_long_name_stays_with_a_config(api: Api) -> None:
    sticky = await experiment(api, "user")
    long = "".join(chr(0x4E00 + number) for number in range(20_000))
    assert len({(await complete(api, sticky, user=long))[0] for _ in range(8)}) == 1
    users = [long[:-1] + str(number) for number in range(24)]
    assert len({(await complete(api, sticky, user=user))[0] for user in users}) > 1
