"""``/sessions``: created empty or by reference, read with data of their logs, listed by project."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.server.served import CHAT, Api, on_both_databases

pytestmark = on_both_databases

LOG: dict[str, Any] = {"project": "greeter", "config": {"model": "m"}}


async def log(api: Api, **fields: Any) -> dict[str, Any]:
    status, answer = await api.post("/logs", {**LOG, **fields})
    assert status == 200, answer
    return dict(answer)


async def test_an_empty_session_is_created_without_a_body(api: Api) -> None:
    status, created = await api.call("POST", "/sessions")
    assert status == 201
    assert created["id"].startswith("sesh_")
    status, session = await api.call("GET", f"/sessions/{created['id']}")
    assert status == 200
    assert (session["projects"], session["datapoints_count"], session["reference_id"]) == ([], 0, None)
    assert (session["first_inputs"], session["last_output"]) == (None, None)
    assert session["created_at"] == session["updated_at"]


async def test_a_session_shows_its_first_and_last_log(api: Api) -> None:
    first = await log(api, session_reference_id="s", inputs={"n": 2}, output="two", created_at="2026-01-02T00:00:00")
    await log(api, session_reference_id="s", inputs={"n": 3}, output="three", project="other")
    await log(api, session_id=first["session_id"], inputs={"n": 1}, output="one", created_at="2026-01-01T00:00:00")
    _, session = await api.call("GET", f"/sessions/{first['session_id']}")
    assert (session["id"], session["reference_id"], session["datapoints_count"]) == (first["session_id"], "s", 3)
    assert (session["first_inputs"], session["last_output"]) == ({"n": 1}, "three")
    assert [(project["name"], project["type"]) for project in session["projects"]] == [
        ("greeter", "prompt"),
        ("other", "prompt"),
    ]
    assert session["updated_at"] > session["created_at"]


async def test_an_unknown_session_is_404(api: Api) -> None:
    status, body = await api.call("GET", "/sessions/sesh_x")
    assert status == 404
    assert "sesh_x" in body["detail"]["message"]


async def test_pages_begin_at_1_and_hold_the_sessions_of_one_project(api: Api) -> None:
    made = [await log(api, session_reference_id=f"s{n}") for n in range(5)]
    await log(api, session_reference_id="elsewhere", project="other")
    await log(api, session_reference_id="s1")
    await api.call("POST", "/sessions")
    expected = [answer["session_id"] for answer in reversed(made)]
    seen: list[str] = []
    for number in (1, 2, 3, 4):
        query = {"project_id": made[0]["project_id"], "page": number, "size": 2}
        _, page = await api.call("GET", "/sessions", query=query)
        assert (page["page"], page["size"], page["total"]) == (number, 2, 5)
        seen += [record["id"] for record in page["records"]]
    assert seen == expected
    _, page = await api.call("GET", "/sessions", query={"project_id": made[0]["project_id"]})
    assert (page["page"], page["size"], len(page["records"])) == (1, 10, 5)
    assert [record["datapoints_count"] for record in page["records"]] == [1, 1, 1, 2, 1]
    for record in page["records"]:
        assert await api.call("GET", f"/sessions/{record['id']}") == (200, record)


async def test_a_list_needs_a_project_and_a_page_from_1(api: Api) -> None:
    assert (await api.call("GET", "/sessions"))[0] == 422
    assert (await api.call("GET", "/sessions", query={"project_id": "pr_x", "page": "0"}))[0] == 422
    assert (await api.call("GET", "/sessions", query={"project_id": "pr_x"}))[0] == 404


async def test_generations_and_logs_that_race_for_a_reference_share_a_session(api: Api) -> None:
    calls = [api.post("/chat", {**CHAT, "session_reference_id": "s"}) for _ in range(4)]
    calls += [api.post("/logs", {**LOG, "session_reference_id": "s"}) for _ in range(4)]
    answers = await asyncio.gather(*calls)
    assert {status for status, _ in answers} == {200}
    [session_id] = {body["session_id"] for _, body in answers}
    _, session = await api.call("GET", f"/sessions/{session_id}")
    assert session["datapoints_count"] == 8
