"""Building a generation: the provider's call from the request and its configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.server.served import CHAT, Api, error_message, with_config


async def test_the_configs_seed_and_the_requests_format_take_precedence(api: Api) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    call = with_config(
        CHAT, seed=1, max_tokens=200, response_format={"type": "json_schema", "json_schema": {"schema": schema}}
    )
    _, by_config = await api.post("/chat", {**call, "seed": 2})
    _, by_request = await api.post("/chat", {**call, "response_format": {"type": "json_object"}})
    assert by_config["provider_request"]["seed"] == 1
    assert json.loads(by_config["data"][0]["output"]).keys() == {"x"}
    assert json.loads(by_request["data"][0]["output"]).keys() != {"x"}


async def test_inputs_fill_the_template_and_not_the_messages(api: Api) -> None:
    call = with_config(CHAT, chat_template=[{"role": "system", "content": "{{ a }}"}])
    messages = [{"role": "user", "content": "{{ a }} {{ b }}"}]
    status, body = await api.post("/chat", {**call, "messages": messages, "inputs": {"a": "A", "unused": 1}})
    assert status == 200
    assert [message["content"] for message in body["data"][0]["messages"]] == ["A", "{{ a }} {{ b }}"]


async def test_samples_of_a_large_call_have_a_limit(start: Callable[..., Any]) -> None:
    async with start(max_samples_bytes=10_000) as api:
        large = {"role": "user", "content": "x" * 6000}
        assert (await api.post("/chat", {**CHAT, "messages": [large]}))[0] == 200
        for call in (
            {**CHAT, "messages": [large]},
            {**CHAT, "inputs": {"a": "x" * 6000}},
            {**CHAT, "metadata": {"a": "x" * 6000}},
            with_config(CHAT, chat_template=[{"role": "user", "content": "x" * 6000}]),
        ):
            status, body = await api.post("/chat", {**call, "num_samples": 2})
            assert status == 422
            assert body["detail"][0]["loc"] == ["body", "num_samples"]
            assert "10000 bytes" in body["detail"][0]["msg"]


async def test_snippet_tools_fill_the_template_and_are_listed_everywhere(start: Callable[..., Any]) -> None:
    call = with_config(CHAT, chat_template=[{"role": "system", "content": "Open {{office-hours(day)}}."}])
    call = {**call, "inputs": {"day": "monday"}}
    expected = {
        "id": "tool_office-hours", "name": "office-hours", "signature": "office-hours(day)", "result": "9 to 5",
    }  # fmt: skip
    async with start(tools={"office-hours": {"monday": "9 to 5"}}) as api:
        status, body = await api.post("/chat", call)
        assert status == 200
        [sample] = body["data"]
        assert sample["messages"][0]["content"] == "Open 9 to 5."
        assert sample["tool_results"] == [expected]
        events = await api.stream("/chat", call)
        assert all(event["data"][0]["tool_results"] == [expected] for event in events)
        logs = (await api.call("GET", "/logs", query={"project_id": body["project_id"]}))[1]["records"]
        assert [log["tools"] for log in logs] == [[expected], [expected]]
        await api.post("/chat", {**call, "save": False})
        assert api.logs()[-1]["tools"] is None  # the text is content
        status, body = await api.post("/chat", {**call, "inputs": {"day": "sunday"}})
        assert status == 422
        assert "has no text for 'sunday'; its keys: monday" in error_message(body, 422)
        assert len(api.logs()) == 3


async def test_a_template_calls_no_tool_that_the_server_does_not_have(api: Api) -> None:
    status, body = await api.post(
        "/chat", with_config(CHAT, chat_template=[{"role": "system", "content": '{{t("k")}}'}])
    )
    assert status == 422
    assert "serve --tools" in error_message(body, 422)
