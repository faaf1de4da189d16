"""``/logs``: one and many, where they belong, what is stored, how they are completed and deleted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.server.served import CHAT, COMPLETION, Api, error_message, on_both_databases

pytestmark = on_both_databases

MODEL = {"type": "model", "model": "m", "prompt_template": "Greet {{ name }}", "temperature": 0.5}
LOG: dict[str, Any] = {"project": "greeter", "inputs": {"name": "Ada"}, "output": "Hello, Ada", "config": MODEL}


async def posted(api: Api, *changes: dict[str, Any]) -> list[str]:
    """Send logs like `LOG` as one batch, and return their ids."""
    status, answer = await api.post("/logs", [{**LOG, **change} for change in changes])
    assert status == 200, answer
    return [log["id"] for log in answer]


async def read(api: Api, log_id: str) -> dict[str, Any]:
    status, log = await api.call("GET", f"/logs/{log_id}")
    assert status == 200, log
    return dict(log)


async def refused(api: Api, log: object, status: int, words: str) -> None:
    answered, body = await api.post("/logs", log)
    assert answered == status, body
    assert words in str(body)
    assert api.rows("SELECT count(*) AS n FROM logs") == [{"n": 0}]


async def test_the_response_is_an_object_for_one_log_and_a_list_for_a_list(api: Api) -> None:
    status, one = await api.post("/logs", LOG)
    assert status == 200
    assert one.keys() == {"id", "project_id", "session_id"}
    assert one["id"].startswith("data_")
    assert one["session_id"] is None
    status, many = await api.post("/logs", [LOG, LOG])
    assert status == 200
    assert [log["project_id"] for log in many] == [one["project_id"]] * 2
    assert len({one["id"], *(log["id"] for log in many)}) == 3
    assert await api.post("/logs", []) == (200, [])


async def test_every_field_of_a_log_is_stored(api: Api) -> None:
    sent = {
        **LOG,
        "inputs": {"name": 'Zoë \u2028 \\ "', "deep": [{"x": [1, 2.5, None, True]}]},
        "messages": [{"role": "user", "content": "Hi"}],
        "output_message": {"role": "assistant", "content": "Hello, Ada"},
        "source": "notebook",
        "metadata": {"team": "blue"},
        "source_datapoint_id": "evtc_1",
        "reference_id": "mine",
        "judgment": ["a", "b"],
        "environment": "staging",
        "created_at": "2026-01-02T03:04:05.678",
        "error": "too late",
        "stdout": "printed",
        "duration": 1.25,
        "prompt_tokens": 3,
        "output_tokens": 4,
        "prompt_cost": 0.5,
        "output_cost": 0.25,
        "provider_request": {"model": "m"},
        "provider_response": {"choices": []},
    }
    _, answer = await api.post("/logs", sent)
    log = await read(api, answer["id"])
    for name in sent.keys() - {"config", "created_at", "messages", "output_message"}:
        assert log[name] == sent[name], name
    assert log["created_at"] == "2026-01-02T03:04:05.678000Z"
    assert log["messages"][0]["content"] == "Hi"
    assert log["output_message"]["content"] == "Hello, Ada"
    assert log["tokens"] == 7
    assert log["save"] is True
    assert log["project_id"] == answer["project_id"]
    assert log["config_id"] == log["config"]["id"] == log["model_config"]["id"]
    assert log["config"]["type"] == "model"
    assert log["config"]["temperature"] == 0.5
    assert log["observability_status"] == "failed"  # it has an error
    assert log["evaluation_results"] == log["feedback"] == []


async def test_logs_of_generations_are_read_like_submitted_ones(api: Api) -> None:
    _, chat = await api.post("/chat", {**CHAT, "user": "u1", "metadata": {"a": 1}, "session_reference_id": "s"})
    log = await read(api, chat["data"][0]["id"])
    assert log["output"] == chat["data"][0]["output"]
    assert log["output_message"] == {**chat["data"][0]["output_message"]}
    assert log["raw_output"] == chat["data"][0]["raw_output"]
    assert log["finish_reason"] == chat["data"][0]["finish_reason"]
    assert log["config_id"] == chat["data"][0]["model_config_id"]
    assert log["messages"] == chat["data"][0]["messages"]
    assert (log["user"], log["metadata"], log["observability_status"]) == ("u1", {"a": 1}, "completed")
    assert (log["session_id"], log["session_reference_id"]) == (chat["session_id"], "s")
    assert log["tokens"] == chat["usage"]["total_tokens"]
    assert log["provider_latency"] > 0
    _, completion = await api.post("/completion", {**COMPLETION, "inputs": {"name": "Ada"}})
    assert (await read(api, completion["data"][0]["id"]))["output_message"] is None


@pytest.mark.parametrize(
    ("config", "kind", "name"),
    [
        ({"model": "m"}, "model", None),
        ({"type": "model_config", "model": "m"}, "model", None),
        ({"type": "tool", "name": "search", "parameters": {"type": "object"}, "source": "inline"}, "tool", "search"),
        ({"type": "generic", "other": {"a": 1}}, "generic", "generic"),
        ({"type": "agent", "agent_class": "plan", "model_config": {"model": "m"}}, "agent", "plan"),
    ],
)
async def test_a_config_of_any_type_is_stored_once(
    api: Api, config: dict[str, Any], kind: str, name: str | None
) -> None:
    first, second = await posted(api, {"config": config}, {"config": config})
    log = await read(api, first)
    assert log["config"]["type"] == kind
    assert name is None or log["config"]["name"] == name
    for field, value in config.items():
        if field not in ("type", "model_config"):
            assert log["config"][field] == value
    assert not {"id", "tool_configs"} & (log["config"].get("model_config") or {}).keys()  # v4 knows none there
    assert (log["model_config"] is None) == (kind != "model")
    assert (await read(api, second))["config_id"] == log["config_id"]
    assert (await posted(api, {"config": None, "config_id": log["config_id"]})) != []
    assert len(api.rows("SELECT id FROM model_configs")) == 1


async def test_a_logged_config_is_the_one_that_generates(api: Api) -> None:
    _, chat = await api.post("/chat", CHAT)
    config = {**CHAT["model_config"], "endpoint": "chat"}
    [log_id] = await posted(api, {"config": config})
    assert (await read(api, log_id))["config_id"] == chat["data"][0]["model_config_id"]


async def test_a_whole_config_response_with_its_nulls_is_the_same_config(api: Api) -> None:
    tools = [{"name": "f", "parameters": {"type": "object"}, "strict": True, "source_code": "f()", "other": {"a": 1}}]
    [first] = await posted(api, {"config": {**MODEL, "tools": tools, "stop": "x"}})
    answered = (await read(api, first))["config"]
    assert None in answered.values()
    [second] = await posted(api, {"config": answered})
    assert (await read(api, second))["config"] == answered


async def test_a_log_of_a_trial_gets_its_project_and_config_and_its_feedback_counts(api: Api) -> None:
    _, registered = await api.post("/model-configs", {"project": "greeter", "model": "m", "prompt_template": "Hi"})
    project_id, config_id = registered["project_id"], registered["config"]["id"]
    labels = [{"type": "rating", "value": "good"}]
    experiment = {"name": "e", "positive_labels": labels, "config_ids": [config_id]}
    _, experiment = await api.post(f"/projects/{project_id}/experiments", experiment)
    _, sampled = await api.call("GET", f"/experiments/{experiment['id']}/model-config")
    trial = {"trial_id": sampled["trial_id"], "project": None, "config": None}
    alike = [
        trial,
        {**trial, "project_id": project_id, "config_id": config_id, "feedback": labels},
        {**trial, "config": sampled["config"], "project": "greeter"},  # as it was answered
    ]
    for log_id in await posted(api, *alike):
        log = await read(api, log_id)
        assert (log["trial_id"], log["config_id"]) == (sampled["trial_id"], config_id)
        assert (log["project_id"], log["project"]) == (project_id, "greeter")
    _, [measured] = await api.call("GET", f"/projects/{project_id}/experiments")
    assert [(config["trials_count"], config["mean"]) for config in measured["configs"]] == [(1, 1.0)]
    for wrong in ({"project": "other"}, {"config_id": "config_x"}, {"config": MODEL}, {"config": {"type": "generic"}}):
        status, body = await api.post("/logs", {**LOG, **trial, **wrong})
        assert status == 422
        assert "the trial's" in body["detail"]["message"]


async def test_save_false_keeps_config_and_metadata_but_no_text(api: Api) -> None:
    secret = {
        "inputs": {"name": "SECRET"},
        "output": "SECRET",
        "messages": [{"role": "user", "content": "SECRET"}],
        "output_message": {"role": "assistant", "content": "SECRET"},
        "provider_request": {"a": "SECRET"},
        "provider_response": {"a": "SECRET"},
        "stdout": "SECRET",
    }
    [log_id] = await posted(api, {**secret, "save": False, "metadata": {"team": "blue"}})
    await api.call("PATCH", f"/logs/{log_id}", {"output": "SECRET", "duration": 2})
    assert "SECRET" not in str(api.rows("SELECT * FROM logs"))
    log = await read(api, log_id)
    assert (log["save"], log["metadata"], log["duration"]) == (False, {"team": "blue"}, 2)
    assert (await api.post("/feedback", {"type": "rating", "value": "good", "data_id": log_id}))[0] == 200


async def test_sessions_and_parents_by_id_and_by_reference(api: Api) -> None:
    _, root = await api.post("/logs", {**LOG, "session_reference_id": "chat 1", "reference_id": "root"})
    session_id = root["session_id"]
    assert session_id.startswith("sesh_")
    children = [
        {"parent_id": root["id"]},
        {"parent_reference_id": "root"},
        {"parent_reference_id": "root", "session_id": session_id},
        {"parent_id": root["id"], "session_reference_id": "chat 1"},
    ]
    _, answers = await api.post("/logs", [{**LOG, **child} for child in children])
    # A child joins its parent's session; the answer repeats only what the call named.
    assert [answer["session_id"] for answer in answers] == [None, None, session_id, session_id]
    for answer in answers:
        log = await read(api, answer["id"])
        assert (log["parent_id"], log["parent_reference_id"]) == (root["id"], "root")
        assert (log["session_id"], log["session_reference_id"]) == (session_id, "chat 1")


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"config": None}, 422, "`config`, `config_id` and `trial_id`"),
    ({"config_id": "config_x"}, 422, "exclude each other"),
    ({"config": None, "config_id": "config_x"}, 404, "config_x"),
    ({"config": None, "trial_id": "trial_x"}, 404, "trial_x"),
    ({"config": {"type": "tool"}}, 422, "name"),
    ({"config": {"type": "robot"}}, 422, "robot"),
    ({"config": {"model": "m", "colour": "red"}}, 422, "colour"),
    ({"project": None}, 422, "`project` or `project_id`"),
    ({"project": None, "project_id": "pr_x"}, 404, "pr_x"),
    ({"project": ""}, 422, "1 to 255"),
    ({"session_id": "sesh_x"}, 404, "sesh_x"),
    ({"session_id": "sesh_x", "session_reference_id": "s"}, 422, "exclude each other"),
    ({"parent_id": "data_x"}, 404, "data_x"),
    ({"parent_reference_id": "nobody"}, 404, "nobody"),
    ({"parent_id": "data_x", "parent_reference_id": "nobody"}, 422, "exclude each other"),
    ({"reference_id": ""}, 422, "1 to 255"),
    ({"created_at": "yesterday"}, 422, "created_at"),
    ({"prompt_tokens": -1}, 422, "prompt_tokens"),
    ({"feedback": {"type": "stars", "value": "5"}}, 422, "stars"),
    ({"inputs": "Ada"}, 422, "inputs"),
]


async def test_an_invalid_log_is_rejected_with_its_batch(api: Api) -> None:
    for change, status, words in WRONG:
        await refused(api, {**LOG, **change}, status, words)
        await refused(api, [{**LOG, "project": "made in vain"}, {**LOG, **change}], status, words)
    assert api.rows("SELECT * FROM projects") == []


async def test_a_parent_is_never_in_the_same_batch(api: Api) -> None:
    parent, child = {**LOG, "reference_id": "p"}, {**LOG, "parent_reference_id": "p"}
    await refused(api, [parent, child], 422, "same batch")
    await refused(api, [child, parent], 422, "same batch")


async def test_a_parent_in_another_session_is_rejected(api: Api) -> None:
    _, parent = await api.post("/logs", {**LOG, "session_reference_id": "one"})
    status, body = await api.post("/logs", {**LOG, "session_reference_id": "two", "parent_id": parent["id"]})
    assert status == 422
    assert "another session" in body["detail"]["message"]
    assert [row["reference_id"] for row in api.rows("SELECT reference_id FROM sessions")] == ["one"]


async def test_a_reference_id_belongs_to_one_log(api: Api) -> None:
    await refused(api, [{**LOG, "reference_id": "r"}, {**LOG, "reference_id": "r"}], 422, "'r' is already in use")
    await posted(api, {"reference_id": "r"})
    status, body = await api.post("/logs", [LOG, {**LOG, "reference_id": "r"}])
    assert status == 422
    assert "'r' is already in use" in body["detail"]["message"]
    assert len(api.logs()) == 1


async def test_of_racing_logs_with_one_reference_one_is_stored(api: Api) -> None:
    answers = await asyncio.gather(*(api.post("/logs", {**LOG, "reference_id": "r"}) for _ in range(8)))
    assert Counter(status for status, _ in answers) == {200: 1, 422: 7}
    assert all("'r' is already in use" in body["detail"]["message"] for status, body in answers if status == 422)
    assert len(api.logs()) == 1


async def test_racing_logs_create_one_project_one_config_and_one_session(api: Api) -> None:
    answers = await asyncio.gather(*(api.post("/logs", {**LOG, "session_reference_id": "s"}) for _ in range(8)))
    assert {status for status, _ in answers} == {200}
    assert len({(body["project_id"], body["session_id"]) for _, body in answers}) == 1
    for made in ("SELECT id FROM projects", "SELECT id FROM model_configs", "SELECT id FROM sessions"):
        assert len(api.rows(made)) == 1


async def test_batches_that_create_the_same_objects_in_different_orders_do_not_deadlock(api: Api) -> None:
    new = [
        {
            **LOG,
            "project": f"p{n % 5}",
            "session_reference_id": f"s{n}",
            "config": {"model": f"m{n % 3}"},
            "feedback": {"type": "issue", "value": f"i{n}"},
        }
        for n in range(15)
    ]
    answers = await asyncio.gather(*(api.post("/logs", new[:: 1 if n % 2 else -1]) for n in range(8)))
    assert {status for status, _ in answers} == {200}
    assert len(api.logs()) == 8 * 15
    assert len(api.rows("SELECT * FROM sessions")) == len(api.rows("SELECT * FROM feedback_labels")) == 15


async def test_logs_are_stored_with_their_feedback(api: Api) -> None:
    one = {"type": "rating", "value": "good", "user": "u1"}
    many = [one, {"type": "issue", "value": ["rude", "wrong"]}, {"type": "comment", "value": "No."}]
    first, second = await posted(api, {"feedback": one}, {"feedback": many})
    [rating] = (await read(api, first))["feedback"]
    assert rating["id"].startswith("ann_")
    assert (rating["type"], rating["value"], rating["user"], rating["data_id"]) == ("rating", "good", "u1", first)
    given = [(item["type"], item["value"]) for item in (await read(api, second))["feedback"]]
    assert sorted(given) == [("comment", "No."), ("issue", "rude"), ("issue", "wrong"), ("rating", "good")]


async def test_a_log_is_completed_by_id_and_by_reference(api: Api) -> None:
    [log_id] = await posted(api, {"reference_id": "a/b c", "output": None})
    assert (await read(api, log_id))["output"] is None
    status, log = await api.call("PATCH", f"/logs/{log_id}", {"output": "Done", "duration": 3.5})
    assert status == 200
    assert (log["output"], log["duration"], log["error"]) == ("Done", 3.5, None)
    status, log = await api.call("PATCH", "/logs", {"error": "Wrong"}, {"reference_id": "a/b c"})
    assert status == 200
    assert (log["id"], log["output"], log["duration"], log["error"]) == (log_id, "Done", 3.5, "Wrong")
    assert log["observability_status"] == "failed"
    assert log["updated_at"] > log["created_at"]
    assert (await api.call("PATCH", "/logs/data_x", {"output": "x"}))[0] == 404
    assert (await api.call("PATCH", "/logs", {"output": "x"}, {"reference_id": "x"}))[0] == 404
    assert (await api.call("PATCH", "/logs", {"output": "x"}))[0] == 422


async def test_a_new_output_replaces_everything_derived_from_the_old_one(api: Api) -> None:
    _, chat = await api.post("/chat", CHAT)
    log_id = chat["data"][0]["id"]
    _, log = await api.call("PATCH", f"/logs/{log_id}", {"output": "ÄNDERUNG"})
    assert (log["output"], log["raw_output"], log["output_message"]["content"]) == ("ÄNDERUNG",) * 3
    _, page = await api.call("GET", "/logs", query={"project_id": log["project_id"], "search": "änderung"})
    assert page["total"] == 1


async def test_logs_are_deleted_with_their_feedback_and_leave_their_children(api: Api) -> None:
    parent, other = await posted(api, {"feedback": {"type": "rating", "value": "good"}}, {})
    [child] = await posted(api, {"parent_id": parent})
    status, body = await api.call("DELETE", "/logs")
    assert status == 422
    assert body["detail"][0]["loc"] == ["query", "id"]
    assert (await api.call("DELETE", "/logs", query=[("id", parent), ("id", other), ("id", "data_x")]))[0] == 204
    assert (await api.call("GET", f"/logs/{parent}"))[0] == 404
    assert (await read(api, child))["parent_id"] is None
    assert api.rows("SELECT * FROM feedback") == []
    assert len(api.logs()) == 1


async def test_a_batch_has_a_limit(api: Api) -> None:
    for path in ("/logs", "/feedback"):
        status, body = await api.post(path, [{"type": "rating"}] * 10_001)
        assert status == 422
        assert "10000" in body["detail"][0]["msg"]
    await refused(api, {**LOG, "source": "x" * 256}, 422, "at most 255")


async def test_the_first_and_the_last_possible_times_are_accepted(api: Api) -> None:
    times = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.999999Z")
    await posted(api, *({"created_at": time, "output": time} for time in times))
    [project] = api.rows("SELECT id FROM projects")
    for bounds, count in (({}, 3), ({"end_date": "9999-12-31"}, 3), ({"start_date": times[1]}, 2)):
        _, page = await api.call("GET", "/logs", query={"project_id": project["id"], **bounds})
        assert page["total"] == count == len(page["records"])


async def test_a_large_batch_is_stored_whole_and_in_its_order(api: Api) -> None:
    ids = await posted(api, *({"inputs": {"n": n}, "session_reference_id": f"s{n % 3}"} for n in range(1200)))
    assert len(set(ids)) == 1200
    assert (await read(api, ids[777]))["inputs"] == {"n": 777}
    assert len(api.rows("SELECT * FROM sessions")) == 3


BAD_VALUE = {"type": "rating", "value": ["good", "bad"]}


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"source": "x" * 256}, ["source"]),
        ({"reference_id": ""}, ["reference_id"]),
        ({"project": ""}, ["project"]),
        ({"inputs": "Ada"}, ["inputs"]),
        ({"feedback": BAD_VALUE}, ["feedback", "value"]),
        ({"feedback": [{"type": "rating", "value": "good"}, BAD_VALUE]}, ["feedback", 1, "value"]),
    ],
)
async def test_a_validation_error_has_the_path_in_the_batch(api: Api, change: dict[str, Any], loc: list[Any]) -> None:
    wrong = {**LOG, **change}
    for body, place in ((wrong, []), ([LOG, LOG, wrong, LOG], [2])):
        status, answer = await api.post("/logs", body)
        assert (status, [issue["loc"] for issue in answer["detail"]]) == (422, [["body", *place, *loc]])


@pytest.mark.parametrize(
    "change", [{"config": None}, {"session_id": "sesh_x"}, {"project": None, "project_id": "pr_x"}]
)
async def test_the_message_of_another_error_starts_with_the_path_in_the_batch(api: Api, change: dict[str, Any]) -> None:
    _, alone = await api.post("/logs", {**LOG, **change})
    _, in_batch = await api.post("/logs", [LOG, {**LOG, **change}])
    assert in_batch["detail"]["message"] == f"1: {alone['detail']['message']}"


@pytest.mark.parametrize(
    "name", ["sort", "source_filter", "model_filter", "feedback-rating_filter", "feedback-{}_filter"]
)
async def test_a_list_has_at_most_20_filters_and_sort_columns(api: Api, name: str) -> None:
    _, project = await api.post("/projects", {"name": "greeter"})
    value = "source.asc" if name == "sort" else "x"
    for number, expected in ((20, 200), (21, 422)):
        query = [("project_id", project["id"]), *((name.format(index), value) for index in range(number))]
        status, body = await api.call("GET", "/logs", query=query)
        assert status == expected, body
    assert body["detail"][0]["loc"] == ["query", "sort" if name == "sort" else "filter"]


async def test_a_slow_list_is_503(start: Callable[..., Any]) -> None:
    async with start(list_timeout=0) as api:
        _, project = await api.post("/projects", {"name": "greeter"})
        for path, query in (("/logs", {"project_id": project["id"]}), (f"/projects/{project['id']}/export", {})):
            method = "GET" if path == "/logs" else "POST"
            status, body = await api.call(method, path, query=query)
            assert status == 503
            assert "fewer filters" in error_message(body, 503)
        assert (await api.call("GET", f"/projects/{project['id']}"))[0] == 200
