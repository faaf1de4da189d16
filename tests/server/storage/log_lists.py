"""Helpers of the tests of ``GET /logs``."""

from __future__ import annotations

from typing import Any

from tests.server.served import Api

PROJECT = "greeter"


async def post(api: Api, *logs: dict[str, Any]) -> list[str]:
    """Submit logs, by default an hour apart from the start of 2026, and return their ids."""
    sent = [
        {"project": PROJECT, "config": {"model": "m"}, "created_at": f"2026-01-01T{hour:02}:00:00Z", **log}
        for hour, log in enumerate(logs)
    ]
    status, responses = await api.post("/logs", sent)
    assert status == 200, responses
    return [response["id"] for response in responses]


async def project_id(api: Api, name: str = PROJECT) -> str:
    [row] = api.rows("SELECT id FROM projects WHERE name = ?", name)
    return str(row["id"])


async def listed(api: Api, *query: tuple[str, str]) -> dict[str, Any]:
    """Return a page of ``GET /logs``."""
    status, page = await api.call("GET", "/logs", query=[("project_id", await project_id(api)), *query])
    assert status == 200, page
    return dict(page)


async def found(api: Api, *query: tuple[str, str]) -> list[str]:
    """Return the outputs of a list of one page."""
    page = await listed(api, *query)
    outputs = [record["output"] for record in page["records"]]
    assert page["total"] == len(outputs)
    return outputs
