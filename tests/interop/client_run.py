"""Runs an official client against a new server, and collects its output, its requests and the stored records."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from humanloop_async import AsyncHumanloop, EmbeddedServer, types
from humanloop_async.server import ServerSettings
from humanloop_async.server.providers.settings import ProviderSettings
from humanloop_async.testing import ReceivedRequest, ScriptedServer
from tests.interop.environments import command

PROVIDER_KEY = "sk-of-the-caller"
OPENAI_RESPONSE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": " Hello "}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}

LACKED = {
    "python-0.5.18": {
        *("Datasets_list", "Logs_list", "Logs_get", "Logs_delete", "Projects_delete"),
        *(f"ModelConfigs_{name}" for name in ("export", "serialize", "deserialize")),
        *(f"Evaluations_{name}" for name in ("list", "log", "result", "updateStatus", "addEvaluators")),
        "Evaluators_get",
    },
    "python-0.7.35": {
        *("Chats_createExperiment", "Completions_createExperiment", "Projects_deactivateExperiment"),
        *(f"Experiments_{name}" for name in ("list", "create", "update", "delete", "sample")),
        *(f"Finetunes_{name}" for name in ("listAllForProject", "create", "summary", "update")),
    },
    "node-0.5.36": {
        *("Datasets_list", "Logs_get"),
        *(f"Evaluations_{name}" for name in ("list", "log", "addEvaluators")),
    },
}
"""For each client, the operations for which it has no method."""


@dataclass(frozen=True)
class Call:
    """A request to the server and the status of its response. The path is relative to ``/v4``, without a query."""

    method: str
    path: str
    status: int


@dataclass(frozen=True)
class Stored:
    """The records of a scenario, as this project's SDK reads them after the scenario has run."""

    project: types.ProjectResponse
    logs: dict[str, types.LogResponse]
    sessions: dict[str, types.SessionResponse]
    experiments: dict[str, types.ExperimentResponse]
    datasets: dict[str, types.DatasetResponse]
    datapoints: dict[str, types.DatapointResponse]


@dataclass(frozen=True)
class Run:
    """The result of a run.

    Attributes:
        client: Name of the client.
        printed: The JSON that the script printed.
        stored: The stored records of each scenario.
        calls: The client's requests to the server.
        provider_requests: Requests to OpenAI, which a scripted server replaces, from the server or from the client.
        folder: Folder of the server's database.
        ended: When the run ended.
    """

    client: str
    printed: dict[str, Any]
    stored: list[Stored]
    calls: list[Call]
    provider_requests: list[ReceivedRequest]
    folder: Path
    ended: datetime


async def run_client(client: str, folder: Path) -> Run:
    """Run the scenarios of a client.

    Raises:
        MissingEnvironment: The client cannot run here.
    """
    argv, variables = command(client)
    calls: list[Call] = []
    with recorded(calls):  # before the server starts, which logs requests only if the access log has a handler
        async with ScriptedServer() as openai:
            openai.add_response(OPENAI_RESPONSE)
            providers = ProviderSettings(openai_base_url=f"{openai.url}/v1")
            settings = ServerSettings(environments=("production", "staging"), providers=providers)
            async with EmbeddedServer(database=folder / "humanloop.db", settings=settings) as server:
                environ = {**os.environ, "NO_PROXY": "127.0.0.1", "OPENAI_BASE_URL": f"{openai.url}/v1", **variables}
                printed = await output_of([*argv, server.base_url, server.api_key, PROVIDER_KEY], environ)
                made_calls = list(calls)
                async with AsyncHumanloop(server.api_key, base_url=server.base_url) as sdk:
                    stored = [await find(sdk, scenario["project"]["id"]) for scenario in printed["scenarios"]]
    return Run(client, printed, stored, made_calls, openai.requests, folder, datetime.now(UTC))


async def output_of(argv: list[str], environ: dict[str, str]) -> Any:
    process = await asyncio.create_subprocess_exec(
        *argv, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, err.decode()
    return json.loads(out)


async def find(sdk: AsyncHumanloop, project_id: str) -> Stored:
    datasets = await sdk.datasets.list_all_for_project(project_id)
    return Stored(
        project=await sdk.projects.get(project_id),
        logs={log.id: log async for log in sdk.logs.list(project_id, size=100)},
        sessions={session.id: session async for session in sdk.sessions.list(project_id)},
        experiments={experiment.id: experiment for experiment in await sdk.experiments.list(project_id)},
        datasets={dataset.id: dataset for dataset in datasets},
        datapoints={
            datapoint.id: datapoint
            for dataset in datasets
            async for datapoint in sdk.datasets.list_datapoints(dataset.id)
        },
    )


@contextmanager
def recorded(calls: list[Call]) -> Iterator[None]:
    """Add the requests in the server's access log to `calls`."""

    class Recorder(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            line = re.search(r'"(\S+) (\S+) HTTP/1.1" (\d+) ', record.getMessage())
            assert line is not None
            calls.append(Call(line[1], line[2].removeprefix("/v4"), int(line[3])))

    logger, recorder = logging.getLogger("humanloop_async.server.access"), Recorder()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.propagate = False  # otherwise every failing test would print the access log
    logger.addHandler(recorder)
    try:
        yield
    finally:
        logger.removeHandler(recorder)
        logger.propagate = True
        logger.setLevel(level)


def only_for(run: Run, *clients: str) -> None:
    """Skip the test unless the client is one of these. A prefix of a name selects several clients."""
    if not run.client.startswith(clients):
        pytest.skip(f"not applicable: {run.client} has no such feature")


def config_id(results: Any, label: str) -> str:
    """Return the id of the configuration in a result, by the label of the result."""
    found: str = results[label]["config"]["id"]
    return found


def pick(result: dict[str, Any], *names: str) -> tuple[Any, ...]:
    """Return some values of a result, or None for absent ones: the models of 0.7 have no fields of experiments."""
    return tuple(result.get(name) for name in names)
