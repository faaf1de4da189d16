"""Contents that the logs of a call share: stored once, shown by every reader, deleted with the last log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from humanloop_async.server.providers.settings import CompatibleServer, ProviderSettings
from humanloop_async.server.storage.database import Database
from humanloop_async.server.storage.log_contents import SHARED
from humanloop_async.server.storage.portions import delete_old_logs
from humanloop_async.server.storage.projects import delete_project
from humanloop_async.testing import ScriptedServer
from tests.server.exchange.imports import exported, imported
from tests.server.served import CHAT, COMPLETION, Api, on_both_databases, rows, with_config
from tests.server.storage.log_lists import found, listed, project_id

pytestmark = on_both_databases

SAMPLES = 3
PROMPT = "Liebe Grüße an ÄDA, " * 50
CALL: dict[str, Any] = {
    **CHAT,
    "messages": [{"role": "user", "content": PROMPT}],
    "inputs": {"name": "ÄDA", "quoted": 'say "hi"'},
    "metadata": {"team": "Ökonomie"},
    "user": "u1",
    "tool_choice": "none",
    "session_reference_id": "s",
    "num_samples": SAMPLES,
}


async def generated(api: Api, path: str = "/chat", **fields: Any) -> list[str]:
    """Generate samples and return the ids of their logs."""
    status, answer = await api.post(path, {**CALL, **fields})
    assert status == 200, answer
    return [sample["id"] for sample in answer["data"]]


def prompts(messages: Any) -> list[str]:
    return [message["content"] for message in messages]


def contents(api: Api) -> list[dict[str, Any]]:
    return api.rows("SELECT * FROM log_contents")


async def log(api: Api, id: str) -> dict[str, Any]:
    status, answer = await api.call("GET", f"/logs/{id}")
    assert status == 200, answer
    return dict(answer)


async def delete(api: Api, *ids: str) -> None:
    assert (await api.call("DELETE", "/logs", query=[("id", id) for id in ids]))[0] == 204


async def test_what_belongs_to_a_call_is_stored_once_and_shown_in_each_log(api: Api) -> None:
    plain, streamed = await generated(api), await api.stream("/chat", CALL)
    for row in api.logs():
        assert {name: row[name] for name in SHARED} == dict.fromkeys(SHARED)
    assert len({row["content_id"] for row in api.logs()}) == len(contents(api)) == 2
    for row in contents(api):
        for messages in json.loads(row["messages"]), json.loads(row["provider_request"])["messages"]:
            assert prompts(messages) == [PROMPT]
    (single,) = await generated(api, num_samples=1)
    for id in {*plain, single, *(event["data"][0]["id"] for event in streamed)}:
        shown = await log(api, id)
        for name in ("inputs", "metadata", "user", "tool_choice"):
            assert shown[name] == CALL[name]
        assert prompts(shown["messages"]) == prompts(shown["provider_request"]["messages"]) == [PROMPT]
        assert shown["output_message"]["content"] == shown["raw_output"]
        assert shown in (await listed(api))["records"]


async def test_a_single_sample_has_all_contents_in_its_row(api: Api) -> None:
    """So that it costs no more, and a server of version 0.1 shows it while servers are replaced one by one."""
    (id,) = await generated(api, num_samples=1)
    await api.post("/logs", {"project": "greeter", "config": {"model": "m"}, "inputs": {"a": "b"}})
    assert contents(api) == []
    row, submitted = api.logs()
    assert (row["id"], row["content_id"], prompts(json.loads(row["messages"]))) == (id, None, [PROMPT])
    assert (submitted["content_id"], json.loads(submitted["inputs"])) == (None, {"a": "b"})


async def test_searches_find_shared_contents(api: Api) -> None:
    other = (await log(api, (await generated(api, inputs={"name": "Bob"}, metadata={"team": "x"}))[0]))["output"]
    outputs = {(await log(api, id))["output"] for id in await generated(api)}
    assert len(await found(api)) == 2 * SAMPLES
    for text in ("äda", "ÄDA", 'Say "HI"'):
        assert {*await found(api, ("search", text))} == outputs, text
    assert await found(api, ("metadata_search", "ÖKONOMIE")) == await found(api, ("search", "äda"))
    assert await found(api, ("search", "%")) == await found(api, ("metadata_search", "bob")) == []
    assert other in await found(api, ("search", "bob"))


async def test_sessions_and_datapoints_have_shared_contents(api: Api) -> None:
    ids = await generated(api)
    assert (await api.call("GET", f"/sessions/{(await log(api, ids[0]))['session_id']}"))[1]["first_inputs"] == CALL[
        "inputs"
    ]
    dataset = {"name": "d", "description": ""}
    _, made = await api.post(f"/projects/{await project_id(api)}/datasets", dataset)
    status, added = await api.post(f"/datasets/{made['id']}/datapoints", {"log_ids": ids})
    assert status == 201, added
    points = [(point["inputs"], prompts(point["messages"])) for point in added]
    assert points == [(CALL["inputs"], [PROMPT])] * SAMPLES


async def test_a_changed_log_leaves_the_others(api: Api) -> None:
    first, second, _ = await generated(api)
    before = await log(api, second)
    assert (await api.call("PATCH", f"/logs/{first}", {"output": "new", "error": "bad"}))[0] == 200
    changed = await log(api, first)
    assert (changed["output"], changed["error"], prompts(changed["messages"])) == ("new", "bad", [PROMPT])
    assert await log(api, second) == before


async def test_without_saving_the_shared_contents_are_empty(api: Api) -> None:
    ids = await generated(api, save=False)
    ((row,),) = [contents(api)]
    assert (row["inputs"], row["inputs_folded"], row["messages"], row["provider_request"]) == (None,) * 4
    assert PROMPT[:5] not in str(row)
    assert json.loads(row["metadata"]) == (await log(api, ids[0]))["metadata"] == CALL["metadata"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_fallback_changes_the_shared_contents_once(api: Api, stream: bool) -> None:
    fallback = {"project": "greeter", **COMPLETION["model_config"], "endpoint": "complete", "model": "second"}
    _, made = await api.post("/model-configs", {**fallback, "prompt_template": "Say {{ name }}"})
    other = {"fail_after": 0, "fallback_config_id": made["config"]["id"]}
    call = {**with_config(COMPLETION, model="first", other=other), "num_samples": SAMPLES}
    if stream:
        await api.stream("/completion", call)
    else:
        assert (await api.post("/completion", call))[0] == 200
    (row,) = contents(api)
    assert json.loads(row["provider_request"])["prompt"] == "Say Ada"
    for record in api.logs():
        assert (record["provider_request"], record["config_id"]) == (None, made["config"]["id"])
        assert (await log(api, record["id"]))["provider_request"]["model"] == "second"


async def test_the_contents_go_with_the_last_log(api: Api) -> None:
    first, second, third = await generated(api)
    kept = await generated(api)
    await delete(api, first, second)
    assert len(contents(api)) == 2
    assert prompts((await log(api, third))["messages"]) == [PROMPT]
    await delete(api, third)
    assert [row["id"] for row in contents(api)] == [api.logs()[0]["content_id"]]
    assert prompts((await log(api, kept[0]))["messages"]) == [PROMPT]
    await delete(api, *kept)
    assert contents(api) == []


async def test_deletions_of_the_last_logs_at_the_same_time_leave_nothing(api: Api) -> None:
    for _ in range(10):
        ids = await generated(api, num_samples=8)
        await asyncio.gather(*(delete(api, id) for id in ids))
        assert api.logs() == contents(api) == []


async def test_the_contents_go_with_their_project(api: Api, database: Database) -> None:
    """Also those of logs that are deleted with the project's row, because they came during its deletion."""
    await generated(api)
    async with database.write() as connection:
        assert await delete_project(connection, await project_id(api))
    assert api.logs() == contents(api) == []


