"""``/model-configs``, through the SDK and by plain HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from humanloop_async import AsyncHumanloop, NotFoundError, UnprocessableEntityError
from tests.server.served import Api, error_message, on_both_databases

pytestmark = on_both_databases


MODEL: Any = {"provider": "mock", "model": "words", "prompt_template": "Greet {{ name }}"}


@pytest.fixture
async def client(api: Api) -> AsyncIterator[AsyncHumanloop]:
    async with AsyncHumanloop(base_url=api.server.base_url, api_key=api.server.api_key) as client:
        yield client


async def test_the_first_registered_config_is_deployed_and_later_ones_are_not(client: AsyncHumanloop) -> None:
    await client.complete(project="greeter", model_config=MODEL, inputs={"name": "Ada"})  # not registered
    first = await client.model_configs.register(project="greeter", **MODEL, name="first", description="why")
    project = await client.projects.get(first.project_id)
    assert project.active_config is not None
    assert project.active_config.config.id == first.config.id
    assert (project.data_count, project.config_type) == (1, "model")
    second = await client.model_configs.register(project_id=project.id, **MODEL, temperature=0)
    again = await client.model_configs.register(project="greeter", **MODEL)
    assert again.config.id == first.config.id != second.config.id
    await client.projects.deactivate_config(project.id)
    await client.model_configs.register(project="greeter", **MODEL, seed=3)
    assert (await client.projects.get(project.id)).active_config is None  # an undeployed environment stays empty
    listed = await client.projects.list_configs(project.id)
    assert [config.num_datapoints for config in listed] == [0, 0, 1]
    assert listed[2].last_used > listed[2].created_at


async def test_registering_needs_a_valid_project(client: AsyncHumanloop) -> None:
    with pytest.raises(UnprocessableEntityError, match="give `project` or `project_id`"):
        await client.model_configs.register(**MODEL)
    project = await client.projects.create("greeter")
    with pytest.raises(UnprocessableEntityError, match="differ"):
        await client.model_configs.register(project="other", project_id=project.id, **MODEL)
    with pytest.raises(NotFoundError, match="no experiment 'ab'"):
        await client.model_configs.register(project="new", experiment="ab", **MODEL)
    assert [project.name async for project in client.projects.list()] == ["greeter"]  # no project was created


async def test_a_config_comes_back_as_it_was_registered(client: AsyncHumanloop) -> None:
    sent: dict[str, Any] = {
        "provider": "mock",
        "model": "words",
        "endpoint": "chat",
        "chat_template": [{"role": "system", "content": "Be {{ manner }}"}],
        "temperature": 0.5,
        "stop": "x",
        "other": {"k": [1]},
        "tools": [{"name": "weather", "description": "of a place", "parameters": {"type": "object"}}],
    }
    made = await client.model_configs.register(project="greeter", **sent)
    found = await client.model_configs.get(made.config.id)
    body: Any = found.body
    assert body["type"] == "model"
    assert body["stop"] == ["x"]
    assert body["chat_template"][0]["content"] == "Be {{ manner }}"
    assert (body["temperature"], body["other"], body["prompt_template"]) == (0.5, {"k": [1]}, None)
    assert body["tools"][0]["name"] == "weather"


async def test_racing_registrations_deploy_one(client: AsyncHumanloop, api: Api) -> None:
    made = await asyncio.gather(
        *(client.model_configs.register(project="greeter", **MODEL, seed=seed) for seed in range(6))
    )
    assert len({config.project_id for config in made}) == 1
    _, deployed = await api.call("GET", f"/projects/{made[0].project_id}/deployed-configs")
    assert deployed[0]["model_config_id"] in {config.config.id for config in made}


async def test_nul_in_the_name_and_description_of_an_existing_config_is_replaced(client: AsyncHumanloop) -> None:
    await client.complete(project="greeter", model_config=MODEL, inputs={"name": "Ada"})
    config = await client.model_configs.register(project="greeter", **MODEL, name="a\0b", description="c\0d")
    assert (config.config.name, config.config.description) == ("a\ufffdb", "c\ufffdd")


async def test_an_exported_configuration_can_be_registered_again(api: Api) -> None:
    config: dict[str, Any] = {
        "model": "m",
        "endpoint": "chat",
        "name": "calm",
        "description": "for tests",
        "temperature": 0.25,
        "stop": "\n\n",
        "chat_template": [{"role": "system", "content": "Be {{ mood }}.\n\n<b>"}],
        "tools": [{"name": "f", "parameters": {"type": "object"}}],
        "other": {"a": [1, None, "é"]},
    }
    _, registered = await api.post("/model-configs", {"project": "greeter", **config})
    config_id = registered["config"]["id"]
    status, text = await api.post(f"/model-configs/{config_id}/export", None)
    assert status == 200
    assert text.startswith("---\nmodel: m\ntemperature: 0.25\n")
    assert text.endswith("<system>\n  Be {{ mood }}.\n\n  <b>\n</system>\n")
    assert await api.post("/model-configs/serialize", config) == (200, text)
    url = f"{api.server.base_url}/model-configs/{config_id}/export"
    async with api.session.post(url, headers={"Accept": "text/prompt"}) as response:
        assert (response.status, response.content_type) == (200, "text/prompt")
        assert await response.text() == text
    for accept in ("application/json, text/prompt", "text/prompt, application/json"):
        async with api.session.post(url, headers={"Accept": accept}) as response:
            assert (response.content_type, await response.json()) == ("application/json", text)
    status, read = await api.post("/model-configs/deserialize", {"config": text})
    assert status == 200
    assert {**read, "id": config_id} == registered["config"]
    same = {name: value for name, value in read.items() if name not in {"id", "type", "tool_configs"}}
    _, again = await api.post("/model-configs", {"project": "greeter", **same})
    assert again["config"]["id"] == config_id
    assert (await api.call("GET", f"/model-configs/{read['id']}"))[0] == 404
    _, from_json = await api.post("/model-configs/deserialize", {"config": json.dumps(registered["config"])})
    assert from_json == read


async def test_serialized_configurations_are_not_stored_and_have_the_endpoint_of_their_template(api: Api) -> None:
    forms: tuple[tuple[dict[str, str], str], ...] = (
        ({}, "chat"),
        ({"prompt_template": "Hi"}, "complete"),
        ({"endpoint": "edit"}, "edit"),
    )
    for fields, endpoint in forms:
        _, text = await api.post("/model-configs/serialize", {"model": "m", **fields})
        assert f"\nendpoint: {endpoint}\n" in text
    assert api.rows("SELECT id FROM model_configs") == []


async def test_a_text_that_is_no_prompt_file_and_an_unknown_configuration_are_rejected(api: Api) -> None:
    status, body = await api.post("/model-configs/deserialize", {"config": "model: m"})
    assert (status, body["detail"][0]["loc"]) == (422, ["body", "config"])
    status, body = await api.post("/model-configs/config_x/export", None)
    assert "config_x" in error_message(body, status)
    assert status == 404
