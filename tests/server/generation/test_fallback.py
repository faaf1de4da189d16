"""A config can name another one that is used while its provider fails; responses and logs show which one it was."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from humanloop_async.server.providers.settings import ProviderSettings
from tests.server.served import CHAT, COMPLETION, Api, error_message, on_both_databases, with_config

pytestmark = on_both_databases
MESSAGES = CHAT["messages"]


async def stored(api: Api, call: dict[str, Any] = CHAT, **config: Any) -> str:
    """Store a config and return its id."""
    endpoint = "chat" if "messages" in call else "complete"
    body = with_config(call, endpoint=endpoint, **config)["model_config"]
    status, response = await api.post("/model-configs", {"project": "greeter", **body})
    assert status in (200, 201), response
    config_id: str = response["config"]["id"]
    return config_id


async def failing(api: Api, fallback: object, call: dict[str, Any] = CHAT, **other: Any) -> dict[str, Any]:
    """Return a call for a config that fails, and names a fallback."""
    other = {"fail_after": 0, "status": 503, **other, "fallback_config_id": fallback}
    config_id = await stored(api, call, model="primary", other=other)
    rest = {name: value for name, value in call.items() if name not in ("model_config", "project")}
    return {**rest, "project": "greeter", "model_config_id": config_id}


def path(call: dict[str, Any]) -> str:
    return "/chat-model-config" if "messages" in call else "/completion-model-config"


@pytest.mark.parametrize("status", [404, 429, 503])
async def test_the_fallback_responds_and_is_in_the_log(api: Api, status: int) -> None:
    template = [{"role": "system", "content": "Say {{word}}"}]
    fallback = await stored(api, model="second", chat_template=template, max_tokens=7)
    call = {**await failing(api, fallback, status=status), "inputs": {"word": "hi"}}
    code, body = await api.post(path(call), call)
    assert code == 200
    [sample] = body["data"]
    assert sample["model_config_id"] == fallback
    assert [message["content"] for message in sample["messages"]] == ["Say hi", "Hello"]
    assert body["provider_request"]["model"] == "second"
    assert "fallback_config_id" not in body["provider_request"]
    events = await api.stream(path(call), {**call, "num_samples": 2})
    assert {event["data"][0]["model_config_id"] for event in events} == {fallback}
    logs = (await api.call("GET", "/logs", query={"project_id": body["project_id"]}))[1]["records"]
    assert len(logs) == 3
    for log in logs:
        assert (log["config"]["id"], log["observability_status"]) == (fallback, "completed")
        assert log["messages"] == sample["messages"]
        assert log["output"]
        assert log["provider_request"]["model"] == "second"


async def test_completions_fall_back_too(api: Api) -> None:
    fallback = await stored(api, COMPLETION, model="second", prompt_template="Say {{ name }}")
    call = await failing(api, fallback, COMPLETION)
    assert (await api.post(path(call), call))[1]["data"][0]["model_config_id"] == fallback
    [event, *_] = await api.stream(path(call), call)
    assert event["provider_request"]["prompt"] == "Say Ada"


async def test_without_saving_the_log_shows_only_the_config(api: Api) -> None:
    fallback = await stored(api, model="second")
    call = {**await failing(api, fallback), "save": False}
    assert (await api.post(path(call), call))[0] == 200
    [log] = api.logs()
    assert (log["config_id"], log["messages"], log["provider_request"], log["tools"]) == (fallback, None, None, None)


@pytest.mark.parametrize("status", [401, 422])
async def test_an_error_that_the_caller_can_correct_is_reported(api: Api, status: int) -> None:
    call = await failing(api, await stored(api, model="second"), status=status)
    assert (await api.post(path(call), call))[0] == status
    assert api.logs()[0]["config_id"] == call["model_config_id"]


async def test_a_stream_that_has_begun_does_not_fall_back(api: Api) -> None:
    call = await failing(api, await stored(api, model="second"), fail_after=2)
    *chunks, last = await api.stream(path(call), call)
    assert {chunk["data"][0]["model_config_id"] for chunk in chunks} == {call["model_config_id"]}
    assert "failed after 2 chunks" in last["detail"]["message"]
    assert [(log["config_id"], log["status"]) for log in api.logs()] == [(call["model_config_id"], "error")]


async def test_a_fallback_that_fails_reports_its_error(api: Api) -> None:
    """The fallback of a fallback has no effect."""
    third = await stored(api, model="third")
    other = {"fail_after": 0, "status": 429, "fallback_config_id": third}
    fallback = await stored(api, model="second", other=other)
    call = await failing(api, fallback)
    assert (await api.post(path(call), call))[0] == 429
    assert (await api.post(path(call), {**call, "stream": True}))[0] == 429
    assert [(log["config_id"], log["status"]) for log in api.logs()] == [(fallback, "error")] * 2


@pytest.mark.parametrize(
    ("fallback", "message"),
    [
        ("config_missing", "fallback_config_id 'config_missing': there is no model config 'config_missing'"),
        (7, "must be the id of a model config"),
        ("completion", "the model config's endpoint is 'complete'; this route needs 'chat'"),
        ("unknown provider", "fallback_config_id 'config_"),
    ],
)
async def test_a_mistake_in_the_fallback_is_reported_before_it_is_needed(
    api: Api, fallback: object, message: str
) -> None:
    if fallback == "completion":
        fallback = await stored(api, COMPLETION)
    elif fallback == "unknown provider":
        fallback = await stored(api, provider="nowhere")
    call = await failing(api, fallback, fail_after=None)
    status, body = await api.post(path(call), call)
    assert status == 422
    assert message in (error_message(body, 422) if isinstance(body["detail"], dict) else body["detail"][0]["msg"])
    assert api.logs() == []


async def test_a_trial_whose_config_fell_back_has_no_log(api: Api) -> None:
    """Its feedback would count for the config that failed."""
    fallback = await stored(api, model="second")
    call = await failing(api, fallback)
    [project] = (await api.call("GET", "/projects"))[1]["records"]
    experiment = {"name": "e", "positive_labels": [], "config_ids": [call.pop("model_config_id")], "set_active": False}
    _, created = await api.post(f"/projects/{project['id']}/experiments", experiment)
    status, body = await api.post("/chat-experiment", {**call, "experiment_id": created["id"]})
    assert status == 200, body
    [log] = api.logs()
    assert (log["config_id"], log["trial_id"]) == (fallback, None)


async def test_a_provider_that_is_unreachable_falls_back(start: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()
    url = f"http://{address[0]}:{address[1]}/v1"
    async with start(providers=ProviderSettings.from_environ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": url})) as api:
        fallback = await stored(api, model="second")
        primary = await stored(api, provider="openai", model="gpt", other={"fallback_config_id": fallback})
        call = {"project": "greeter", "messages": MESSAGES, "model_config_id": primary}
        [event, *_] = await api.stream("/chat-model-config", call)
        assert event["data"][0]["model_config_id"] == fallback
