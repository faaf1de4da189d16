"""``/datasets`` and ``/datapoints``: versions, copies of logs, links between logs and datapoints."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.server.served import CHAT, COMPLETION, Api, error_message, on_both_databases, with_config

pytestmark = on_both_databases

FIRST: dict[str, Any] = {"inputs": {"name": "Ada"}, "target": {"output": "Hello", "score": 0.5, "tags": ["a", None]}}
SECOND: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}


async def new_project(api: Api, name: str = "greeter") -> str:
    status, project = await api.post("/projects", {"name": name})
    assert status == 201, project
    return str(project["id"])


async def new_dataset(api: Api, name: str = "greeter") -> dict[str, Any]:
    path = f"/projects/{await new_project(api, name)}/datasets"
    status, dataset = await api.post(path, {"name": "names", "description": "of people"})
    assert status == 201, dataset
    return dict(dataset)


async def add(api: Api, dataset: dict[str, Any], body: object) -> list[dict[str, Any]]:
    status, added = await api.post(f"/datasets/{dataset['id']}/datapoints", body)
    assert status == 201, added
    return list(added)


async def listed(api: Api, dataset: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    status, page = await api.call("GET", f"/datasets/{dataset['id']}/datapoints", query=query)
    assert status == 200, page
    assert page["total"] >= len(page["records"])
    return list(page["records"])


async def generated(api: Api, path: str, body: dict[str, Any]) -> list[str]:
    status, response = await api.post(path, body)
    assert status == 200, response
    return [sample["id"] for sample in response["data"]]


async def test_a_dataset_is_created_changed_listed_and_deleted(api: Api) -> None:
    dataset = await new_dataset(api)
    assert dataset["id"].startswith("evts_")
    assert (dataset["name"], dataset["description"]) == ("names", "of people")
    assert (dataset["datapoint_count"], dataset["version"]) == (0, 1)
    other = await new_dataset(api, "other")
    assert await api.call("GET", "/datasets") == (200, [other, dataset])
    assert await api.call("GET", f"/projects/{dataset['project_id']}/datasets") == (200, [dataset])
    status, changed = await api.call("PATCH", f"/datasets/{dataset['id']}", {"name": "new"})
    assert (status, changed["name"], changed["description"], changed["version"]) == (200, "new", "of people", 1)
    assert changed["updated_at"] > dataset["updated_at"]
    assert await api.call("GET", f"/datasets/{dataset['id']}") == (200, changed)
    [datapoint] = await add(api, dataset, FIRST)
    assert await api.call("DELETE", f"/datasets/{dataset['id']}") == (200, {})
    assert await api.call("GET", "/datasets") == (200, [other])
    assert (await api.call("GET", f"/datapoints/{datapoint['id']}"))[0] == 404


async def test_datapoints_are_added_one_by_one_and_many_at_once(api: Api) -> None:
    dataset = await new_dataset(api)
    [first] = await add(api, dataset, FIRST)
    assert first["id"].startswith("evtc_")
    assert first["dataset_id"] == dataset["id"]
    assert (first["inputs"], first["messages"], first["target"]) == (FIRST["inputs"], None, FIRST["target"])
    second, third, fourth = await add(api, dataset, [SECOND, {}, FIRST])
    assert second["messages"][0]["content"] == "Hi"
    assert await add(api, dataset, []) == []
    assert await listed(api, dataset) == [first, second, third, fourth]
    assert await listed(api, dataset, page=1, size=3) == [fourth]
    assert await listed(api, dataset, page=2, size=3) == []
    _, described = await api.call("GET", f"/datasets/{dataset['id']}")
    assert (described["datapoint_count"], described["version"]) == (4, 3)
    assert await api.call("GET", f"/datapoints/{second['id']}") == (200, second)


async def test_an_earlier_version_stays_as_it_was(api: Api) -> None:
    dataset = await new_dataset(api)
    before = await add(api, dataset, [FIRST, SECOND, FIRST])
    first, second, third = before
    status, changed = await api.call("PATCH", f"/datapoints/{first['id']}", {"inputs": {"name": "Bob"}})
    assert (status, changed["inputs"], changed["target"]) == (200, {"name": "Bob"}, FIRST["target"])
    assert changed["created_at"] == first["created_at"] < changed["updated_at"]
    assert (await api.call("DELETE", "/datapoints", [second["id"], "evtc_x"]))[0] == 204
    [added] = await add(api, dataset, SECOND)
    assert await listed(api, dataset) == [changed, third, added]
    assert await listed(api, dataset, version=1) == []
    assert await listed(api, dataset, version=2) == before
    assert await listed(api, dataset, version=3) == [changed, second, third]
    assert await listed(api, dataset, version=4) == [changed, third]
    assert (await api.call("GET", f"/datapoints/{second['id']}"))[0] == 404
    for version in (0, 6):
        path = f"/datasets/{dataset['id']}/datapoints"
        status, body = await api.call("GET", path, query={"version": version})
        assert "1 to 5" in error_message(body, status)


async def test_a_change_to_the_present_contents_creates_no_version(api: Api) -> None:
    dataset = await new_dataset(api)
    [first] = await add(api, dataset, FIRST)
    for body in (FIRST, {}, {"messages": None}, None):  # the official client 0.7 sends no body
        assert await api.call("PATCH", f"/datapoints/{first['id']}", body) == (200, first)
    await api.call("DELETE", "/datapoints", ["evtc_x"])
    _, described = await api.call("GET", f"/datasets/{dataset['id']}")
    assert described["version"] == 2


async def test_racing_changes_create_one_version_each(api: Api) -> None:
    dataset = await new_dataset(api)
    added = await asyncio.gather(*(add(api, dataset, [FIRST, SECOND]) for _ in range(5)))
    changes = ({"inputs": {"n": str(n)}} for n in range(5))
    await asyncio.gather(*(api.call("PATCH", f"/datapoints/{added[0][0]['id']}", body) for body in changes))
    await asyncio.gather(*(api.call("DELETE", "/datapoints", [pair[1]["id"] for pair in added]) for _ in range(3)))
    _, described = await api.call("GET", f"/datasets/{dataset['id']}")
    assert (described["version"], described["datapoint_count"]) == (1 + 5 + 5 + 1, 5)
    for version in range(1, 7):
        records = await listed(api, dataset, version=version)
        assert len(records) == len({record["id"] for record in records}) == 2 * (version - 1)


async def test_datapoints_from_logs_have_their_inputs_later_messages_and_output(api: Api) -> None:
    dataset = await new_dataset(api)
    template = [{"role": "system", "content": "Be {{ mood }}."}, {"role": "user", "content": "Please."}]
    [chat] = await generated(
        api, "/chat", with_config({**CHAT, "inputs": {"mood": "brief", "n": 1.5}}, chat_template=template)
    )
    [completion] = await generated(api, "/completion", COMPLETION)
    plain, template_only = await add(api, dataset, {"log_ids": [completion, chat]})
    assert plain["source_project_data_id"] == completion
    assert (plain["inputs"], plain["messages"]) == ({"name": "Ada"}, None)
    _, log = await api.call("GET", f"/logs/{completion}")
    assert plain["target"] == {"output": log["output"]}
    assert template_only["inputs"] == {"mood": "brief", "n": "1.5"}
    assert [message["content"] for message in template_only["messages"]] == ["Hello"]


async def test_messages_of_a_log_without_the_template_stay_whole(api: Api) -> None:
    dataset = await new_dataset(api)
    template = [{"role": "system", "content": "Be brief."}]
    config = {"model": "m", "endpoint": "chat", "chat_template": template}
    for messages in ([{"role": "system", "content": "Other"}], [{"role": "user", "content": "Be brief."}], []):
        _, log = await api.post("/logs", {"project": "greeter", "config": config, "messages": messages})
        [datapoint] = await add(api, dataset, {"log_ids": [log["id"]]})
        assert [message["content"] for message in datapoint["messages"]] == [m["content"] for m in messages]
        assert datapoint["target"] is None


async def test_a_log_and_its_datapoint_lead_to_each_other(api: Api) -> None:
    dataset = await new_dataset(api)
    [log_id] = await generated(api, "/completion", COMPLETION)
    [datapoint] = await add(api, dataset, {"log_ids": [log_id]})
    linked = {**COMPLETION, "source_datapoint_id": datapoint["id"]}
    [again] = await generated(api, "/completion", linked)
    _, stored = await api.post(
        "/logs", {"project": "greeter", "config": {"model": "m"}, "source_datapoint_id": datapoint["id"]}
    )
    query = {"project_id": dataset["project_id"], "source_datapoint_id": datapoint["id"]}
    _, page = await api.call("GET", "/logs", query=query)
    assert [record["id"] for record in page["records"]] == [stored["id"], again]
    assert page["total"] == 2
    assert {record["source_datapoint_id"] for record in page["records"]} == {datapoint["id"]}


async def test_invalid_datapoints_add_nothing(api: Api) -> None:
    dataset = await new_dataset(api)
    _, unsaved = await api.post("/logs", {"project": "greeter", "config": {"model": "m"}, "save": False})
    path = f"/datasets/{dataset['id']}/datapoints"
    status, body = await api.post(path, [FIRST, {"log_ids": ["data_x"]}])
    assert error_message(body, status).startswith("1: there is no log 'data_x'")
    assert status == 404
    status, body = await api.post(path, {"log_ids": [unsaved["id"]]})
    assert "save: false" in error_message(body, status)
    for wrong in (
        {"log_ids": ["a"], "inputs": {}},
        {"inputs": {"a": 1}},
        {"log_ids": "a"},
        {"log_ids": ["a"] * 10_001},
    ):
        status, body = await api.post(path, wrong)
        assert status == 422, wrong
        assert isinstance(body["detail"], list)
    assert await listed(api, dataset) == []


async def test_unknown_datasets_and_datapoints_are_404(api: Api) -> None:
    calls: list[tuple[str, str, Any]] = [
        ("GET", "/projects/pr_x/datasets", None),
        ("POST", "/projects/pr_x/datasets", {"name": "d", "description": ""}),
        ("GET", "/datasets/evts_x", None),
        ("PATCH", "/datasets/evts_x", {"name": "d"}),
        ("DELETE", "/datasets/evts_x", None),
        ("GET", "/datasets/evts_x/datapoints", None),
        ("POST", "/datasets/evts_x/datapoints", FIRST),
        ("GET", "/datapoints/evtc_x", None),
        ("PATCH", "/datapoints/evtc_x", FIRST),
    ]
    for method, path, body in calls:
        status, response = await api.call(method, path, body)
        assert status == 404, (method, path)
        assert "_x" in error_message(response, 404)


async def test_invalid_datasets_and_deletions_are_422(api: Api) -> None:
    dataset = await new_dataset(api)
    path = f"/projects/{dataset['project_id']}/datasets"
    for body in ({"name": "d"}, {"name": "d" * 256, "description": ""}, {"name": "d", "description": "d" * 256}):
        assert (await api.post(path, body))[0] == 422
    invalid: list[object] = [[], {}, [1], ["evtc_x"] * 10_001]
    for ids in invalid:
        assert (await api.call("DELETE", "/datapoints", ids))[0] == 422
    assert (await api.call("DELETE", "/datapoints"))[0] == 400  # the official client 0.7 sends no ids


async def test_deleting_a_project_deletes_its_datasets(api: Api) -> None:
    dataset = await new_dataset(api)
    await add(api, dataset, FIRST)
    assert (await api.call("DELETE", f"/projects/{dataset['project_id']}"))[0] == 204
    assert await api.call("GET", "/datasets") == (200, [])
    assert api.rows("SELECT id FROM datapoints") == []
