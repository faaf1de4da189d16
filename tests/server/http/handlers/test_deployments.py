"""Environments, deployments, and generation with deployed configurations and experiments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from humanloop_async import AsyncHumanloop, NotFoundError, UnprocessableEntityError
from tests.server.served import CHAT, Api, on_both_databases

pytestmark = on_both_databases

MODEL: dict[str, Any] = {"provider": "mock", "model": "words", "max_tokens": 5}
PROMPT: dict[str, Any] = {**MODEL, "prompt_template": "Greet {{ name }}"}
INPUTS = {"name": "Ada"}
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]


@pytest.fixture
async def api(start: Callable[..., Any]) -> AsyncIterator[Api]:
    async with start(environments=("production", "staging", "mine")) as api:
        yield api


@pytest.fixture
async def client(api: Api) -> AsyncIterator[AsyncHumanloop]:
    async with AsyncHumanloop(base_url=api.server.base_url, api_key=api.server.api_key) as client:
        yield client


async def test_every_environment_has_a_row_and_the_default_comes_first(client: AsyncHumanloop, api: Api) -> None:
    project = await client.projects.create("greeter")
    _, rows = await api.call("GET", f"/projects/{project.id}/deployed-configs")
    assert [(row["environment_name"], row["environment_tag"]) for row in rows] == [
        ("production", "default"),
        ("staging", "other"),
        ("mine", "other"),
    ]
    assert rows[0] == {
        "project_id": project.id,
        "project_name": "greeter",
        "environment_id": rows[0]["environment_id"],
        "environment_name": "production",
        "environment_tag": "default",
        "model_config_id": None,
        "model_config_name": None,
        "experiment_id": None,
        "experiment_name": None,
    }
    assert rows[0]["environment_id"].startswith("env_")


async def test_environments_and_deployments_survive_a_restart(start: Callable[..., Any]) -> None:
    for names in (("production", "staging"), ("production",), ("staging", "production")):
        async with start(environments=names, api_key="a-key-of-the-test") as api:
            if names == ("production", "staging"):
                _, made = await api.call("POST", "/model-configs", {**PROMPT, "project": "greeter"})
                path = f"/projects/{made['project_id']}"
                rows = (await api.call("GET", f"{path}/deployed-configs"))[1]
                body = {"config_id": made["config"]["id"], "environments": [{"id": rows[1]["environment_id"]}]}
                assert (await api.call("PATCH", f"{path}/deploy-config", body))[0] == 200
            rows = (await api.call("GET", f"{path}/deployed-configs"))[1]
            assert [row["environment_name"] for row in rows] == [*dict.fromkeys((*names, "production", "staging"))]
            assert {row["model_config_id"] for row in rows} == {made["config"]["id"]}


async def test_deploying_replaces_the_deployment_of_one_environment(client: AsyncHumanloop) -> None:
    first = await client.model_configs.register(project="greeter", **PROMPT, name="first")
    second = await client.model_configs.register(project="greeter", **PROMPT, seed=2, name="second")
    project_id = first.project_id
    production, staging, mine = await client.projects.list_deployed_configs(project_id)
    assert production.model_config_name == "first"
    both: list[Any] = [{"id": staging.environment_id}, {"id": mine.environment_id, "name": "mine"}]
    deployed = await client.projects.deploy_config(project_id, config_id=second.config.id, environments=both)
    assert [(row.environment_name, row.model_config_name) for row in deployed] == [
        ("staging", "second"),
        ("mine", "second"),
    ]
    experiment = await client.experiments.create(project_id, name="ab", positive_labels=[])
    await client.projects.deploy_config(project_id, experiment_id=experiment.id, environments=both[:1])
    rows = await client.projects.list_deployed_configs(project_id)
    assert [(row.model_config_name, row.experiment_name) for row in rows] == [
        ("first", None),
        (None, "ab"),
        ("second", None),
    ]
    await client.projects.deploy_config(project_id, config_id=second.config.id)  # to the default environment
    assert (await client.projects.list_deployed_configs(project_id))[0].model_config_name == "second"


async def test_an_invalid_deployment_is_rejected_and_changes_nothing(client: AsyncHumanloop) -> None:
    config = await client.model_configs.register(project="greeter", **PROMPT)
    stranger = await client.model_configs.register(project="other", **PROMPT)
    elsewhere = await client.experiments.create(stranger.project_id, name="ab", positive_labels=[])
    project_id, config_id = config.project_id, config.config.id
    environments = [row.environment_id for row in await client.projects.list_deployed_configs(project_id)]
    refused: list[tuple[type[Exception], dict[str, Any]]] = [
        (UnprocessableEntityError, {}),
        (UnprocessableEntityError, {"config_id": config_id, "experiment_id": elsewhere.id}),
        (UnprocessableEntityError, {"config_id": config_id, "environments": []}),
        (NotFoundError, {"config_id": config_id, "environments": [{"id": environments[1]}, {"id": "env_x"}]}),
        (UnprocessableEntityError, {"config_id": config_id, "environments": [{"id": environments[1], "name": "mine"}]}),
        (NotFoundError, {"config_id": stranger.config.id, "environments": [{"id": environments[1]}]}),
        (NotFoundError, {"experiment_id": elsewhere.id, "environments": [{"id": environments[1]}]}),
    ]
    for error, params in refused:
        with pytest.raises(error):
            await client.projects.deploy_config(project_id, **params)
    updates: list[dict[str, Any]] = [
        {"active_config_id": stranger.config.id},
        {"active_experiment_id": elsewhere.id},
    ]
    for params in updates:
        with pytest.raises(NotFoundError):
            await client.projects.update(project_id, name="renamed", **params)
    with pytest.raises(UnprocessableEntityError, match="exclude"):
        await client.projects.update(project_id, active_config_id=config_id, active_experiment_id="exp_x")
    rows = await client.projects.list_deployed_configs(project_id)
    assert [row.model_config_id for row in rows] == [config_id, None, None]
    assert rows[0].project_name == "greeter"


async def test_three_operations_undeploy(client: AsyncHumanloop, api: Api) -> None:
    config = await client.model_configs.register(project="greeter", **PROMPT)
    project_id, config_id = config.project_id, config.config.id
    experiment = await client.experiments.create(
        project_id, name="ab", positive_labels=[], config_ids=[config_id], set_active=True
    )
    active = (await client.projects.get(project_id)).active_experiment
    assert active is not None
    assert active.id == experiment.id
    kept = await client.projects.deactivate_config(project_id)  # an experiment is no config
    assert kept.active_experiment is not None
    assert (await client.projects.deactivate_experiment(project_id)).active_experiment is None
    assert (await client.projects.update(project_id, active_config_id=config_id)).active_config is not None
    assert (await client.projects.deactivate_experiment(project_id)).active_config is not None
    assert (await client.projects.deactivate_config(project_id)).active_config is None
    environment_id = (await client.projects.list_deployed_configs(project_id))[0].environment_id
    await client.projects.update(project_id, active_experiment_id=experiment.id)
    path = f"/projects/{project_id}/deployed-config/{environment_id}"
    assert await api.call("DELETE", path) == (200, {})  # official clients fail on an empty body, and on null
    assert await api.call("DELETE", path) == (200, {})
    assert (await api.call("DELETE", f"/projects/{project_id}/deployed-config/env_x"))[0] == 404
    assert (await client.projects.get(project_id)).active_experiment is None
    with pytest.raises(NotFoundError, match=r"no environment 'nowhere'.*'production', 'staging', 'mine'"):
        await client.projects.deactivate_config(project_id, environment="nowhere")


async def test_the_active_config_names_its_environment_and_experiment(client: AsyncHumanloop) -> None:
    project = await client.projects.create("greeter")
    with pytest.raises(NotFoundError, match="nothing deployed to 'production'"):
        await client.projects.get_active_config(project.id)
    config = await client.model_configs.register(project="greeter", **PROMPT)
    active = await client.projects.get_active_config(project.id)
    production, staging, _ = await client.projects.list_deployed_configs(project.id)
    assert (active.config.id, active.environment_id) == (config.config.id, production.environment_id)
    assert (active.trial_id, active.experiment_id) == (None, None)
    with pytest.raises(NotFoundError, match="nothing deployed to 'staging'"):
        await client.projects.get_active_config(project.id, environment="staging")
    experiment = await client.experiments.create(
        project.id, name="ab", positive_labels=[], config_ids=[config.config.id]
    )
    where: list[Any] = [{"id": staging.environment_id}]
    await client.projects.deploy_config(project.id, experiment_id=experiment.id, environments=where)
    sampled = await client.projects.get_active_config(project.id, environment="staging")
    assert (sampled.experiment_id, sampled.environment_id) == (experiment.id, staging.environment_id)
    log = await client.log(project="greeter", trial_id=sampled.trial_id, output="Hi")
    assert (await client.logs.get(log.id)).config.id == config.config.id


async def test_the_result_of_racing_deploys_is_one_of_them(client: AsyncHumanloop) -> None:
    configs = [await client.model_configs.register(project="greeter", **PROMPT, seed=seed) for seed in range(6)]
    project_id, ids = configs[0].project_id, [config.config.id for config in configs]
    environments: list[Any] = [
        {"id": row.environment_id} for row in await client.projects.list_deployed_configs(project_id)
    ]
    calls = (
        client.projects.deploy_config(project_id, config_id=config_id, environments=environments) for config_id in ids
    )
    deactivation = client.projects.deactivate_config(project_id, environment="mine")
    answers, _ = await asyncio.gather(asyncio.gather(*calls), deactivation)
    for answer, config_id in zip(answers, ids, strict=True):
        assert {row.model_config_id for row in answer} == {config_id}  # each response shows its request's deployment
    rows = await client.projects.list_deployed_configs(project_id)
    assert len({row.model_config_id for row in rows[:2]}) == 1
    assert rows[0].model_config_id in ids


async def test_completions_use_the_deployment_of_their_environment(client: AsyncHumanloop, api: Api) -> None:
    production = await client.model_configs.register(project="greeter", **PROMPT)
    staging = await client.model_configs.register(project="greeter", **PROMPT, seed=2)
    project_id = production.project_id
    where: list[Any] = [{"id": (await client.projects.list_deployed_configs(project_id))[1].environment_id}]
    await client.projects.deploy_config(project_id, config_id=staging.config.id, environments=where)
    by_default = await client.complete_deployed(project="greeter", inputs=INPUTS)
    assert by_default.data[0].model_config_id == production.config.id
    async with client.complete_deployed_stream(
        project_id=project_id, environment="staging", inputs=INPUTS, num_samples=3
    ) as stream:
        streamed = await stream.final()
    assert {sample.model_config_id for sample in streamed.data} == {staging.config.id}
    log = await client.logs.get(streamed.data[2].id)
    assert (log.environment, log.trial_id, log.config.id) == ("staging", None, staging.config.id)
    assert (await client.logs.get(by_default.data[0].id)).environment == "production"


async def test_chats_use_the_deployment_of_their_environment(client: AsyncHumanloop) -> None:
    config = await client.model_configs.register(project="chatter", **MODEL, endpoint="chat")
    whole = await client.chat_deployed(project="chatter", messages=HELLO)
    async with client.chat_deployed_stream(project="chatter", messages=HELLO, num_samples=2) as stream:
        streamed = await stream.final()
    assert {sample.model_config_id for sample in [*whole.data, *streamed.data]} == {config.config.id}
    assert streamed.data[0].output == whole.data[0].output


async def test_a_call_without_a_deployment_is_rejected_and_creates_nothing(client: AsyncHumanloop, api: Api) -> None:
    config = await client.model_configs.register(project="greeter", **PROMPT)
    refused: list[tuple[int, str, dict[str, Any]]] = [
        (404, "no project 'unknown'", {"project": "unknown"}),
        (404, "no project 'pr_x'", {"project_id": "pr_x"}),
        (422, "is required", {}),
        (422, "differ", {"project": "other", "project_id": config.project_id}),
        (404, "no environment 'nowhere'", {"project": "greeter", "environment": "nowhere"}),
        (404, "nothing deployed to 'staging'", {"project": "greeter", "environment": "staging"}),
        (422, "Missing input", {"project": "greeter", "inputs": {}}),
    ]
    for status, words, call in refused:
        for stream in (False, True):
            answer = await api.post("/completion-deployed", {"inputs": INPUTS, **call, "stream": stream})
            assert answer[0] == status, answer
            assert words in str(answer[1])
    status, body = await api.post("/chat-deployed", {"project": "greeter", "messages": HELLO})
    assert (status, "endpoint" in body["detail"]["message"]) == (422, True)
    projects = [project async for project in client.projects.list()]
    assert [(project.name, project.data_count) for project in projects] == [("greeter", 0)]


async def test_a_deployment_changes_between_two_calls_and_not_within_one(client: AsyncHumanloop) -> None:
    first = await client.model_configs.register(project="greeter", **PROMPT)
    second = await client.model_configs.register(project="greeter", **PROMPT, seed=2)
    async with client.complete_deployed_stream(project="greeter", inputs=INPUTS, num_samples=4) as stream:
        await client.projects.deploy_config(first.project_id, config_id=second.config.id)
        before = await stream.final()
    after = await client.complete_deployed(project="greeter", inputs=INPUTS)
    assert {sample.model_config_id for sample in before.data} == {first.config.id}
    assert after.data[0].model_config_id == second.config.id


async def test_a_renamed_project_is_found_by_its_new_name_at_once(client: AsyncHumanloop) -> None:
    config = await client.model_configs.register(project="greeter", **PROMPT)
    await client.projects.update(config.project_id, name="welcome")
    with pytest.raises(NotFoundError):
        await client.complete_deployed(project="greeter", inputs=INPUTS)
    assert (await client.complete_deployed(project="welcome", inputs=INPUTS)).project_id == config.project_id


async def test_a_deployed_call_may_belong_to_a_session(client: AsyncHumanloop) -> None:
    await client.model_configs.register(project="greeter", **PROMPT)
    answer = await client.complete_deployed(project="greeter", inputs=INPUTS, session_reference_id="visit")
    other = await client.chat(**{**CHAT, "session_id": answer.session_id})
    assert answer.session_id == other.session_id is not None


async def test_a_project_may_be_deleted_while_it_generates(client: AsyncHumanloop, api: Api) -> None:
    for _ in range(3):
        config = await client.model_configs.register(project="greeter", **PROMPT)
        await client.experiments.create(
            config.project_id, name="ab", positive_labels=[], config_ids=[config.config.id], set_active=True
        )
        call = {"project_id": config.project_id, "inputs": INPUTS}
        answers = await asyncio.gather(
            *(api.post("/completion-deployed", call) for _ in range(6)),
            api.call("DELETE", f"/projects/{config.project_id}"),
            *(api.post("/completion-deployed", call) for _ in range(6)),
        )
        # 422 when the experiment still is found and its configs are not.
        assert {status for status, _ in answers} <= {200, 204, 404, 422}, answers
