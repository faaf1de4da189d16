"""Types of feedback of a project: created, updated, used by feedback."""

from __future__ import annotations

from typing import Any

from tests.server.served import COMPLETION, Api, error_message, on_both_databases

pytestmark = on_both_databases

MOOD: dict[str, Any] = {
    "type": "mood",
    "class": "select",
    "values": [{"value": "happy", "sentiment": "positive"}, {"value": "calm"}],
}


async def new_project(api: Api) -> str:
    status, project = await api.post("/projects", {"name": "greeter"})
    assert status == 201
    return str(project["id"])


def sentiments(feedback_type: dict[str, Any]) -> dict[str, str]:
    return {label["value"]: label["sentiment"] for label in feedback_type["values"] or ()}


async def test_a_type_is_created_once_and_given(api: Api) -> None:
    path = f"/projects/{await new_project(api)}/feedback-types"
    status, created = await api.post(path, MOOD)
    assert (status, created["type"]) == (201, "mood")
    assert sentiments(created) == {"happy": "positive", "calm": "unset"}
    _, response = await api.post("/completion", COMPLETION)
    log_id = response["data"][0]["id"]
    for value in ("happy", "calm"):
        status, given = await api.post("/feedback", {"type": "mood", "value": value, "data_id": log_id})
        assert (status, given["value"]) == (200, value)
    _, log = await api.call("GET", f"/logs/{log_id}")
    assert [item["value"] for item in log["feedback"]] == ["calm"]  # the class is select
    for taken in ("mood", "rating"):
        status, body = await api.post(path, {"type": taken})
        assert taken in error_message(body, status)
        assert status == 422


async def test_an_update_adds_types_and_labels_and_changes_sentiments(api: Api) -> None:
    project_id = await new_project(api)
    path = f"/projects/{project_id}/feedback-types"
    await api.post(path, MOOD)
    changes = [
        {"type": "mood", "values": [{"value": "happy"}, {"value": "calm", "sentiment": "neutral"}, {"value": "sad"}]},
        {"type": "rating", "values": [{"value": "bad", "sentiment": "neutral"}]},
        {"type": "score", "class": "number"},
    ]
    status, types = await api.call("PATCH", path, changes)
    assert status == 200
    by_name = {item["type"]: item for item in types}
    assert sentiments(by_name["mood"]) == {"happy": "positive", "calm": "neutral", "sad": "unset"}
    assert sentiments(by_name["rating"]) == {"good": "positive", "bad": "neutral"}
    assert by_name["score"]["values"] is None
    _, project = await api.call("GET", f"/projects/{project_id}")
    assert project["feedback_types"] == types
    unchanged: list[object] = [[], None, MOOD | {"values": None}]  # the official client 0.7 sends no body
    for body in unchanged:
        assert await api.call("PATCH", path, body) == (200, types)


async def test_an_invalid_update_changes_nothing(api: Api) -> None:
    path = f"/projects/{await new_project(api)}/feedback-types"
    invalid: list[tuple[dict[str, Any], list[object]]] = [
        ({"type": "rating", "class": "text"}, ["body", 1, "class"]),
        ({"type": "comment", "values": [{"value": "a"}]}, ["body", 1, "values"]),
        ({"type": ""}, ["body", 1, "type"]),
        ({"type": "new", "values": [{"value": "a" * 256}]}, ["body", 1, "values", "value"]),
    ]
    _, before = await api.call("PATCH", path, [])
    for request, loc in invalid:
        status, body = await api.call("PATCH", path, [MOOD, request])
        assert (status, body["detail"][0]["loc"]) == (422, loc)
    assert await api.call("PATCH", path, []) == (200, before)
    assert (await api.call("PATCH", path, [{"type": "a"}] * 1001))[0] == 422
    for method, body in (("POST", MOOD), ("PATCH", [MOOD])):
        assert (await api.call(method, "/projects/pr_x/feedback-types", body))[0] == 404
