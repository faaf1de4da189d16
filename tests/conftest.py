"""Fixtures for the tests of several folders: a scripted server, no settings from outside."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
from blockbuster import blockbuster_ctx

from humanloop_async.testing import ScriptedServer
from tests.postgres import Cluster, programs, running_cluster
from tests.require_all import pytest_make_collect_report, pytest_runtest_makereport

__all__ = ["pytest_make_collect_report", "pytest_runtest_makereport"]  # hooks


def pytest_configure() -> None:
    # A shell starts background processes with Ctrl-C ignored, which the processes started by the tests would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HUMANLOOP_API_KEY", "HUMANLOOP_BASE_URL", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def seed() -> int:
    """A seed for random numbers, which a failing test shows; set HUMANLOOP_TESTS_SEED to use it again."""
    seed = int(os.environ.get("HUMANLOOP_TESTS_SEED") or random.randrange(2**32))
    print(f"HUMANLOOP_TESTS_SEED={seed}")
    return seed


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL that runs until the end of the session."""
    if (bin := programs()) is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    pytest.importorskip("asyncpg", reason="asyncpg is not installed (the extra `postgres` brings it)")
    with running_cluster(bin) as cluster:
        yield cluster


@pytest.fixture
def blocking_calls_fail() -> Iterator[None]:
    """A blocking call on an event loop, made by the client or below it, raises."""
    with blockbuster_ctx("humanloop_async", excluded_modules=["humanloop_async.server"]):
        yield


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """A scripted server on the test's own loop."""
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
def threaded_server() -> Iterator[ScriptedServer]:
    """A scripted server on another thread's loop."""
    with ScriptedServer().in_thread() as server:
        yield server
