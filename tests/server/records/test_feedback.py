"""``/feedback``: classes of types, replacing and removing values, and batches."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from humanloop_async.server.storage.database import Database
from humanloop_async.server.storage.feedback_types import add_feedback_type, feedback_types_of
from tests.server.served import CHAT, Api, on_both_databases

pytestmark = on_both_databases


async def new_log(api: Api) -> str:
    status, log = await api.post("/logs", {"project": "greeter", "config": {"model": "m"}})
    assert status == 200, log
    return str(log["id"])


async def give(api: Api, log_id: str, kind: str, value: Any, **more: Any) -> dict[str, Any]:
    status, answer = await api.post("/feedback", {"type": kind, "value": value, "data_id": log_id, **more})
    assert status == 200, answer
    return dict(answer)


async def current(api: Api, log_id: str) -> list[tuple[str, Any, str | None]]:
    _, log = await api.call("GET", f"/logs/{log_id}")
    return [(item["type"], item["value"], item["user"]) for item in log["feedback"]]


async def with_type(api: Api, kind: str, feedback_class: Any) -> str:
    """Create a log whose project has one more feedback type."""
    log_id = await new_log(api)
    [project] = api.rows("SELECT id FROM projects")
    database = await Database.open(api.database)
    async with database.write() as connection:
        await add_feedback_type(connection, project["id"], kind, feedback_class)
    await database.aclose()
    return log_id


async def test_the_response_repeats_the_feedback_with_an_id(api: Api) -> None:
    log_id = await new_log(api)
    answer = await give(api, log_id, "rating", "good", user="u1", created_at="2026-01-02T03:04:05")
    assert answer.pop("id").startswith("ann_")
    assert answer == {
        "type": "rating",
        "value": "good",
        "data_id": log_id,
        "user": "u1",
        "created_at": "2026-01-02T03:04:05Z",
    }


async def test_feedback_on_a_generation(api: Api) -> None:
    _, chat = await api.post("/chat", {**CHAT, "num_samples": 2})
    for sample in chat["data"]:
        await give(api, sample["id"], "rating", "good")
        assert await current(api, sample["id"]) == [("rating", "good", None)]


@pytest.mark.parametrize("kind", ["rating", "correction", "comment"])
async def test_a_user_has_one_value_of_a_type(api: Api, kind: str) -> None:
    log_id = await new_log(api)
    for value, user in (("bad", None), ("bad", "u1"), ("good", "u1"), ("fine", None), ("good", "u2")):
        await give(api, log_id, kind, value, user=user)
    assert await current(api, log_id) == [(kind, "good", "u1"), (kind, "fine", None), (kind, "good", "u2")]


@pytest.mark.parametrize("kind", ["action", "issue"])
async def test_values_of_multi_select_types_add_up(api: Api, kind: str) -> None:
    log_id = await new_log(api)
    await give(api, log_id, kind, "copy")
    answer = await give(api, log_id, kind, ["share", "copy", "share"])
    assert answer["value"] == ["share", "copy", "share"]
    await give(api, log_id, kind, "copy", user="u1")
    given = await current(api, log_id)
    assert sorted(given, key=str) == sorted(
        [(kind, "share", None), (kind, "copy", None), (kind, "copy", "u1")], key=str
    )


async def test_feedback_is_removed(api: Api) -> None:
    log_id = await new_log(api)
    rated = await give(api, log_id, "rating", "good")
    await give(api, log_id, "rating", "good", user="u1")
    await give(api, log_id, "action", ["copy", "share", "print"])
    status, answer = await api.post("/feedback", {"type": "rating", "data_id": log_id, "unset": True})
    assert (status, answer) == (200, rated)
    await give(api, log_id, "action", "copy", unset=True)
    assert ("action", "copy", None) not in await current(api, log_id)
    answer = await give(api, log_id, "action", None, unset=True)
    assert sorted(answer["value"]) == ["print", "share"]
    assert await current(api, log_id) == [("rating", "good", "u1")]


async def test_removing_feedback_that_does_not_exist_is_404(api: Api) -> None:
    log_id = await new_log(api)
    await give(api, log_id, "rating", "good", user="u1")
    for other in ({}, {"user": "u1", "value": "bad"}):  # the feedback of another user, another value
        status, body = await api.post("/feedback", {"type": "rating", "data_id": log_id, "unset": True, **other})
        assert status == 404
        assert "to remove" in body["detail"]["message"]
    assert await current(api, log_id) == [("rating", "good", "u1")]
    await give(api, log_id, "rating", "good", user="u1", unset=True)
    assert await current(api, log_id) == []


async def test_a_text_that_databases_cannot_hold_is_still_one_value(api: Api) -> None:
    log_id = await new_log(api)
    for value in ("a\0b", "c", "a\0b"):
        await give(api, log_id, "action", value, user="u\0")
    assert sorted(await current(api, log_id)) == [("action", "a\ufffdb", "u\ufffd"), ("action", "c", "u\ufffd")]
    await give(api, log_id, "action", "a\0b", user="u\0", unset=True)
    assert await current(api, log_id) == [("action", "c", "u\ufffd")]


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"type": "rating"}, 422, "value"),
    ({"type": "rating", "value": "good", "unset": False, "data_id": None}, 422, "data_id"),
    ({"type": "rating", "value": "good", "data_id": "data_x"}, 404, "data_x"),
    ({"type": "stars", "value": "5"}, 422, "it has action, comment, correction, issue, rating"),
    ({"type": "rating", "value": ""}, 422, "one label"),
    ({"type": "rating", "value": "x" * 256}, 422, "one label"),
    ({"type": "rating", "value": ["good", "bad"]}, 422, "one label"),
    ({"type": "action", "value": []}, 422, "a list"),
    ({"type": "action", "value": 3}, 422, "a label"),
    ({"type": "comment", "value": 3}, 422, "a text"),
    ({"type": "comment", "value": ["a"]}, 422, "a text"),
    ({"type": "rating", "value": {"a": 1}}, 422, "value"),
    ({"value": "good"}, 422, "type"),
]


async def test_invalid_feedback_rejects_its_whole_batch(api: Api) -> None:
    log_id = await new_log(api)
    right = {"type": "rating", "value": "new label", "data_id": log_id}
    for feedback, status, words in WRONG:
        wrong = {"data_id": log_id, **feedback}
        for body in (wrong, [right, wrong]):
            answered, answer = await api.post("/feedback", body)
            assert answered == status, answer
            assert words in str(answer)
    assert api.rows("SELECT * FROM feedback") == api.rows("SELECT * FROM feedback_labels") == []


async def test_a_batch_is_applied_in_order(api: Api) -> None:
    first, second = await new_log(api), await new_log(api)
    steps = [
        {"type": "rating", "value": "good", "data_id": first},
        {"type": "rating", "value": "bad", "data_id": second},
        {"type": "rating", "value": "bad", "data_id": first},
        {"type": "rating", "data_id": second, "unset": True},
    ]
    status, answers = await api.post("/feedback", steps)
    assert status == 200
    assert [answer["value"] for answer in answers] == ["good", "bad", "bad", "bad"]
    assert await current(api, first) == [("rating", "bad", None)]
    assert await current(api, second) == []
    assert await api.post("/feedback", []) == (200, [])


async def test_numbers_and_booleans_come_back_as_they_are(api: Api) -> None:
    log_id = await with_type(api, "stars", "number")
    for number in (4.5, 0, -3):
        await give(api, log_id, "stars", number)
        assert await current(api, log_id) == [("stars", number, None)]
    for rating in (True, 7, "good"):
        await give(api, log_id, "rating", rating)
        assert ("rating", rating, None) in await current(api, log_id)
    texts = api.rows("SELECT value FROM feedback ORDER BY value")
    assert texts == [{"value": "-3"}, {"value": "good"}]
    values: list[object] = ["4", True, [], 10**400]
    for value in values:
        status, _ = await api.post("/feedback", {"type": "stars", "value": value, "data_id": log_id})
        assert status == 422
    _, answer = await api.post("/feedback", {"type": "stars", "data_id": log_id, "unset": True})
    assert answer["value"] == -3


async def test_a_number_is_one_value_however_it_is_written(api: Api) -> None:
    log_id = await with_type(api, "stars", "number")
    [project] = api.rows("SELECT id FROM projects")
    _, log = await api.call("GET", f"/logs/{log_id}")
    labels = [{"type": "stars", "value": "5"}, {"type": "rating", "value": "5"}]
    body = {"name": "e", "positive_labels": labels, "config_ids": [log["config_id"]]}
    _, experiment = await api.post(f"/projects/{project['id']}/experiments", body)
    for kind in ("stars", "rating"):
        _, sampled = await api.call("GET", f"/experiments/{experiment['id']}/model-config")
        _, of_trial = await api.post("/logs", {"trial_id": sampled["trial_id"]})
        await give(api, of_trial["id"], kind, 5.0)
        assert (kind, 5.0, None) in await current(api, of_trial["id"])
        query = {"project_id": project["id"], f"feedback-{kind}_filter": "5"}
        assert (await api.call("GET", "/logs", query=query))[1]["total"] == 1
    _, [measured] = await api.call("GET", f"/projects/{project['id']}/experiments")
    assert [(config["trials_count"], config["mean"]) for config in measured["configs"]] == [(2, 1.0)]


@pytest.mark.parametrize("ride_along", [False, True])
async def test_the_values_of_one_request_are_limited(api: Api, ride_along: bool) -> None:
    """Many labels are stored in a few statements. More than the limit are rejected, and none is stored."""
    log_id = await new_log(api)

    def request(values: int) -> tuple[str, Any]:
        labels = [[f"{batch}-{number}" for number in range(100)] for batch in range(values // 100)]
        labels += [["more"]] * (values % 100)
        feedback = [{"type": "issue", "value": value, "data_id": log_id} for value in labels]
        log = {"project": "greeter", "config": {"model": "m"}, "feedback": feedback}
        return ("/logs", log) if ride_along else ("/feedback", feedback)

    status, body = await api.post(*request(20_001))
    assert status == 422
    assert "at most 20000 values" in str(body)
    assert api.rows("SELECT * FROM feedback_labels") == []
    assert (await api.post(*request(2_000)))[0] == 200
    for table in ("feedback", "feedback_labels"):
        assert api.rows(f"SELECT count(*) AS n FROM {table}") == [{"n": 2_000}]  # noqa: S608 - names from above


async def test_a_project_learns_labels_from_feedback(api: Api) -> None:
    log_id = await with_type(api, "mood", "select")
    await give(api, log_id, "mood", "sunny")
    await give(api, log_id, "rating", "good")
    await give(api, log_id, "rating", "so so")
    await give(api, log_id, "rating", "so so")
    await give(api, log_id, "comment", "a text is no label")
    [project] = api.rows("SELECT id FROM projects")
    database = await Database.open(api.database)
    async with database.read() as connection:
        known = {
            kind.type: kind.values for kind in (await feedback_types_of(connection, [project["id"]]))[project["id"]]
        }
    await database.aclose()
    labels: dict[str, Any] = {
        kind: values and [(v.value, v.sentiment) for v in values] for kind, values in known.items()
    }
    assert labels == {
        "rating": [("good", "positive"), ("bad", "negative"), ("so so", "unset")],
        "action": None,
        "issue": None,
        "correction": None,
        "comment": None,
        "mood": [("sunny", "unset")],
    }


async def test_concurrent_ratings_result_in_one(api: Api) -> None:
    log_id = await new_log(api)
    await asyncio.gather(*(give(api, log_id, "rating", f"r{n}") for n in range(8)))
    assert len(await current(api, log_id)) == 1


async def test_batches_in_opposite_order_do_not_deadlock(api: Api) -> None:
    logs = [await new_log(api) for _ in range(6)]
    there = [{"type": "rating", "value": "good", "data_id": log_id} for log_id in logs]
    answers = await asyncio.gather(*(api.post("/feedback", there[:: 1 if n % 2 else -1]) for n in range(8)))
    assert {status for status, _ in answers} == {200}
    assert len(api.rows("SELECT * FROM feedback")) == 6


async def test_a_config_counts_the_labels_of_its_logs(api: Api) -> None:
    first = await with_type(api, "tone", "select")
    _, other = await api.post("/logs", {"project": "greeter", "config": {"model": "other"}})
    second = await new_log(api)
    for log_id, kind, value in (
        (first, "rating", "bad"),
        (first, "rating", "good"),  # replaces it
        (second, "rating", "good"),
        (second, "action", ["copy", "share"]),
        (second, "comment", "every comment is another"),
        (first, "tone", "warm"),
        (other["id"], "rating", "bad"),
    ):
        await give(api, log_id, kind, value)
    await give(api, first, "action", "copy", user="u1")
    await give(api, second, "action", "share", unset=True)
    await api.post(
        "/logs", {"project": "greeter", "config": {"model": "m"}, "feedback": {"type": "rating", "value": "good"}}
    )
    _, log = await api.call("GET", f"/logs/{first}")
    path = f"/projects/{log['project_id']}"
    _, configs = await api.call("GET", f"{path}/configs")
    stats = {
        config["config"]["model"]: [
            (stat["feedback_type_id"], stat["feedback_type"], stat["feedback_value"], stat["feedback_count"])
            for stat in config["feedback_stats"]
        ]
        for config in configs
    }
    assert stats == {
        "m": [(2, "action", "copy", 2), (1, "rating", "good", 3), (6, "tone", "warm", 1)],
        "other": [(1, "rating", "bad", 1)],
    }
    await api.call("PATCH", path, {"active_config_id": log["config_id"]})
    _, active = await api.call("GET", f"{path}/active-config")
    _, project = await api.call("GET", path)
    assert sum(stat["feedback_count"] for stat in active["feedback_stats"]) == 6
    assert project["active_config"]["feedback_stats"] == active["feedback_stats"]
    await api.call("DELETE", "/logs", query={"id": second})
    _, active = await api.call("GET", f"{path}/active-config")
    assert sum(stat["feedback_count"] for stat in active["feedback_stats"]) == 4


async def test_a_config_without_feedback_or_evaluations_has_empty_stats(api: Api) -> None:
    await new_log(api)
    (project,) = api.rows("SELECT id FROM projects")
    for query, expected in (({}, None), ({"evaluation_aggregates": "true"}, [])):
        _, (config,) = await api.call("GET", f"/projects/{project['id']}/configs", query=query)
        assert (config["feedback_stats"], config["evaluation_aggregates"]) == ([], expected)


async def test_an_error_has_its_path_in_the_batch(api: Api) -> None:
    log_id = await new_log(api)
    right = {"type": "rating", "value": "good", "data_id": log_id}
    for change, field in (({"value": ["a", "b"]}, "value"), ({"data_id": None}, "data_id"), ({"value": None}, "value")):
        for body, place in (({**right, **change}, []), ([right, right, {**right, **change}], [2])):
            status, answer = await api.post("/feedback", body)
            assert (status, [issue["loc"] for issue in answer["detail"]]) == (422, [["body", *place, field]])
    status, answer = await api.post("/feedback", [right, {**right, "data_id": "data_x"}])
    assert (status, answer["detail"]["message"]) == (404, "1: there is no log 'data_x'")
