"""Sticky experiments, by plain HTTP: whose session a call is in, and users with long names."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.served import Api, on_both_databases

pytestmark = on_both_databases

PROMPT = {"provider": "mock", "model": "words", "max_tokens": 2, "prompt_template": "Hello"}


async def experiment(api: Api, sticky: str) -> str:
    """The id of an experiment with six configurations."""
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
    """The ids of the configuration and the log."""
    status, answer = await api.post("/completion-experiment", {"experiment_id": experiment_id, **more})
    assert status == 200, answer
    [sample] = answer["data"]
    return sample["model_config_id"], sample["id"]


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


async def test_a_user_with_a_long_name_stays_with_a_config(api: Api) -> None:
    sticky = await experiment(api, "user")
    long = "".join(chr(0x4E00 + number) for number in range(20_000))
    assert len({(await complete(api, sticky, user=long))[0] for _ in range(8)}) == 1
    users = [long[:-1] + str(number) for number in range(24)]
    assert len({(await complete(api, sticky, user=user))[0] for user in users}) > 1
