"""Runs of the official clients. Each client runs once for all tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from tests.interop.client_run import Run, Stored, run_client
from tests.interop.environments import CLIENTS, MissingEnvironment

# The Python clients run the scenario again with their async methods.
SCENARIO_RUNS = [
    pytest.param((client, number), id=client + name)
    for client in CLIENTS
    for number, name in enumerate(("", "-async") if client.startswith("python") else ("",))
]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    return cache(lambda client: asyncio.run(run_client(client, tmp_path_factory.mktemp("database"))))


@pytest.fixture(scope="session", params=SCENARIO_RUNS)
def scenario_run(request: pytest.FixtureRequest, runs: Callable[[str], Run]) -> tuple[Run, int]:
    client, number = request.param
    try:
        return runs(client), number
    except MissingEnvironment as missing:
        pytest.skip(str(missing))


@pytest.fixture
def run(scenario_run: tuple[Run, int]) -> Run:
    return scenario_run[0]


@pytest.fixture
def results(scenario_run: tuple[Run, int]) -> Any:
    """The results of the client's calls, by label."""
    run, number = scenario_run
    return run.printed["scenarios"][number]


@pytest.fixture
def stored(scenario_run: tuple[Run, int]) -> Stored:
    run, number = scenario_run
    return run.stored[number]
