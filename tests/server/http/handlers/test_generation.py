"""Generation calls: rejected ones, errors of providers, and a second attempt under the same ``Idempotency-Key``."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from humanloop_async import ApiException, AsyncHumanloop
from humanloop_async.server import EmbeddedServer
from humanloop_async.server.providers.settings import CompatibleServer, ProviderSettings
from humanloop_async.testing import ScriptedServer
from tests.server.served import CHAT, COMPLETION, Api, error_message, with_config

ANSWER = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}


async def test_deleting_a_failed_attempt_keeps_the_stored_response_of_the_next(tmp_path: Path) -> None:
    async with ScriptedServer() as upstream:
        upstream.add_response({"error": {"message": "out of luck"}}, "503 Service Unavailable")
        upstream.add_response(ANSWER)
        providers = ProviderSettings(
            compatible={"up": CompatibleServer(base_url=f"{upstream.url}/v1")},
            max_retries=0,
        )
        async with (
            EmbeddedServer(database=tmp_path / "v4.db", providers=providers) as server,
            AsyncHumanloop(server.api_key, base_url=server.base_url, max_retries=0) as client,
        ):
            messages = [{"role": "user", "content": "Hi"}]
            config = {"provider": "up", "model": "m"}
            call = partial(client.chat, project="p", model_config=config, messages=messages, idempotency_key="once")
            with pytest.raises(ApiException, match="out of luck"):
                await call()
            answer = await call()
            assert answer.project_id is not None
            logs = {log.id: log async for log in client.logs.list(answer.project_id)}
            (failed,) = logs.keys() - {answer.data[0].id}
            assert "out of luck" in (logs[failed].error or "")
            await client.logs.delete(failed)
            assert (await call()).data[0].id == answer.data[0].id
            await client.logs.delete(answer.data[0].id)
            with pytest.raises(ApiException) as withdrawn:
                await call()
            assert withdrawn.value.status == 404
        assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    ("path", "body", "loc", "kind"),
    [
        ("/chat", {"messages": []}, ["body", "model_config"], "value_error.missing"),
        ("/chat", {"model_config": CHAT["model_config"]}, ["body", "messages"], "value_error.missing"),
        ("/chat", {**CHAT, "num_samples": "two"}, ["body", "num_samples"], "type_error"),
        ("/chat", {**CHAT, "num_samples": 0}, ["body", "num_samples"], "type_error"),
        ("/chat", {**CHAT, "num_samples": 129}, ["body", "num_samples"], "value_error"),
        ("/chat", {**CHAT, "surprise": 1}, ["body", "surprise"], "value_error.extra"),
        ("/chat", {**CHAT, "project": "x" * 256}, ["body", "project"], "value_error"),
        ("/chat", {**CHAT, "project": ""}, ["body", "project"], "value_error"),
        ("/chat", {**CHAT, "messages": [{"role": "robot"}]}, ["body", "messages", 0, "role"], "type_error"),
        ("/chat", {**CHAT, "tool_call": "sometimes"}, ["body", "tool_call"], "value_error"),
        ("/chat", with_config(CHAT, surprise=1), ["body", "model_config", "surprise"], "value_error.extra"),
        ("/chat", with_config(CHAT, temperature="hot"), ["body", "model_config", "temperature"], "type_error"),
        (
            "/completion",
            with_config(COMPLETION, prompt_template=None),
            ["body", "model_config", "prompt_template"],
            "value_error.missing",
        ),
        (
            "/completion",
            with_config(COMPLETION, prompt_template="x" * (256 * 1024 + 1)),
            ["body", "model_config", "prompt_template"],
            "value_error",
        ),
        (
            "/chat",
            with_config(CHAT, chat_template=[{"role": "system", "content": "x" * 200_000}] * 2),
            ["body", "model_config", "chat_template"],
            "value_error",
        ),
        ("/chat-model-config", {"messages": []}, ["body", "model_config_id"], "value_error.missing"),
    ],
)
async def test_a_field_that_does_not_fit_is_named(
    api: Api, path: str, body: dict[str, Any], loc: list[str | int], kind: str
) -> None:
    status, answer = await api.post(path, body)
    assert status == 422
    [issue] = answer["detail"]
    assert issue.keys() == {"loc", "msg", "type"}
    assert (issue["loc"], issue["type"]) == (loc, kind)
    assert api.logs() == []


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/completion", {**COMPLETION, "inputs": {}}, "Missing input variables: name"),
        (
            "/chat",
            with_config(CHAT, chat_template=[{"role": "system", "content": "{{ b }} {{a}} {{ b}}"}]),
            "Missing input variables: a, b",
        ),
        ("/chat", with_config(CHAT, provider="nobody"), "unknown provider 'nobody'"),
        ("/chat", with_config(CHAT, tools=[{"id": "oc_1", "source": "organization"}]), "tool 'oc_1' is incomplete"),
        (
            "/chat",
            with_config(CHAT, tools=[{"id": "oc_1", "name": "search", "source": "organization"}]),
            "tool 'oc_1' is incomplete",
        ),
        ("/chat", with_config(CHAT, endpoint="edit"), "'edit' is not supported"),
        ("/chat", with_config(CHAT, endpoint="complete"), "the model config's endpoint is 'complete'"),
        ("/completion", with_config(COMPLETION, endpoint="chat"), "the model config's endpoint is 'chat'"),
        ("/chat", {**CHAT, "tool_call": "auto", "tool_choice": "none"}, "differs from it"),
        ("/chat", {**CHAT, "session_id": "sesh_x", "session_reference_id": "y"}, "exclude each other"),
        ("/chat", {**CHAT, "parent_id": "data_x", "parent_reference_id": "y"}, "exclude each other"),
        (
            "/completion",
            with_config({**COMPLETION, "inputs": {"name": "x" * 100_000}}, prompt_template="{{name}}" * 1000),
            "the filled template has more than 4194304 characters",
        ),
    ],
)
async def test_an_impossible_call_is_rejected_and_leaves_nothing(
    api: Api, path: str, body: dict[str, Any], message: str
) -> None:
    status, answer = await api.post(path, body)
    assert status == 422
    assert message in error_message(answer, 422)
    for table in ("logs", "projects", "model_configs", "sessions"):
        assert api.rows(f"SELECT * FROM {table}") == []  # noqa: S608 - names from the line above


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat", {**CHAT, "project": None, "project_id": "pr_unknown"}),
        ("/chat", {**CHAT, "session_id": "sesh_unknown"}),
        ("/chat", {**CHAT, "parent_id": "data_unknown"}),
        ("/chat", {**CHAT, "parent_reference_id": "unknown"}),
        ("/chat-model-config", {"messages": [], "model_config_id": "config_unknown"}),
    ],
)
async def test_a_404_names_the_unknown_id(api: Api, path: str, body: dict[str, Any]) -> None:
    status, answer = await api.post(path, body)
    assert status == 404
    assert "unknown" in error_message(answer, 404)


async def test_a_missing_provider_key_is_a_401_of_the_provider_and_is_logged(api: Api) -> None:
    status, answer = await api.post("/chat", with_config(CHAT, provider="openai"))
    assert status == 401
    message = error_message(answer, 401, origin="OpenAI")
    [log] = api.logs()
    assert log["status"] == "error"
    assert message in log["error"]
    assert json.loads(log["messages"])[0]["content"] == "Hello"


@pytest.mark.parametrize(
    "content_type", [None, "application/octet-stream", "application/x-www-form-urlencoded", "a/b;;"]
)
@pytest.mark.parametrize("accept", ["application/json", "image/png", "nonsense"])
async def test_accept_and_content_type_are_ignored(api: Api, content_type: str | None, accept: str) -> None:
    headers = {"Accept": accept} | ({"Content-Type": content_type} if content_type else {})
    for stream in (False, True):
        body = json.dumps({**CHAT, "stream": stream}).encode()
        async with api.session.post(api.server.base_url + "/chat", data=body, headers=headers) as response:
            assert response.status == 200
            expected = "text/event-stream" if stream else "application/json"
            assert response.headers["Content-Type"] == expected
