"""Answers that are not streamed: their shape, and what they echo."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.server.served import CHAT, COMPLETION, Api, with_config

TOOL = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}


async def test_a_completion_has_every_documented_key(api: Api) -> None:
    status, body = await api.post(
        "/completion",
        {**COMPLETION, "num_samples": 2, "user": "u1", "metadata": {"a": [1]}, "session_reference_id": "s"},
    )
    assert status == 200
    assert body.keys() == {
        *("data", "provider_responses", "project_id", "num_samples", "logprobs", "suffix", "user", "usage"),
        *("metadata", "provider_request", "session_id"),
    }
    assert body["project_id"].startswith("pr_")
    assert len(body["project_id"]) == len("pr_") + 21
    assert (body["num_samples"], body["user"], body["metadata"]) == (2, "u1", {"a": [1]})
    assert body["session_id"].startswith("sesh_")
    assert body["provider_request"]["prompt"] == "Greet Ada"
    assert body["usage"]["generation_tokens"] == 10
    assert [sample["index"] for sample in body["data"]] == [0, 1]
    for sample in body["data"]:
        assert sample.keys() == {
            *("id", "index", "output", "raw_output", "inputs", "finish_reason", "model_config_id", "tool_results"),
        }
        assert sample["id"].startswith("data_")
        assert sample["model_config_id"].startswith("config_")
        assert sample["finish_reason"] == "length"
        assert sample["inputs"] == {"name": "Ada"}


async def test_a_chat_has_every_documented_key(api: Api) -> None:
    call = with_config(CHAT, chat_template=[{"role": "system", "content": "Be {{ mood }}."}])
    status, body = await api.post("/chat", {**call, "inputs": {"mood": "kind"}, "return_inputs": False})
    assert status == 200
    assert body.keys() == {
        *("data", "provider_responses", "project_id", "num_samples", "logprobs", "suffix", "user", "usage"),
        *("metadata", "provider_request", "session_id", "tool_choice", "tool_call"),
    }
    [sample] = body["data"]
    assert sample.keys() == {
        *("id", "index", "output", "raw_output", "inputs", "finish_reason", "model_config_id", "tool_results"),
        *("messages", "tool_call", "tool_calls", "output_message"),
    }
    assert sample["inputs"] == {}
    assert [(message["role"], message["content"]) for message in sample["messages"]] == [
        ("system", "Be kind."),
        ("user", "Hello"),
    ]
    assert sample["output_message"]["role"] == "assistant"
    assert sample["output_message"]["content"] == sample["raw_output"]
    assert body["session_id"] is None


async def test_tool_calls_come_in_all_three_places(api: Api) -> None:
    call = {**with_config(CHAT, tools=[TOOL]), "tool_call": {"name": "weather"}}
    status, body = await api.post("/chat", call)
    assert status == 200
    [sample] = body["data"]
    [tool_call] = sample["tool_calls"]
    assert tool_call["type"] == "function"
    assert tool_call["function"]["name"] == "weather"
    json.loads(tool_call["function"]["arguments"])
    assert sample["finish_reason"] == "tool_call"
    assert sample["output"] == ""
    assert sample["tool_call"] == tool_call["function"]
    assert sample["output_message"]["content"] is None
    assert sample["output_message"]["tool_calls"] == [tool_call]
    assert (body["tool_call"], body["tool_choice"]) == ({"name": "weather"}, None)
    [log] = api.logs()
    assert json.loads(log["tool_choice"]) == {"type": "function", "function": {"name": "weather"}}
    assert json.loads(log["output_message"])["tool_calls"] == [tool_call]


async def test_a_null_field_is_an_absent_one(api: Api) -> None:
    nulls = {"session_id": None, "inputs": None, "num_samples": None, "save": None, "tool_choice": None, "user": None}
    call = {**CHAT, **nulls, "model_config": {**CHAT["model_config"], "temperature": None, "stop": None}}
    assert (await api.post("/chat", call))[0] == 200


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
async def test_a_log_holds_what_was_asked_and_answered(api: Api, stream: bool) -> None:
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
async def test_save_false_stores_no_content_and_answers_all_of_it(api: Api, stream: bool) -> None:
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


async def test_provider_keys_of_a_request_are_neither_stored_nor_answered(api: Api) -> None:
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


async def test_output_is_stripped_and_raw_output_is_not(api: Api) -> None:
    _, body = await api.post("/chat", CHAT)
    second_word = body["data"][0]["output"].split()[1]
    _, body = await api.post("/chat", with_config(CHAT, stop=second_word))
    [sample] = body["data"]
    assert sample["raw_output"] == sample["output"] + " "
    assert sample["output_message"]["content"] == sample["raw_output"]
    log = api.logs()[-1]
    assert (log["output"], log["raw_output"]) == (sample["output"], sample["raw_output"])
