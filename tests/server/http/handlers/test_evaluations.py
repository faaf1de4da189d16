"""``/evaluations``: generated and sent logs, results of evaluators on the server and elsewhere, aggregates."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.server.http.handlers.evaluated import (
    EXTERNAL,
    JUDGE,
    created,
    evaluation,
    new_config,
    new_dataset,
    new_evaluation,
    new_evaluator,
    snapshots,
    until_completed,
    until_progress,
    until_rows,
)
from tests.server.served import COMPLETION, Api, error_message, on_both_databases

pytestmark = on_both_databases

NAMES = ["Ada", "Grace", "Edsger"]


async def send_result(api: Api, evaluation_id: str, log_id: str, evaluator_id: str, **result: Any) -> dict[str, Any]:
    body = {"log_id": log_id, "evaluator_id": evaluator_id, **result}
    return await created(api, f"/evaluations/{evaluation_id}/result", body)


async def test_the_server_generates_the_logs_and_runs_an_llm_evaluator(api: Api) -> None:
    judge = await new_evaluator(api, JUDGE)
    started = await new_evaluation(api, [judge], NAMES, name="first")
    assert started["id"].startswith("ev_")
    assert (started["status"], started["name"]) == ("running", "first")
    assert started["dataset_version_id"] == f"{started['dataset']['id']}@{started['dataset_snapshot']['version']}"
    finished = await until_completed(api, started["id"])
    assert finished["progress"] == {"datapoints": 3, "logs": 3, "results": 3, "results_total": 3, "errors": 0}
    version = finished["evaluators"][0]["version_id"]
    assert finished["evaluator_aggregates"] == [
        {
            "model_config_id": started["config"]["id"],
            "evaluator_id": judge,
            "evaluator_version_id": version,
            "aggregate_value": 1.0,
        }
    ]
    records = await snapshots(api, started["id"])
    assert [record["datapoint"]["inputs"]["name"] for record in records] == NAMES
    for record in records:
        assert record["log"]["source_datapoint_id"] == record["datapoint"]["id"]
        assert record["log"]["config_id"] == started["config"]["id"]
        [result] = record["evaluation_results"]
        assert (result["value"], result["error"], result["log_id"]) == (True, None, record["log"]["id"])
        assert (result["evaluation_id"], result["evaluator_version_id"]) == (started["id"], version)
        judgment = result["evaluator_log"]
        assert judgment["inputs"] == {"log.output": record["log"]["output"]}
        assert judgment["output"] == "true"
        status, log = await api.call("GET", f"/logs/{record['log']['id']}")
        assert status == 200
        assert [shown["id"] for shown in log["evaluation_results"]] == [result["id"]]
    status, stored = await api.call("GET", f"/evaluators/{judge}")
    assert status == 200
    assert judgment["project_id"] == stored["logging_project"]["id"]


async def test_an_external_evaluator_sends_its_results_until_the_caller_ends_the_evaluation(api: Api) -> None:
    similar = await new_evaluator(api, EXTERNAL)
    started = await new_evaluation(api, [similar], NAMES[:2])
    await until_progress(api, started["id"], logs=2)
    first, second = [record["log"]["id"] for record in await snapshots(api, started["id"])]
    result = await send_result(api, started["id"], first, similar, result=0.25)
    assert result["id"].startswith("evr_")
    assert (result["value"], result["log_id"], result["evaluator_id"]) == (0.25, first, similar)
    again = await send_result(api, started["id"], first, similar, result=0.75)
    assert (again["id"], again["value"], again["created_at"]) == (result["id"], 0.75, result["created_at"])
    failed = await send_result(api, started["id"], second, similar, error="out of memory")
    assert (failed["value"], failed["error"]) == (None, "out of memory")
    found = await evaluation(api, started["id"])
    assert found["status"] == "running"  # more results may come
    assert found["progress"] == {"datapoints": 2, "logs": 2, "results": 2, "results_total": 2, "errors": 1}
    assert [aggregate["aggregate_value"] for aggregate in found["evaluator_aggregates"]] == [0.75]
    status, ended = await api.call("PATCH", f"/evaluations/{started['id']}/status", {"status": "completed"})
    assert (status, ended["status"]) == (200, "completed")
    body = {"log_id": first, "evaluator_id": similar, "result": 1}
    status, error = await api.post(f"/evaluations/{started['id']}/result", body)
    assert "the evaluation is completed" in error_message(error, 422)
    await api.call("PATCH", f"/evaluations/{started['id']}/status", {"status": "running"})
    assert (await send_result(api, started["id"], first, similar, result=1))["value"] == 1


async def test_the_caller_sends_the_logs(api: Api) -> None:
    judge, similar = await new_evaluator(api, JUDGE), await new_evaluator(api, EXTERNAL)
    started = await new_evaluation(api, [judge, similar], NAMES[:2], hl_generated=False)
    path = f"/evaluations/{started['id']}/log"
    datapoints = [record["datapoint"] for record in await snapshots(api, started["id"])]
    body = {"datapoint_id": datapoints[0]["id"], "log": {"output": "Hello", "inputs": {"name": "Ada"}}}
    log = await created(api, path, body)
    await until_progress(api, started["id"], results=1)
    [sent, open_datapoint] = await snapshots(api, started["id"])
    assert sent["log"]["id"] == log["id"]
    assert sent["log"]["config_id"] == started["config"]["id"]
    assert sent["log"]["source_datapoint_id"] == datapoints[0]["id"]
    assert [result["value"] for result in sent["evaluation_results"]] == [True]
    assert (open_datapoint["log"], open_datapoint["evaluation_results"]) == (None, [])
    await send_result(api, started["id"], log["id"], similar, result=3)
    found = await evaluation(api, started["id"])
    assert (found["status"], found["progress"]["results"]) == ("running", 2)
    _, error = await api.post(path, body)
    assert "has its log already" in error_message(error, 422)
    assert len(api.rows("SELECT id FROM logs WHERE source_datapoint_id IS NOT NULL")) == 1  # the second one is undone
    other = {"datapoint_id": datapoints[1]["id"], "log": {"output": "Hello", "project": "other"}}
    _, error = await api.post(path, other)
    assert "the evaluation belongs to project" in error_message(error, 422)
    _, error = await api.post(path, {"datapoint_id": "evtc_none", "log": {"output": "Hello"}})
    assert "has no datapoint" in error_message(error, 404)


async def test_requests_that_contradict_the_evaluation_are_rejected(api: Api) -> None:
    judge, similar = await new_evaluator(api, JUDGE), await new_evaluator(api, EXTERNAL)
    started = await new_evaluation(api, [judge, similar], NAMES[:1])
    await until_progress(api, started["id"], results=1)
    [record] = await snapshots(api, started["id"])
    path, log_id = f"/evaluations/{started['id']}/result", record["log"]["id"]
    for body, status, message in [
        ({"log_id": log_id, "evaluator_id": similar}, 422, "send one of them"),
        ({"log_id": log_id, "evaluator_id": similar, "result": 1, "error": "x"}, 422, "send one of them"),
        ({"log_id": log_id, "evaluator_id": judge, "result": True}, 422, "the server runs the evaluator"),
        ({"log_id": log_id, "evaluator_id": "evfn_none", "result": 1}, 404, "has no evaluator"),
        ({"log_id": "data_none", "evaluator_id": similar, "result": 1}, 404, "has no log"),
    ]:
        got, error = await api.post(path, body)
        assert got == status
        assert message in error_message(error, status)
    got, error = await api.post(path, {"log_id": log_id, "evaluator_id": similar, "result": True})
    assert got == 422
    assert error["detail"][0]["msg"] == "the judgment True is not a finite number"
    got, error = await api.post(
        f"/evaluations/{started['id']}/log", {"datapoint_id": record["datapoint"]["id"], "log": {"output": "x"}}
    )
    assert "hl_generated=false" in error_message(error, 422)
    for url in (f"/evaluations/{started['id']}", f"/evaluations/{started['id']}/datapoints"):
        got, error = await api.call("GET", url, query={"evaluatee_id": "config_other"})
        assert "not of 'config_other'" in error_message(error, 404)
        got, _ = await api.call("GET", url, query={"evaluatee_id": started["config"]["id"]})
        assert got == 200
    got, error = await api.call("PATCH", f"/evaluations/{started['id']}/status", {"status": "failed"})
    assert got == 422


async def test_an_evaluation_keeps_the_versions_that_it_started_with(api: Api) -> None:
    similar = await new_evaluator(api, EXTERNAL)
    started = await new_evaluation(api, [similar], NAMES, hl_generated=False)
    first = (await snapshots(api, started["id"]))[0]
    datapoint_id, dataset_id = first["datapoint"]["id"], started["dataset"]["id"]
    await api.call("PATCH", f"/datapoints/{datapoint_id}", {"inputs": {"name": "Alan"}})
    await api.post(f"/datasets/{dataset_id}/datapoints", {"inputs": {"name": "Barbara"}})
    assert (await snapshots(api, started["id"]))[0] == first
    found = await evaluation(api, started["id"])
    assert (found["dataset"]["datapoint_count"], found["dataset_snapshot"]["datapoint_count"]) == (4, 3)
    await api.call("PATCH", f"/evaluators/{similar}", {"return_type": "boolean", "name": "new"})
    kept = (await evaluation(api, started["id"]))["evaluators"][0]
    assert (kept["return_type"], kept["name"]) == ("number", "new")
    # Deleting hides both, and the evaluation stays readable.
    assert (await api.call("DELETE", f"/datasets/{dataset_id}"))[0] == 200
    assert (await api.call("DELETE", f"/evaluators/{similar}"))[0] == 204
    for path in (f"/datasets/{dataset_id}", f"/datapoints/{datapoint_id}", f"/evaluators/{similar}"):
        assert (await api.call("GET", path))[0] == 404
    assert (await snapshots(api, started["id"]))[0] == first
    found = await evaluation(api, started["id"])
    assert (found["dataset"]["id"], found["evaluators"]) == (dataset_id, [kept | {"updated_at": kept["updated_at"]}])
    assert await api.call("GET", "/datasets") == (200, [])
    assert await api.call("GET", "/evaluators") == (200, [])


async def test_evaluators_are_added_to_an_evaluation_that_has_ended(api: Api) -> None:
    judge = await new_evaluator(api, JUDGE)
    started = await new_evaluation(api, [], NAMES[:2])
    await until_completed(api, started["id"])
    path = f"/evaluations/{started['id']}/evaluators"
    status, added = await api.call("PATCH", path, {"evaluator_ids": [judge]})
    assert (status, added["progress"]["results_total"]) == (200, 2)
    finished = await until_completed(api, started["id"])
    assert finished["progress"]["results"] == 2
    assert await api.call("PATCH", path, {"evaluator_ids": [judge]}) == (200, await plain(api, started["id"]))
    old = finished["evaluators"][0]["version_id"]
    _, changed = await api.call("PATCH", f"/evaluators/{judge}", {"return_type": "text"})
    status, error = await api.call("PATCH", path, {"evaluator_version_ids": [changed["version_id"]]})
    assert "another version" in error_message(error, 422)
    assert (await api.call("PATCH", path, {"evaluator_version_ids": [old]}))[0] == 200
    status, error = await api.call("PATCH", path, {"evaluator_version_ids": ["evv_none"]})
    assert "no version" in error_message(error, 404)


async def plain(api: Api, evaluation_id: str) -> dict[str, Any]:
    return dict((await api.call("GET", f"/evaluations/{evaluation_id}"))[1])


async def test_evaluations_are_listed(api: Api) -> None:
    started = await new_evaluation(api, [], NAMES[:1])
    project_id = started["dataset"]["project_id"]
    other_config = await new_config(api, project_id, model="other")
    body = {"config_id": other_config, "dataset_id": started["dataset"]["id"], "evaluator_ids": []}
    second = await created(api, f"/projects/{project_id}/evaluations", body)
    both = [second["id"], started["id"]]

    async def listed(**query: Any) -> list[str]:
        status, page = await api.call("GET", "/evaluations", query={"project_id": project_id, **query})
        assert status == 200, page
        assert page["total"] >= len(page["records"])
        return [record["id"] for record in page["records"]]

    assert await listed() == both
    assert [await listed(size=1, page=page) for page in range(3)] == [both[:1], both[1:], []]
    assert await listed(id=[started["id"]]) == [started["id"]]
    assert await listed(evaluatee_id=other_config) == [second["id"]]
    today = second["created_at"][:10]
    assert await listed(start_date=today, end_date=today) == both
    assert await listed(end_date="2000-01-01") == []
    status, found = await api.call("GET", f"/projects/{project_id}/evaluations", query={"evaluatee_id": other_config})
    assert (status, [record["id"] for record in found]) == (200, [second["id"]])
    assert (await api.call("GET", "/evaluations", query={"project_id": "pr_none"}))[0] == 404
    assert (await api.call("GET", "/evaluations/ev_none"))[0] == 404


@pytest.mark.parametrize("missing", ["config_id", "dataset_id", "evaluator_ids"])
async def test_an_evaluation_needs_things_that_exist(api: Api, missing: str) -> None:
    started = await new_evaluation(api, [], NAMES[:1])
    project_id = started["dataset"]["project_id"]
    body: dict[str, Any] = {
        "config_id": started["config"]["id"],
        "dataset_id": started["dataset"]["id"],
        "evaluator_ids": [],
    }
    body[missing] = ["evfn_none"] if missing == "evaluator_ids" else "none"
    _, error = await api.post(f"/projects/{project_id}/evaluations", body)
    assert "none" in error_message(error, 404)


async def test_a_datapoint_that_cannot_be_generated_has_a_log_with_the_error(api: Api) -> None:
    """A failed generation makes errors of the results, and the evaluation still ends."""
    judge = await new_evaluator(api, JUDGE)
    project_id = (await created(api, "/projects", {"name": "greeter"}))["id"]
    dataset_id = await new_dataset(api, project_id, [])
    await api.post(f"/datasets/{dataset_id}/datapoints", [{"inputs": {"other": "x"}}, {"inputs": {"name": "Ada"}}])
    config_id = await new_config(api, project_id, other={"fail_after": 0, "status": 400})
    body = {"config_id": config_id, "dataset_id": dataset_id, "evaluator_ids": [judge]}
    started = await created(api, f"/projects/{project_id}/evaluations", body)
    finished = await until_completed(api, started["id"])
    assert finished["progress"] == {"datapoints": 2, "logs": 2, "results": 2, "results_total": 2, "errors": 2}
    unstarted, failed = await snapshots(api, started["id"])
    assert unstarted["log"]["error"] == "Missing input variables: name"
    assert "failed after 0 chunks" in failed["log"]["error"]
    for record in (unstarted, failed):
        [result] = record["evaluation_results"]
        assert (result["value"], result["evaluator_log"]) == (None, None)
        assert result["error"] == f"the log has no output to evaluate: {record['log']['error']}"


async def test_an_llm_evaluator_that_fails_has_an_error(api: Api) -> None:
    config = {**JUDGE["model_config"], "other": {"fail_after": 0, "status": 400}}
    failing = await new_evaluator(api, JUDGE, model_config=config)
    talking = await new_evaluator(api, JUDGE, model_config={**config, "other": {}, "response_format": None})
    unknown = await new_evaluator(
        api, JUDGE, model_config={"provider": "mock", "model": "mock", "prompt_template": "{{ misspelt }}"}
    )
    started = await new_evaluation(api, [failing, talking, unknown], NAMES[:1])
    await until_completed(api, started["id"])
    [record] = await snapshots(api, started["id"])
    errors = {result["evaluator_id"]: result for result in record["evaluation_results"]}
    assert "failed after 0 chunks" in errors[failing]["error"]
    assert errors[failing]["evaluator_log"]["error"] == errors[failing]["error"]
    assert "is not true or false" in errors[talking]["error"]
    assert errors[unknown]["error"] == "Missing input variables: misspelt"
    assert errors[unknown]["evaluator_log"] is None


async def test_the_template_of_an_evaluator_reads_the_log_and_the_datapoint(api: Api) -> None:
    names = ("log.output", "testcase.target.output", "log.inputs", "log_output", "testcase.inputs.none", "log_prompt")
    template = "|".join(f"{{{{ {name} }}}}" for name in names)
    config = {**JUDGE["model_config"], "prompt_template": template}
    jinja = {**config, "template_language": "jinja"}
    jinja["prompt_template"] = "{% if testcase.target %}{{ testcase.target.output }}{% endif %}|{{ log.output }}"
    own = await new_evaluator(api, JUDGE, model_config=config, arguments_type="target_required")
    other = await new_evaluator(api, JUDGE, model_config=jinja, arguments_type="target_required")
    started = await new_evaluation(api, [own, other], NAMES[:1])
    await until_completed(api, started["id"])
    [record] = await snapshots(api, started["id"])
    prompts = {
        result["evaluator_id"]: result["evaluator_log"]["provider_request"]["prompt"]
        for result in record["evaluation_results"]
    }
    output = record["log"]["output"]
    assert prompts[own] == f'{output}|Hello Ada|{{"name":"Ada"}}|{output}||Greet Ada'
    assert prompts[other] == f"Hello Ada|{output}"


async def test_a_chat_configuration_gets_the_messages_of_the_datapoints(api: Api) -> None:
    project_id = (await created(api, "/projects", {"name": "chats"}))["id"]
    dataset_id = await new_dataset(api, project_id, [])
    question = {"role": "user", "content": "Who?"}
    await api.post(f"/datasets/{dataset_id}/datapoints", {"inputs": {"name": "Ada"}, "messages": [question]})
    template = [{"role": "system", "content": "Greet {{ name }}"}]
    config_id = await new_config(api, project_id, endpoint="chat", prompt_template=None, chat_template=template)
    body = {"config_id": config_id, "dataset_id": dataset_id, "evaluator_ids": []}
    started = await created(api, f"/projects/{project_id}/evaluations", body)
    await until_completed(api, started["id"])
    [record] = await snapshots(api, started["id"])
    messages = [(message["role"], message["content"]) for message in record["log"]["messages"]]
    assert messages == [("system", "Greet Ada"), ("user", "Who?")]


async def test_an_evaluation_that_is_cancelled_stops_and_continues(api: Api) -> None:
    slow = {"tokens": 1, "start_delay": 0.3}
    project_id = (await created(api, "/projects", {"name": "greeter"}))["id"]
    config_id = await new_config(api, project_id, other=slow)
    body = {
        "config_id": config_id,
        "dataset_id": await new_dataset(api, project_id, [str(number) for number in range(30)]),
        "evaluator_ids": [],
    }
    started = await created(api, f"/projects/{project_id}/evaluations", body)
    await api.call("PATCH", f"/evaluations/{started['id']}/status", {"status": "cancelled"})
    running = "SELECT 1 FROM evaluation_datapoints WHERE status = 'running'"
    await until_rows(api, running, 0)  # generations that had begun end
    stopped = (await evaluation(api, started["id"]))["progress"]["logs"]
    await asyncio.sleep(0.5)
    found = await evaluation(api, started["id"])
    assert (found["status"], found["progress"]["logs"]) == ("cancelled", stopped)
    assert stopped < 30
    await api.call("PATCH", f"/evaluations/{started['id']}/status", {"status": "running"})
    assert (await until_completed(api, started["id"]))["progress"]["logs"] == 30


async def test_active_evaluators_run_on_the_new_logs_of_a_project(api: Api) -> None:
    judge = await new_evaluator(api, JUDGE)
    score = {"schema": {"const": 4.5}}
    numbers = {**JUDGE["model_config"], "response_format": {"type": "json_schema", "json_schema": score}}
    scorer = await new_evaluator(api, JUDGE, return_type="number", model_config=numbers)
    project_id = (await created(api, "/projects", {"name": "greeter"}))["id"]
    status, project = await api.call("PATCH", f"/projects/{project_id}", {"active_evaluator_ids": [judge, scorer]})
    assert (status, {evaluator["id"] for evaluator in project["active_evaluators"]}) == (200, {judge, scorer})
    generated = (await created(api, "/completion", COMPLETION, 200))["data"][0]["id"]
    log = {"project": "greeter", "config_id": api.logs()[0]["config_id"], "reference_id": "mine"}
    sent = (await created(api, "/logs", {**log, "output": "Hello"}, 200))["id"]
    late = (await created(api, "/logs", {**log, "reference_id": "late"}, 200))["id"]
    await created(api, "/logs", {**log, "reference_id": "of a datapoint", "source_datapoint_id": "evtc_1"}, 200)
    await api.call("PATCH", f"/logs/{late}", {"output": "Hello again"})
    await api.call("PATCH", f"/logs/{late}", {"output": "Hello again and again"})

    async def results() -> dict[str, list[Any]]:
        query = {"project_id": project_id, "size": 100}
        status, page = await api.call("GET", "/logs", query=query)
        assert status == 200
        return {
            record["id"]: sorted(result["value"] for result in record["evaluation_results"])
            for record in page["records"]
        }

    await until_rows(api, "SELECT 1 FROM evaluation_results WHERE status = 'complete'", 6)
    assert {log_id: values for log_id, values in (await results()).items() if values} == {
        log_id: [True, 4.5] for log_id in (generated, sent, late)
    }

    async def found(evaluator_id: str, value: str) -> set[str]:
        query = {"project_id": project_id, f"evaluator-{evaluator_id}_filter": value}
        status, page = await api.call("GET", "/logs", query=query)
        assert (status, page["total"]) == (200, len(page["records"]))
        return {record["id"] for record in page["records"]}

    assert await found(judge, "true") == await found(scorer, "4.5") == {generated, sent, late}
    assert await found(judge, "false") == await found(scorer, "4") == set()
    status, configs = await api.call("GET", f"/projects/{project_id}/configs", query={"evaluation_aggregates": "true"})
    means = {mean["evaluator_id"]: mean["aggregate_value"] for mean in configs[0]["evaluation_aggregates"]}
    assert means == {judge: 1.0, scorer: 4.5}
    await api.call("PATCH", f"/projects/{project_id}", {"active_evaluator_ids": []})
    more = (await created(api, "/logs", {**log, "reference_id": "more", "output": "Hello"}, 200))["id"]
    await asyncio.sleep(0.3)
    assert (await results())[more] == []
    await api.call("DELETE", "/logs", query=[("id", sent)])
    assert sent not in await results()


async def test_evaluators_that_cannot_run_on_new_logs_are_not_activated(api: Api) -> None:
    judge, similar = await new_evaluator(api, JUDGE), await new_evaluator(api, EXTERNAL)
    targeted = await new_evaluator(api, JUDGE, arguments_type="target_required")
    started = await new_evaluation(api, [judge], NAMES[:1])
    await until_completed(api, started["id"])
    project_id = started["dataset"]["project_id"]
    _, evaluator = await api.call("GET", f"/evaluators/{judge}")
    for project, evaluator_id, message in [
        (project_id, similar, "'external'"),
        (project_id, targeted, "requires the target"),
        (evaluator["logging_project"]["id"], judge, "contains the logs of an evaluator"),
    ]:
        status, error = await api.call("PATCH", f"/projects/{project}", {"active_evaluator_ids": [evaluator_id]})
        assert status == 422
        assert message in error["detail"][0]["msg"]
    status, _ = await api.call("PATCH", f"/projects/{project_id}", {"active_evaluator_ids": ["evfn_none"]})
    assert status == 404


async def test_deleting_a_project_deletes_its_evaluations_and_their_results(api: Api) -> None:
    judge = await new_evaluator(api, JUDGE)
    started = await new_evaluation(api, [judge], NAMES)
    await until_completed(api, started["id"])
    assert (await api.call("DELETE", f"/projects/{started['dataset']['project_id']}"))[0] == 204
    assert (await api.call("GET", f"/evaluations/{started['id']}"))[0] == 404
    for table in ("evaluations", "evaluation_evaluators", "evaluation_datapoints", "evaluation_results"):
        assert api.rows(f"SELECT * FROM {table}") == []  # noqa: S608 - one of these
    assert (await api.call("DELETE", f"/evaluators/{judge}"))[0] == 204
    assert api.rows("SELECT * FROM evaluators") == []


async def test_an_evaluation_of_no_datapoints_is_completed_at_once(api: Api) -> None:
    started = await new_evaluation(api, [await new_evaluator(api, JUDGE)], [])
    assert started["status"] == "completed"
    assert await snapshots(api, started["id"]) == []


async def test_pages_of_datapoints_start_at_1(api: Api) -> None:
    started = await new_evaluation(api, [], NAMES, hl_generated=False)
    found = [
        [record["datapoint"]["inputs"]["name"] for record in await snapshots(api, started["id"], size=2, page=page)]
        for page in (1, 2, 3)
    ]
    assert found == [NAMES[:2], NAMES[2:], []]
    assert (await api.call("GET", f"/evaluations/{started['id']}/datapoints", query={"page": 0}))[0] == 422
