"""``/model-configs``, through the SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from humanloop_async import AsyncHumanloop, NotFoundError, UnprocessableEntityError
from tests.server.served import Api, on_both_databases

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