async def test_pruning_deletes_contents_also_those_that_an_older_server_left(api: Api, database: Database) -> None:
    await generated(api)
    (kept,) = {row["content_id"] for row in api.logs()}
    await generated(api, project="old")
    ids = [row["id"] for row in api.logs() if row["content_id"] != kept]
    for id in ids[1:]:
        api.rows("DELETE FROM logs WHERE id = ?", id)  # an older server does not know the contents
    project = await project_id(api, "old")
    assert await delete_old_logs(database, datetime.now(UTC) + timedelta(minutes=1), project) == 1
    assert [row["id"] for row in contents(api)] == [kept]
    api.rows("DELETE FROM logs")
    assert await delete_old_logs(database, datetime.now(UTC) - timedelta(days=1)) == 0
    assert contents(api) == []


@pytest.mark.parametrize(("max_n", "shared"), [(9, True), (2, False)])
async def test_a_response_of_the_provider_is_stored_once_for_its_samples(
    start: Callable[..., Any], max_n: int, shared: bool
) -> None:
    """With several requests for one call, each log has the response that its sample came in."""

    def response(*texts: str) -> bytes:
        choices = [{"text": text, "index": index, "finish_reason": "stop"} for index, text in enumerate(texts)]
        body = json.dumps({"choices": choices}).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    upstream = ScriptedServer()
    for texts in ["abc"] if shared else ["ab", "c"]:
        upstream.add_script(response(*texts))
    async with upstream:
        server = CompatibleServer(base_url=f"{upstream.url}/v1", completions=True, max_n=max_n)
        async with start(providers=ProviderSettings(compatible={"up": server})) as api:
            call = {**with_config(COMPLETION, provider="up", model="m"), "num_samples": SAMPLES}
            status, answer = await api.post("/completion", call)
            assert status == 200, answer
            for sample in answer["data"]:
                choices = (await log(api, sample["id"]))["provider_response"]["choices"]
                assert sample["output"] in [choice["text"] for choice in choices]
            (row,) = contents(api)
            assert (row["provider_response"] is not None) is shared
            assert {record["provider_response"] is None for record in api.logs()} == {shared}


async def test_an_import_of_our_export_shares_contents_unless_they_were_edited(
    api: Api, database_address: str, tmp_path: Path
) -> None:
    await generated(api)
    await exported(database_address, tmp_path / "export")
    (path,) = (tmp_path / "export").rglob("logs/1.jsonl")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [prompts(record["messages"]) for record in records] == [[PROMPT]] * SAMPLES
    edited = records[-1]["id"]
    records[-1]["inputs"] = {"name": "edited"}
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    copy = str(tmp_path / "copy.db")
    await imported(copy, tmp_path / "export")
    (content,) = rows(copy, "SELECT * FROM log_contents")
    assert json.loads(content["inputs"]) == CALL["inputs"]
    for row in rows(copy, "SELECT * FROM logs"):
        if row["id"] == edited:
            assert (row["content_id"], json.loads(row["inputs"])) == (None, {"name": "edited"})
        else:
            assert (row["content_id"], row["inputs"]) == (content["id"], None)
