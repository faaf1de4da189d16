"""Repeated ``kill -9`` during an evaluation: each step has one result, and each log is generated to its end once.

HUMANLOOP_TESTS_EVALUATION=200x12 runs 200 datapoints with 12 kills; the default is smaller.
"""

from __future__ import annotations

import asyncio
import os
import platform
import random
import sys
import time
from contextlib import AsyncExitStack

import aiohttp
import pytest

from tests.server.evaluation.test_python_evaluators import EVALUATOR
from tests.server.forked import forked_servers
from tests.server.http.handlers.evaluated import JUDGE
from tests.server.served import on_both_databases, rows

KEY = "a key of the tests"
DATAPOINTS, KILLS = map(int, os.environ.get("HUMANLOOP_TESTS_EVALUATION", "10x2").split("x"))
LEASE = 5.0

CONFIG = {
    "provider": "mock",
    "model": "words",
    "max_tokens": 5,
    "prompt_template": "Greet {{ name }}",
    "other": {"tokens_per_second": 20, "start_delay": 0.1},
}
SCORE = {
    **JUDGE["model_config"],
    "response_format": {"type": "json_schema", "json_schema": {"schema": {"const": 0.5}}},
    "other": {"start_delay": 0.2},
}

pytestmark = [on_both_databases, pytest.mark.timeout(120 + 5 * DATAPOINTS + 20 * KILLS)]


async def post(session: aiohttp.ClientSession, url: str, body: object) -> dict[str, str]:
    async with session.post(url, json=body) as response:
        created = await response.json()
        assert response.status in (200, 201), created
        return dict(created)


async def start_evaluation(session: aiohttp.ClientSession, url: str, python: bool) -> str:
    """Create an evaluation with three evaluators, and return its id."""
    project_id = (await post(session, f"{url}/projects", {"name": "greeter"}))["id"]
    registered: dict[str, object] = await post(session, f"{url}/model-configs", {**CONFIG, "project_id": project_id})  # type: ignore[assignment]
    config = registered["config"]
    assert isinstance(config, dict)
    dataset = await post(session, f"{url}/projects/{project_id}/datasets", {"name": "names", "description": ""})
    await post_datapoints(session, f"{url}/datasets/{dataset['id']}/datapoints")
    third = {**EVALUATOR, "code": "def f(log):\n    return len(log['output']) > 0"} if python else JUDGE
    evaluators = [JUDGE, {**JUDGE, "return_type": "number", "model_config": SCORE}, third]
    evaluator_ids = [(await post(session, f"{url}/evaluators", evaluator))["id"] for evaluator in evaluators]
    body = {"config_id": config["id"], "dataset_id": dataset["id"], "evaluator_ids": evaluator_ids}
    return (await post(session, f"{url}/projects/{project_id}/evaluations", body))["id"]


async def post_datapoints(session: aiohttp.ClientSession, url: str) -> None:
    datapoints = [{"inputs": {"name": f"person {number}"}} for number in range(DATAPOINTS)]
    async with session.post(url, json=datapoints) as response:
        assert response.status == 201, await response.text()


@pytest.mark.parametrize("nodes", [1, 2])
async def test_each_step_has_one_result_however_often_servers_are_killed(
    database_address: str, nodes: int, seed: int
) -> None:
    chance = random.Random(seed)
    python = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
    begin = time.monotonic()

    def done() -> int:
        counts = [
            rows(database_address, f"SELECT count(*) AS n FROM {table} WHERE status = 'complete'")[0]["n"]  # noqa: S608
            for table in ("evaluation_datapoints", "evaluation_results")
        ]
        return int(sum(counts))

    async def until_done(number: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (found := done()) < number:
            assert time.monotonic() < deadline, f"{found} of {number} steps"
            await asyncio.sleep(0.05)

    total = 4 * DATAPOINTS
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(headers={"X-API-KEY": KEY}))
        servers = [
            await stack.enter_async_context(forked_servers(database_address, KEY, lease=LEASE, python=python))
            for _ in range(nodes)
        ]
        running = [await one.start() for one in servers]
        evaluation_id = await start_evaluation(session, running[0][1], python)
        killed_at: list[int] = []
        for kill in range(KILLS):
            await until_done((kill + 1) * total // (KILLS + 2), 120)
            await asyncio.sleep(chance.uniform(0, 0.3))
            killed_at.append(done())
            node = chance.randrange(nodes)
            await servers[node].kill(running[node][0])
            running[node] = await servers[node].start()
        await until_done(total, 120 + DATAPOINTS)
        async with asyncio.timeout(30):
            while rows(database_address, "SELECT status FROM evaluations")[0]["status"] != "completed":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        url = f"{running[0][1]}/evaluations/{evaluation_id}/datapoints?size=1000"
        async with session.get(url) as response:
            page = await response.json()
        for node, (pid, _) in enumerate(running):
            await servers[node].kill(pid)

    assert max(killed_at) < total, "all steps were finished before the last kill"
    assert page["total"] == len(page["records"]) == DATAPOINTS
    for record in page["records"]:
        assert record["log"]["source_datapoint_id"] == record["datapoint"]["id"]
        assert sorted(result["value"] for result in record["evaluation_results"]) == [0.5, True, True]
        assert all(result["error"] is None for result in record["evaluation_results"])
    results = rows(database_address, "SELECT datapoint_id, evaluator_id FROM evaluation_results")
    assert len({(row["datapoint_id"], row["evaluator_id"]) for row in results}) == len(results) == 3 * DATAPOINTS
    for table in ("evaluation_datapoints", "evaluation_results"):
        assert rows(database_address, f"SELECT 1 FROM {table} WHERE owner IS NOT NULL") == []  # noqa: S608
    statuses = {
        row["status"]: row["n"]
        for row in rows(database_address, "SELECT status, count(*) AS n FROM logs GROUP BY status")
    }
    # A log that a crash interrupted was generated again; one that was complete was not.
    expected = (3 if python else 4) * DATAPOINTS
    if nodes == 1:
        assert statuses["complete"] == expected
    else:  # a node that is too slow to renew its lease counts as dead, and the other one repeats its logs
        assert statuses["complete"] >= expected
    assert statuses.keys() <= {"complete", "interrupted"}
    seconds = time.monotonic() - begin
    print(
        f"{DATAPOINTS} datapoints x 3 evaluators, {nodes} node(s), {KILLS} kills at {killed_at} of {total} steps: "
        f"{statuses.get('interrupted', 0)} logs interrupted, {statuses['complete'] - expected} repeated, "
        f"{seconds:.0f} s"
    )
