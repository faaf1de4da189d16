"""Stored configurations that requests refer to. `http/handlers` tests deployments and experiments."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.served import CHAT, COMPLETION, Api, with_config


@pytest.mark.parametrize(("path", "call"), [("/chat", CHAT), ("/completion", COMPLETION)])
async def test_the_config_of_a_response_works_on_the_model_config_route(
    api: Api, path: str, call: dict[str, Any]
) -> None:
    _, first = await api.post(path, with_config(call, seed=7, stop=["zzz"]))
    again = {name: value for name, value in call.items() if name != "model_config"}
    again["model_config_id"] = first["data"][0]["model_config_id"]
    status, second = await api.post(f"{path}-model-config", again)
    assert status == 200
    assert second["data"][0]["output"] == first["data"][0]["output"]
    assert second["provider_request"] == first["provider_request"]
    assert second["data"][0]["model_config_id"] == again["model_config_id"]
    other = "/completion-model-config" if path == "/chat" else "/chat-model-config"
    status, body = await api.post(
        other,
        {"model_config_id": again["model_config_id"], "messages": []}
        if path != "/chat"
        else {"model_config_id": again["model_config_id"]},
    )
    assert status == 422
    assert "endpoint" in body["detail"]["message"]


@pytest.mark.parametrize(
    "config",
    [
        {"type": "tool", "name": "search"},
        {"type": "generic", "other": {"model": "words"}},
        {"type": "agent", "agent_class": "plan", "model_config": {"model": "words"}},
    ],
)
async def test_configs_of_other_types_are_not_found_by_the_model_config_routes(
    api: Api, config: dict[str, Any]
) -> None:
    assert (await api.post("/logs", {"project": "greeter", "config": config}))[0] == 200
    [stored] = api.rows("SELECT id FROM model_configs")
    call = {"model_config_id": stored["id"]}
    for path, body in (("/completion-model-config", call), ("/chat-model-config", {**call, "messages": []})):
        status, answer = await api.post(path, body)
        assert status == 404
        assert "no model config" in answer["detail"]["message"]
