"""One run of an official client against a server of its own: what it printed, what it called, what is stored."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from humanloop_async import AsyncHumanloop, EmbeddedServer, types
from humanloop_async.server import ServerSettings
from humanloop_async.server.providers.settings import ProviderSettings
from tests.interop.environments import command
from tests.scripted import Request, ScriptedServer

PROVIDER_KEY = "sk-of-the-caller"
OPENAI_ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": " Hello "}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}

LACKED = {
    "python-0.5.18": {"Logs_list", "Logs_get", "Logs_delete", "Projects_delete"},
    "python-0.7.35": {
        *("Chats_createExperiment", "Completions_createExperiment", "Projects_deactivateExperiment"),
        *(f"Experiments_{name}" for name in ("list", "create", "update", "delete", "sample")),
    },
    "node-0.5.36": {"Logs_get"},
}
"""The operations that a client has no method for."""


@dataclass(frozen=True)
class Call:
    """A request that the server answered; the path is the one below ``/v4``, without its query."""

    method: str
    path: str
    status: int


@dataclass(frozen=True)
class Stored:
    """What this project's own SDK finds of a story when it has been told."""

    project: types.ProjectResponse
    logs: dict[str, types.LogResponse]
    sessions: dict[str, types.SessionResponse]
    experiments: dict[str, types.ExperimentResponse]


@dataclass(frozen=True)
class Run:
    """What is left of a run.

    Attributes:
        printed: What the script printed.
        stored: What is stored of each of its stories.
        calls: What it called on the server.
        provider_requests: What reached the OpenAI of this run, by the server or from the client itself.
        folder: Where the server's database is.
    """

    client: str
    printed: dict[str, Any]
    stored: list[Stored]
    calls: list[Call]
    provider_requests: list[Request]
    folder: Path


async def run_client(client: str, folder: Path) -> Run:
    """Let a client tell its stories.

    Raises:
        MissingEnvironment: It cannot run here.
    """
    argv, variables = command(client)
    calls: list[Call] = []
    with noted(calls):  # before the server starts, which looks whether anybody reads its access log
        async with ScriptedServer().running() as openai:
            openai.add_response(OPENAI_ANSWER)
            providers = ProviderSettings(openai_base_url=f"{openai.url}/v1")
            settings = ServerSettings(environments=("production", "staging"), providers=providers)
            async with EmbeddedServer(database=folder / "humanloop.db", settings=settings) as server:
                environ = {**os.environ, "NO_PROXY": "127.0.0.1", "OPENAI_BASE_URL": f"{openai.url}/v1", **variables}
                printed = await output_of([*argv, server.base_url, server.api_key, PROVIDER_KEY], environ)
                made = list(calls)
                async with AsyncHumanloop(server.api_key, base_url=server.base_url) as sdk:
                    stored = [await find(sdk, story["project"]["id"]) for story in printed["stories"]]
    return Run(client, printed, stored, made, openai.requests, folder)


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
    return Stored(
        project=await sdk.projects.get(project_id),
        logs={log.id: log async for log in sdk.logs.list(project_id, size=100)},
        sessions={session.id: session async for session in sdk.sessions.list(project_id)},
        experiments={experiment.id: experiment for experiment in await sdk.experiments.list(project_id)},
    )


@contextmanager
def noted(calls: list[Call]) -> Iterator[None]:
    """Note what the server's access log says."""

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            line = re.search(r'"(\S+) (\S+) HTTP/1.1" (\d+) ', record.getMessage())
            assert line is not None
            calls.append(Call(line[1], line[2].removeprefix("/v4"), int(line[3])))

    logger, notes = logging.getLogger("humanloop_async.server.access"), Notes()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.propagate = False  # or every failing test would show all of it
    logger.addHandler(notes)
    try:
        yield
    finally:
        logger.removeHandler(notes)
        logger.propagate = True
        logger.setLevel(level)


def only_for(run: Run, *clients: str) -> None:
    """Skip the test for other clients than these; a prefix of a name selects several clients."""
    if not run.client.startswith(clients):
        pytest.skip(f"not applicable: {run.client} has no such feature")


def config_id(got: Any, label: str) -> str:
    """The id of the configuration in an answer, by its label."""
    found: str = got[label]["config"]["id"]
    return found


def pick(answer: dict[str, Any], *names: str) -> tuple[Any, ...]:
    """Some of an answer's values; None where there is none, because the models of 0.7 know nothing of experiments."""
    return tuple(answer.get(name) for name in names)
