"""The state after the deletion of a project, a log or an experiment: consistent, and without the deleted texts."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from humanloop_async.server.storage import portions
from tests.server.served import CHAT, COMPLETION, Api, on_both_databases, with_config

pytestmark = on_both_databases

LOG: dict[str, Any] = {"project": "greeter", "config": {"model": "m"}, "inputs": {"name": "Ada"}, "output": "Hi"}


async def made(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    status, answer = await api.post("/logs", body)
    assert status == 200, answer
    return dict(answer)


async def got(api: Api, path: str, **query: Any) -> Any:
    status, answer = await api.call("GET", path, query=query)
    assert status == 200, answer
    return answer


async def delete(api: Api, path: str, **query: Any) -> None:
    assert (await api.call("DELETE", path, query=query))[0] == 204


async def generate(api: Api, body: dict[str, Any], key: str = "k") -> tuple[int, Any]:
    """Send a chat with an ``Idempotency-Key``."""
    url = api.server.base_url + "/chat"
    async with api.session.post(url, json=body, headers={"Idempotency-Key": key}) as response:
        return response.status, await response.json()


async def test_a_log_outlives_its_config(api: Api) -> None:
    _, first = await api.post("/completion", COMPLETION)
    config_id = first["data"][0]["model_config_id"]
    _, other = await api.post(
        "/completion-model-config",
        {"project": "other", "model_config_id": config_id, "inputs": {"name": "Ada"}},
    )
    await delete(api, f"/projects/{first['project_id']}")
    log = await got(api, f"/logs/{other['data'][0]['id']}")
    assert (log["config"]["type"], log["config"]["status"], log["config_id"]) == ("generic", "deleted", None)
    assert log["output"] == other["data"][0]["output"]
    assert log["model_config"] is None
    listed = await got(api, "/logs", project_id=other["project_id"], sort="model.asc")
    exported = await api.post(f"/projects/{other['project_id']}/export", None)
    assert listed["records"] == exported[1]["records"] == [log]


async def test_many_logs_are_deleted_at_once(api: Api) -> None:
    """Their ids are in the request line, which is longer than most servers allow."""
    _, answers = await api.post("/logs", [LOG] * 600)
    query = [("id", log["id"]) for log in answers]
    assert (await api.call("DELETE", "/logs", query=query))[0] == 204
    page = await got(api, "/logs", project_id=answers[0]["project_id"], search="x" * 20_000)
    assert page["total"] == len(api.logs()) == 0


async def test_sessions_children_and_counts_are_right_after_a_deletion(api: Api) -> None:
    parent = await made(api, {**LOG, "session_reference_id": "s", "reference_id": "p"})
    child = await made(api, {**LOG, "project": "other", "parent_reference_id": "p", "output": "Bye"})
    session_path = f"/sessions/{parent['session_id']}"
    session = await got(api, session_path)
    assert [project["name"] for project in session["projects"]] == ["greeter", "other"]
    await delete(api, f"/projects/{parent['project_id']}")
    log = await got(api, f"/logs/{child['id']}")
    assert (log["parent_id"], log["parent_reference_id"]) == (None, None)
    assert (log["session_id"], log["session_reference_id"]) == (session["id"], "s")
    session = await got(api, session_path)
    assert [project["name"] for project in session["projects"]] == ["other"]
    assert (session["datapoints_count"], session["last_output"]) == (1, "Bye")
    await delete(api, "/logs", id=child["id"])
    session = await got(api, session_path)
    assert (session["projects"], session["datapoints_count"], session["first_inputs"]) == ([], 0, None)
    assert (await got(api, f"/projects/{child['project_id']}"))["data_count"] == 0
    again = await made(api, {**LOG, "session_reference_id": "s", "reference_id": "p"})  # `p` is free, `s` exists
    assert again["session_id"] == session["id"]


async def test_a_deleted_log_is_no_trial_and_a_deleted_experiment_is_no_log(api: Api) -> None:
    _, config = await api.post("/model-configs", {"project": "greeter", "model": "m"})
    labels = [{"type": "rating", "value": "good"}]
    body = {"name": "ab", "positive_labels": labels, "config_ids": [config["config"]["id"]], "set_active": True}
    _, experiment = await api.post(f"/projects/{config['project_id']}/experiments", body)
    logs, trials = [], []
    for value in ("good", "bad"):
        active = await got(api, f"/projects/{config['project_id']}/active-config")
        trials.append(active["trial_id"])
        logs.append(await made(api, {"trial_id": trials[-1], "feedback": {"type": "rating", "value": value}}))
    await delete(api, "/logs", id=logs[1]["id"])
    (found,) = await got(api, f"/projects/{config['project_id']}/experiments")
    assert (found["configs"][0]["trials_count"], found["configs"][0]["mean"]) == (1, 1)
    await delete(api, f"/experiments/{experiment['id']}")
    assert (await got(api, f"/logs/{logs[0]['id']}"))["trial_id"] == trials[0]
    status, _ = await api.post("/feedback", {"type": "rating", "value": "bad", "data_id": logs[0]["id"]})
    assert status == 200
    project = await got(api, f"/projects/{config['project_id']}")
    assert (project["active_experiment"], project["active_config"]) == (None, None)
    deployed = await got(api, f"/projects/{config['project_id']}/deployed-configs")
    assert [(row["experiment_id"], row["model_config_id"]) for row in deployed] == [(None, None)]


@pytest.mark.parametrize("what", ["log", "project"])
@pytest.mark.parametrize("save", [True, False])
async def test_a_deleted_text_is_neither_replayed_nor_stored(api: Api, what: str, save: bool) -> None:
    body = {**CHAT, "num_samples": 2, "save": save}
    status, answer = await generate(api, body)
    assert status == 200
    text = answer["data"][1]["output"]
    if what == "log":
        await delete(api, "/logs", id=answer["data"][1]["id"])
    else:
        await delete(api, f"/projects/{answer['project_id']}")
    (row,) = api.rows("SELECT status, body FROM idempotency")
    assert row["status"] == 404
    assert text.encode() not in row["body"]
    status, error = await generate(api, body)
    assert status == 404
    assert "new Idempotency-Key" in error["detail"]["message"]


async def test_a_log_that_is_deleted_while_it_is_generated_leaves_nothing(api: Api) -> None:
    body = with_config(CHAT, max_tokens=8, other={"tokens_per_second": 20})
    running = asyncio.create_task(generate(api, body))
    async with asyncio.timeout(10):
        while not (logs := api.logs()):  # noqa: ASYNC110 - the server has no event for this
            await asyncio.sleep(0.02)
    await delete(api, "/logs", id=logs[0]["id"])
    status, answer = await running
    assert status == 200  # its caller still gets the response
    assert (await generate(api, body))[0] == 404
    (row,) = api.rows("SELECT body FROM idempotency")
    assert answer["data"][0]["output"].encode() not in row["body"]
    assert api.logs() == []


async def test_no_text_is_stored_when_deletions_and_generations_race(api: Api) -> None:
    body = with_config(CHAT, other={"tokens_per_second": 1000})
    for number in range(5):
        config = {"project": "greeter", "endpoint": "chat", **CHAT["model_config"]}
        _, made_project = await api.post("/model-configs", config)

        async def delete_soon(project_id: str) -> int:
            await asyncio.sleep(0.03)
            return (await api.call("DELETE", f"/projects/{project_id}"))[0]

        deleted, *answers = await asyncio.gather(
            delete_soon(made_project["project_id"]),
            *(generate(api, body, f"{number} {which}") for which in range(20)),
        )
        assert deleted == 204
        assert {status for status, _ in answers} <= {200, 404}, answers
    logs = {log["id"] for log in api.logs()}
    kept = api.rows("SELECT body FROM idempotency WHERE status = 200")
    assert {sample["id"] for row in kept for sample in json.loads(row["body"])["data"]} <= logs


async def test_a_large_project_is_deleted_in_portions_while_other_calls_run(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No call waits for the whole deletion, and none fails."""
    monkeypatch.setattr(portions, "PORTION", 100)
    _, answers = await api.post("/logs", [{**LOG, "project": "large"}] * 3000)
    project_id = answers[0]["project_id"]
    stored: list[int] = []
    deleting = asyncio.create_task(api.call("DELETE", f"/projects/{project_id}"))
    calls = 0
    while not deleting.done():
        assert (await api.post("/chat", with_config(CHAT, max_tokens=1)))[0] == 200
        calls += 1
        (row,) = api.rows("SELECT count(*) AS count FROM logs WHERE project_id = ?", project_id)
        stored.append(row["count"])
    assert deleting.result()[0] == 204
    assert calls > 5
    assert any(0 < count < 3000 for count in stored), stored
    assert (await api.call("GET", f"/projects/{project_id}"))[0] == 404


async def test_projects_in_use_can_be_deleted(api: Api) -> None:
    """Calls to the deleted project may get a 404; those to others are not affected."""
    for number in range(4):
        doomed = {**CHAT, "project": f"doomed {number}"}
        _, answer = await api.post("/chat", doomed)
        path = f"/projects/{answer['project_id']}"

        async def use(body: dict[str, Any]) -> list[int]:
            return [(await api.post("/chat", body))[0] for _ in range(10)]

        users = [asyncio.create_task(use(body)) for body in [doomed, CHAT] * 5]
        await asyncio.sleep(0.1)
        assert (await api.call("DELETE", path))[0] == 204
        results = await asyncio.gather(*users)
        assert {status for statuses in results[1::2] for status in statuses} == {200}
        assert {status for statuses in results[::2] for status in statuses} <= {200, 404}
