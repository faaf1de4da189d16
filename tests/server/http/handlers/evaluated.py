"""Evaluations of a test: a project with a configuration, a dataset and evaluators, by plain HTTP."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests.server.served import Api

GREETING: dict[str, Any] = {
    "provider": "mock",
    "model": "words",
    "max_tokens": 3,
    "prompt_template": "Greet {{ name }}",
}
JUDGE: dict[str, Any] = {
    "name": "polite",
    "description": "whether the output is polite",
    "arguments_type": "target_free",
    "return_type": "boolean",
    "type": "llm",
    "model_config": {
        "provider": "mock",
        "model": "mock",
        "prompt_template": "Is this polite? {{ log.output }}",
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"const": True}}},
    },
}
EXTERNAL: dict[str, Any] = {
    "name": "similar",
    "description": "how close the output is to the target",
    "arguments_type": "target_required",
    "return_type": "number",
    "type": "external",
}


async def created(api: Api, path: str, body: object, status: int = 201) -> dict[str, Any]:
    """Send a POST that must succeed, and return the response."""
    got, response = await api.post(path, body)
    assert got == status, response
    return dict(response)


async def new_config(api: Api, project_id: str, **fields: Any) -> str:
    """Register a configuration of a project and return its id."""
    registered = await created(api, "/model-configs", {**GREETING, **fields, "project_id": project_id}, 200)
    return str(registered["config"]["id"])


async def new_dataset(api: Api, project_id: str, names: list[str]) -> str:
    """Create a dataset with a datapoint for each name and return its id."""
    path = f"/projects/{project_id}/datasets"
    dataset = await created(api, path, {"name": "names", "description": "of people"})
    datapoints = [{"inputs": {"name": name}, "target": {"output": f"Hello {name}"}} for name in names]
    if datapoints:
        status, response = await api.post(f"/datasets/{dataset['id']}/datapoints", datapoints)
        assert status == 201, response
    return str(dataset["id"])


async def new_evaluator(api: Api, evaluator: dict[str, Any], **fields: Any) -> str:
    """Create an evaluator and return its id."""
    return str((await created(api, "/evaluators", {**evaluator, **fields}))["id"])


async def new_evaluation(
    api: Api, evaluator_ids: list[str], names: list[str], *, project: str = "greeter", **fields: Any
) -> dict[str, Any]:
    """Create a project with a configuration and a dataset, and start an evaluation."""
    project_id = (await created(api, "/projects", {"name": project}))["id"]
    body = {
        "config_id": await new_config(api, project_id),
        "dataset_id": await new_dataset(api, project_id, names),
        "evaluator_ids": evaluator_ids,
        **fields,
    }
    return await created(api, f"/projects/{project_id}/evaluations", body)


async def evaluation(api: Api, evaluation_id: str) -> dict[str, Any]:
    """Return an evaluation with its aggregates."""
    status, body = await api.call("GET", f"/evaluations/{evaluation_id}", query={"evaluator_aggregates": "true"})
    assert status == 200, body
    return dict(body)


async def snapshots(api: Api, evaluation_id: str, **query: Any) -> list[dict[str, Any]]:
    """Return the datapoints of an evaluation, with their logs and results."""
    status, page = await api.call("GET", f"/evaluations/{evaluation_id}/datapoints", query={"size": 1000, **query})
    assert status == 200, page
    return list(page["records"])


async def until_progress(api: Api, evaluation_id: str, seconds: float = 60, **progress: int) -> dict[str, Any]:
    """Wait until an evaluation has some values in its progress, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        found = await evaluation(api, evaluation_id)
        if found["progress"] | progress == found["progress"]:
            return found
        assert time.monotonic() < deadline, found["progress"]
        await asyncio.sleep(0.05)


async def until_completed(api: Api, evaluation_id: str, seconds: float = 60) -> dict[str, Any]:
    """Wait until an evaluation is completed, and return it."""
    deadline = time.monotonic() + seconds
    while (found := await evaluation(api, evaluation_id))["status"] != "completed":
        assert time.monotonic() < deadline, found["progress"]
        await asyncio.sleep(0.05)
    return found


async def until_rows(api: Api, sql: str, number: int, seconds: float = 60) -> None:
    """Wait until a query returns a number of rows."""
    deadline = time.monotonic() + seconds
    while len(found := api.rows(sql)) != number:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)
