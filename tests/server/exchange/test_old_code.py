"""Code for the v4 API finds its projects, configurations and logs by the old ids after an import."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from humanloop_async import AsyncHumanloop, ModelConfigCompletionParam, UnprocessableEntityError
from humanloop_async.types import ModelConfigCompletionRequest
from tests.server.exchange.imports import exported, imported
from tests.server.exchange.vendor_export import full_export
from tests.server.served import on_both_databases

pytestmark = on_both_databases


@pytest.fixture
async def client(database_address: str, tmp_path: Path, start: Callable[..., Any]) -> AsyncIterator[AsyncHumanloop]:
    """A client of a server that serves an imported database."""
    await imported(database_address, full_export(tmp_path / "vendor").root)
    async with start() as api, AsyncHumanloop(base_url=api.server.base_url, api_key=api.server.api_key) as client:
        yield client


async def test_deployed_versions(client: AsyncHumanloop) -> None:
    by_name = await client.complete_deployed(project="Support/Greeter", inputs={"name": "Ada"})
    by_id = await client.complete_deployed(project_id="pr_greeter", inputs={"name": "Ada"}, environment="staging")
    assert by_name.project_id == by_id.project_id == "pr_greeter"
    assert [by_name.data[0].model_config_id, by_id.data[0].model_config_id] == ["prv_2", "prv_1"]
    chat = await client.chat_deployed(project_id="pr_chatter", inputs={"name": "Ada"}, messages=[])
    assert chat.data[0].model_config_id == "prv_chat"
    async with client.complete_deployed_stream(project_id="pr_greeter", inputs={"name": "Ada"}) as stream:
        assert {chunk.model_config_id async for chunk in stream} == {"prv_2"}


async def test_versions_by_id(client: AsyncHumanloop) -> None:
    for id in ("prv_1", "prv_3"):  # with equal parameters
        response = await client.complete_model_configuration(model_config_id=id, inputs={"name": "Ada"})
        assert response.data[0].model_config_id == id
    config = await client.model_configs.get("prv_2")
    assert (config.name, config.description, config.temperature) == ("v2", "warmer", 0.9)
    assert (config.stop, config.prompt_template) == (["END", "\n"], "Greet {{name}}.")
    chat = await client.model_configs.get("prv_chat")
    assert chat.chat_template is not None
    assert chat.chat_template[0].role == "system"  # v4 has no role "developer"
    assert [(tool.id, tool.name) for tool in chat.tools or ()] == [
        ("get_weather", "get_weather"),
        ("tl_hours", "hours"),
    ]


async def test_the_same_parameters_are_the_oldest_version(client: AsyncHumanloop) -> None:
    config = ModelConfigCompletionRequest(
        provider="mock", model="words", prompt_template="Greet {{name}}.", max_tokens=5, temperature=0.7
    )
    response = await client.complete(
        project_id="pr_greeter",
        model_config=config,
        inputs={"name": "Ada"},
    )
    assert response.data[0].model_config_id == "prv_1"


async def test_logs_by_project(client: AsyncHumanloop) -> None:
    logs = {log.id: log async for log in client.logs.list(project_id="pr_greeter")}
    assert {"log_child", "log_rated", "log_failed", "log_unicode", "log_other", "log_e11"} <= logs.keys()
    rated = logs["log_rated"]
    assert (rated.config.id, rated.output, rated.user, rated.source) == ("prv_1", "Hello, Ada.", "user-1", "web")
    assert (rated.prompt_tokens, rated.output_tokens, rated.tokens) == (20, 10, 30)
    assert (rated.prompt_cost, rated.output_cost) == (0.0001, 0.0003)
    assert (rated.duration, rated.provider_latency, rated.finish_reason) == (30, 0.8, "stop")
    assert rated.created_at is not None
    assert rated.created_at.isoformat() == "2024-11-04T09:40:00+00:00"
    values = sorted((item.type, str(item.value), item.user) for item in rated.feedback or ())
    assert values == [("rating", "good", "reviewer"), ("topics", "billing", None), ("topics", "shipping", None)]
    assert [(result.evaluator_id, result.value) for result in rated.evaluation_results] == [("ev_short", True)]
    assert (logs["log_failed"].error, logs["log_failed"].observability_status) == ("RateLimit: try again", "failed")
    assert (logs["log_other"].output, logs["log_other"].save) == (None, False)
    child = logs["log_child"]
    assert (child.parent_id, child.session_id) == ("log_flow", "log_flow")
    (flow,) = [log async for log in client.logs.list(project_id="fl_pipeline")]
    assert (flow.id, flow.project, flow.session_id) == ("log_flow", "Support/Pipeline", "log_flow")
    found = await client.logs.list(project_id="pr_greeter", search="GRÜSSE")
    assert [log.id for log in found.records] == ["log_unicode"]


async def test_templates_call_imported_snippet_tools(client: AsyncHumanloop) -> None:
    config: ModelConfigCompletionParam = {"provider": "mock", "model": "m", "prompt_template": "Open {{hours(day)}}."}
    response = await client.complete(model_config=config, inputs={"day": "monday"})
    assert response.provider_request is not None
    assert response.provider_request["prompt"] == "Open 9-5."
    [result] = response.data[0].tool_results or []
    assert (result.name, result.signature, result.result) == ("hours", "hours(day)", "9-5")
    with pytest.raises(UnprocessableEntityError, match="no text for 'sunday'; its keys: monday"):
        await client.complete(model_config=config, inputs={"day": "sunday"})
    for unknown in ("get_weather", "h_urs"):  # another kind of tool, and a pattern of SQL
        config = {**config, "prompt_template": f"{{{{{unknown}(day)}}}}"}
        with pytest.raises(UnprocessableEntityError, match=f"calls the tool '{unknown}'"):
            await client.complete(model_config=config, inputs={"day": "monday"})


async def test_feedback_continues(client: AsyncHumanloop) -> None:
    await client.feedback(type="rating", value="bad", data_id="log_rated", user="reviewer")
    log = await client.logs.get("log_rated")
    assert [item.value for item in log.feedback or () if item.type == "rating"] == ["bad"]
    project = await client.projects.get("pr_greeter")
    (topics,) = [kind for kind in project.feedback_types if kind.type == "topics"]
    assert {(label.value, label.sentiment) for label in topics.values or ()} == {
        ("billing", "unset"),
        ("angry", "negative"),
        ("shipping", "unset"),
    }


async def test_datasets(client: AsyncHumanloop) -> None:
    dataset = await client.datasets.get("ds_questions")
    assert (dataset.name, dataset.datapoint_count) == ("Questions", 2)
    points = [point async for point in client.datasets.list_datapoints("ds_questions")]
    assert [(point.id, point.inputs) for point in points] == [
        ("dp_1", {"question": "1"}),
        ("dp_3", {"question": "three"}),
    ]


async def test_an_export_of_a_server_is_readable_while_it_runs(
    client: AsyncHumanloop, database_address: str, tmp_path: Path
) -> None:
    await client.complete_deployed(project_id="pr_greeter", inputs={"name": "Ada"})
    counts = await exported(database_address, tmp_path / "ours")
    assert counts["logs"] == 15
