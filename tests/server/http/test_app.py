"""The application: its description in OpenAPI, checked by a fuzzer, and a custom runner."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from openapi_spec_validator import validate

from humanloop_async import AsyncHumanloop, EmbeddedServer
from humanloop_async.server import ServerSettings, create_app
from humanloop_async.server.providers.settings import ProviderSettings
from humanloop_async.testing import ScriptedServer
from humanloop_async.wire.operations import FINETUNE_OPERATIONS, OPERATIONS
from tests.server.served import CHAT, Api

SECONDS = 20  # a number of examples is no bound: some of them take seconds

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


def root(server: EmbeddedServer) -> str:
    return server.base_url.removesuffix("/v4")


async def test_the_openapi_document_is_valid_and_needs_no_key(api: Api) -> None:
    async with api.session.get(f"{root(api.server)}/openapi.json", headers={"X-API-KEY": ""}) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "application/json")
        document = await response.json()
    validate(document)
    assert len(document["paths"]) > 25


async def test_every_operation_in_the_openapi_document_is_served(api: Api) -> None:
    async with api.session.get(f"{root(api.server)}/openapi.json") as response:
        paths = (await response.json())["paths"]
    for path, methods in paths.items():
        for method in methods:
            url = root(api.server) + re.sub("{[^}]*}", "x", path)
            async with api.session.request(method, url, json={}) as response:
                assert response.status != 405, f"{method} {path}"
                assert response.status < 500 or "/finetunes" in path, f"{method} {path}: {await response.text()}"


async def _create_objects(server: EmbeddedServer) -> dict[str, str]:
    """Create one object of each kind and return their ids, because random ids only lead to 404s."""
    config: Any = {"provider": "mock", "model": "words", "max_tokens": 5}
    async with AsyncHumanloop(base_url=server.base_url, api_key=server.api_key) as client:
        chat = await client.chat(
            project="p",
            session_reference_id="s",
            messages=[{"role": "user", "content": "Hello"}],
            model_config=config | {"chat_template": []},
        )
        project, (sample,) = str(chat.project_id), chat.data
        await client.projects.deploy_config(project_id=project, config_id=sample.model_config_id)
        experiment = await client.experiments.create(
            project_id=project, name="e", positive_labels=[], config_ids=[str(sample.model_config_id)], set_active=True
        )
        dataset = await client.datasets.create(project_id=project, name="d", description="")
        (datapoint,) = await client.datasets.create_datapoint(dataset.id, log_ids=[sample.id])
        evaluator = await client.evaluators.create(
            name="e", description="", arguments_type="target_free", return_type="number", type="external"
        )
        evaluation = await client.evaluations.create(
            project,
            config_id=str(sample.model_config_id),
            dataset_id=dataset.id,
            evaluator_ids=[evaluator.id],
            hl_generated=False,
        )
        return {
            "projects": project,
            "logs": sample.id,
            "sessions": str(chat.session_id),
            "model-configs": str(sample.model_config_id),
            "experiments": experiment.id,
            "datasets": dataset.id,
            "datapoints": datapoint.id,
            "evaluators": evaluator.id,
            "evaluations": evaluation.id,
        }


def _known_ids(ids: dict[str, str]) -> str:
    """Return a configuration of Schemathesis: use these ids in paths and queries, except where that deletes them."""
    tables: list[str] = []
    for operation in OPERATIONS:
        if operation in FINETUNE_OPERATIONS:  # 501
            tables.append(f'[[operations]]\ninclude-operation-id = "{operation.id}"\nenabled = false\n')
            continue
        kind = operation.path.split("/")[1]
        values = {"query.project_id": ids["projects"]}
        if operation.path_parameters and not (operation.method == "DELETE" and operation.path.endswith("}")):
            values[f"path.{operation.path_parameters[0]}"] = ids[kind]
        given = ", ".join(f'"{name}" = "{value}"' for name, value in values.items())
        tables.append(f'[[operations]]\ninclude-operation-id = "{operation.id}"\nparameters = {{ {given} }}\n')
    return "\n".join(tables)


@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.skipif(importlib.util.find_spec("schemathesis") is None, reason="the group `fuzz` is not installed")
async def test_a_fuzzer_finds_no_server_error_and_no_response_that_breaks_its_schema(
    tmp_path: Path, server: ScriptedServer, seed: int
) -> None:
    error = {"error": {"message": "no such key", "type": "invalid_request_error"}}
    server.add_response(error, 401)
    providers = ProviderSettings(openai_base_url=f"{server.url}/v1", mock_tokens_per_second=0)
    async with EmbeddedServer(database=tmp_path / "x.db", providers=providers) as embedded:
        (tmp_path / "schemathesis.toml").write_text(_known_ids(await _create_objects(embedded)))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{root(embedded)}/openapi.json"),
            *("-H", f"X-API-KEY:{embedded.api_key}", "--checks", ",".join(CHECKS)),
            *("--max-time", str(SECONDS), "--seed", str(seed)),
            *("--continue-on-failure", "--no-color", "--generation-database", "none", "--request-timeout", "15"),
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200"},
            stdout=-1,
            stderr=-2,
        )
        try:
            output = (await process.communicate())[0].decode()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 0, output


async def test_the_app_runs_in_a_custom_runner_as_a_sub_application(tmp_path: Path) -> None:
    app = web.Application()
    app.add_subapp("/llm", create_app(ServerSettings(database=str(tmp_path / "x.db"), api_key="test key")))
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    async with aiohttp.ClientSession(headers={"X-API-KEY": "test key"}) as session:
        response = await session.post(f"http://{host}:{port}/llm/v4/chat", json=CHAT)
        assert response.status == 200
    await runner.cleanup()
