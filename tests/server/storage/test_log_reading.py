"""Pages of ``GET /logs`` and of the export, on both databases."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from humanloop_async.server.http.handlers import logs as handlers
from humanloop_async.server.storage.database import CONNECTIONS
from tests.server.served import CHAT, Api, on_both_databases
from tests.server.storage.log_lists import PROJECT, found, listed, post, project_id

pytestmark = on_both_databases


async def test_pages_begin_at_0_newest_first_and_never_overlap(api: Api) -> None:
    ids = await post(api, *({"output": str(n)} for n in range(7)))
    for number, expected in enumerate([ids[6:3:-1], ids[3:0:-1], ids[:1], []]):
        page = await listed(api, ("page", str(number)), ("size", "3"))
        assert [record["id"] for record in page["records"]] == expected
        assert (page["page"], page["size"], page["total"]) == (number, 3, 7)
    page = await listed(api)
    assert (page["page"], page["size"], len(page["records"])) == (0, 50, 7)


async def test_logs_of_one_moment_have_an_order(api: Api) -> None:
    ids = await post(api, *({"created_at": "2026-01-01T00:00:00"} for _ in range(9)))
    pages = [await listed(api, ("page", str(number)), ("size", "2")) for number in range(5)]
    seen = [record["id"] for page in pages for record in page["records"]]
    assert seen == sorted(ids, reverse=True)


async def test_a_list_has_what_a_single_log_has(api: Api) -> None:
    await post(api, {"feedback": [{"type": "rating", "value": "good"}], "session_reference_id": "s"}, {})
    await api.post("/chat", CHAT)
    records = (await listed(api))["records"]
    assert [record["project"] for record in records] == [PROJECT] * 3
    for record in records:
        assert await api.call("GET", f"/logs/{record['id']}") == (200, record)


async def test_an_export_is_every_log_newest_first_ten_at_a_time(api: Api) -> None:
    ids = await post(api, *({} for _ in range(12)))
    path = f"/projects/{await project_id(api)}/export"
    _, first = await api.call("POST", path)
    _, second = await api.call("POST", path, query={"page": 1})
    assert [record["id"] for record in (*first["records"], *second["records"])] == ids[::-1]
    assert (first["page"], first["size"], first["total"]) == (0, 10, 12)


async def test_logs_of_other_projects_are_not_listed(api: Api) -> None:
    await post(api, {"output": "mine"}, {"output": "theirs", "project": "other"})
    assert await found(api) == ["mine"]


@pytest.mark.parametrize("path", ["/logs?project_id=pr_x", "/projects/pr_x/export"])
async def test_an_unknown_project_is_404(api: Api, path: str) -> None:
    status, body = await api.call("POST" if "export" in path else "GET", path)
    assert status == 404
    assert "pr_x" in body["detail"]["message"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({}, "project_id"),
        ({"project_id": "pr_x", "page": "-1"}, "page"),
        ({"project_id": "pr_x", "size": "0"}, "size"),
        ({"project_id": "pr_x", "size": "100000"}, "size"),
        ({"project_id": "pr_x", "start_date": "soon"}, "start_date"),
        ({"project_id": "pr_x", "end_date": ""}, "end_date"),
        ({"project_id": "pr_x", "version_status": "new"}, "version_status"),
        ({"project_id": "pr_x", "sort": "colour.asc"}, "sort"),
        ({"project_id": "pr_x", "sort": "source"}, "sort"),
    ],
)
async def test_an_invalid_query_is_rejected(api: Api, query: dict[str, str], name: str) -> None:
    status, body = await api.call("GET", "/logs", query=query)
    assert status == 422
    assert name in str(body["detail"][0])


@pytest.mark.parametrize("path", ["/projects", "/logs", "/sessions", "/projects/{}/export"])
async def test_past_the_end_of_any_list_is_an_empty_page(api: Api, path: str) -> None:
    await post(api, {"session_reference_id": "s"})
    project = await project_id(api)
    method = "POST" if path.endswith("export") else "GET"
    query = {"page": "9", **({"project_id": project} if path in ("/logs", "/sessions") else {})}
    status, page = await api.call(method, path.format(project), query=query)
    assert (status, page["records"], page["page"], page["total"]) == (200, [], 9, 1)


async def test_searches_leave_connections_for_other_calls(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await post(api, {})
    project = await project_id(api)
    page_of_logs: Any = vars(handlers)["page_of_logs"]

    async def slow(*args: Any) -> Any:
        await asyncio.sleep(1)  # a project of a million logs
        return await page_of_logs(*args)

    monkeypatch.setattr(handlers, "page_of_logs", slow)
    queries = [{"search": "x"}, {"metadata_search": "x"}, {"sort": "model.asc"}, {"sort": "feedback-rating.desc"}]
    running = [
        asyncio.create_task(api.call("GET", "/logs", query={"project_id": project, **query}))
        for query in queries * CONNECTIONS
    ]
    await asyncio.sleep(0.1)
    async with asyncio.timeout(0.8):  # while the searches hold as many connections as they may
        assert (await api.post("/chat", CHAT))[0] == 200
    assert not any(task.done() for task in running)
    monkeypatch.undo()
    responses = await asyncio.gather(*running)
    assert {status for status, _ in responses} == {200}
