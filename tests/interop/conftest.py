"""Runs of the official clients, each made once for all tests that read it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from tests.interop.client_run import Run, Stored, run_client
from tests.interop.environments import CLIENTS, MissingEnvironment

# The Python clients tell the story a second time by their async methods.
TELLINGS = [
    pytest.param((client, number), id=client + name)
    for client in CLIENTS
    for number, name in enumerate(("", "-async") if client.startswith("python") else ("",))
]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    return cache(lambda client: asyncio.run(run_client(client, tmp_path_factory.mktemp("database"))))


@pytest.fixture(scope="session", params=TELLINGS)
def telling(request: pytest.FixtureRequest, runs: Callable[[str], Run]) -> tuple[Run, int]:
    client, number = request.param
    try:
        return runs(client), number
    except MissingEnvironment as missing:
        pytest.skip(str(missing))


@pytest.fixture
def run(telling: tuple[Run, int]) -> Run:
    return telling[0]


@pytest.fixture
def got(telling: tuple[Run, int]) -> Any:
    """What the client was handed, by its label."""
    run, number = telling
    return run.printed["stories"][number]


@pytest.fixture
def stored(telling: tuple[Run, int]) -> Stored:
    run, number = telling
    return run.stored[number]
