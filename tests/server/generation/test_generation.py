"""The logs of a generation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.server.served import CHAT, COMPLETION, Api, with_config


async def test_without_a_project_a_call_is_served_and_nothing_is_logged(api: Api) -> None:
    status, body = await api.post("/chat", {**CHAT, "project": None})
    assert status == 200
    assert body["project_id"] is None
    [sample] = body["data"]
    assert sample["id"].startswith("data_")
    assert api.logs() == []
    again = {"messages": CHAT["messages"], "model_config_id": sample["model_config_id"]}
    status, body = await api.post("/chat-model-config", again)
    assert status == 200
    assert body["data"][0]["output"] == sample["output"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_log_contains_request_and_response(api: Api, stream: bool) -> None:
    call = {**COMPLETION, "user": "u1", "metadata": {"a": 1}, "source": "test", "source_datapoint_id": "evtc_1"}
    if stream:
        events = await api.stream("/completion", call)
        text, id_ = "".join(event["data"][0]["output"] for event in events), events[0]["data"][0]["id"]
    else:
        _, body = await api.post("/completion", call)
        text, id_ = body["data"][0]["raw_output"], body["data"][0]["id"]
    [log] = api.logs()
    assert (log["id"], log["status"], log["owner"], log["error"]) == (id_, "complete", None, None)
    assert (log["output"], log["raw_output"]) == (text, None)
    assert json.loads(log["inputs"]) == {"name": "Ada"}
    assert json.loads(log["provider_request"])["prompt"] == "Greet Ada"
    assert json.loads(log["metadata"]) == {"a": 1}
    assert (log["user"], log["source"], log["source_datapoint_id"]) == ("u1", "test", "evtc_1")
    assert (log["prompt_tokens"], log["output_tokens"]) == (2, 5)
    assert log["finish_reason"] == "length"
    assert 0 <= log["provider_latency"] < 10
    assert log["created_at"] <= log["updated_at"]


@pytest.mark.parametrize("stream", [False, True])
async def test_save_false_stores_no_content_but_returns_it(api: Api, stream: bool) -> None:
    secret = "unspeakable"
    call: dict[str, Any] = {**COMPLETION, "inputs": {"name": secret}, "save": False, "metadata": {"a": 1}}
    if stream:
        first, *_ = await api.stream("/completion", call)
        assert first["data"][0]["inputs"] == {"name": secret}
    else:
        _, body = await api.post("/completion", call)
        assert secret in body["provider_request"]["prompt"]
    [log] = api.logs()
    content = ("inputs", "messages", "output", "raw_output", "output_message", "provider_request", "provider_response")
    assert [log[name] for name in content] == [None] * len(content)
    assert (log["status"], log["save"], json.loads(log["metadata"])) == ("complete", 0, {"a": 1})
    assert not any(secret.encode() in file.read_bytes() for file in api.path.parent.glob("humanloop.db*"))


async def test_provider_keys_of_a_request_are_neither_stored_nor_returned(api: Api) -> None:
    call = {**CHAT, "provider_api_keys": {"mock": "sk-secret", "openai": "sk-secret"}}
    _, body = await api.post("/chat", call)
    events = await api.stream("/chat", call)
    assert "sk-secret" not in json.dumps([body, events])
    assert all("sk-secret" not in str(log) for log in api.logs())


async def test_a_provider_failure_keeps_its_status_and_is_logged(api: Api) -> None:
    for stream in (False, True):
        call = {**with_config(CHAT, other={"fail_after": 0, "status": 429, "retry_after": 1.2}), "stream": stream}
        async with api.session.post(api.server.base_url + "/chat", json=call) as response:
            assert response.status == 429
            assert response.headers["Retry-After"] == "2"
            detail = (await response.json())["detail"]
            assert (detail["type"], detail["origin"]) == ("rate_limit_error", "Mock")
    for log in api.logs():
        assert (log["status"], log["output"]) == ("error", "")
        assert detail["message"] in log["error"]
