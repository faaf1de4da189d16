"""Responses that are not streamed: their shape, and the fields that repeat the request."""

from __future__ import annotations

import json

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


async def test_null_fields_are_treated_as_absent(api: Api) -> None:
    nulls = {"session_id": None, "inputs": None, "num_samples": None, "save": None, "tool_choice": None, "user": None}
    call = {**CHAT, **nulls, "model_config": {**CHAT["model_config"], "temperature": None, "stop": None}}
    assert (await api.post("/chat", call))[0] == 200


async def test_output_is_stripped_and_raw_output_is_not(api: Api) -> None:
    _, body = await api.post("/chat", CHAT)
    second_word = body["data"][0]["output"].split()[1]
    _, body = await api.post("/chat", with_config(CHAT, stop=second_word))
    [sample] = body["data"]
    assert sample["raw_output"] == sample["output"] + " "
    assert sample["output_message"]["content"] == sample["raw_output"]
    log = api.logs()[-1]
    assert (log["output"], log["raw_output"]) == (sample["output"], sample["raw_output"])
