"""``/ready`` and the log while the database does not work, and afterwards."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from humanloop_async.server.storage import database as database_module
from humanloop_async.server.storage.health import DatabaseHealth
from tests.postgres import Cluster
from tests.server.served import CHAT, Api, read_only


@pytest.fixture(autouse=True)
def _check_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "CHECK_INTERVAL", 0)


async def ready(api: Api) -> tuple[int, str]:
    async with api.session.get(api.server.base_url.removesuffix("/v4") + "/ready") as response:
        return response.status, await response.text()


@contextmanager
def full_disk(_: Path) -> Iterator[None]:
    """Limit the size of files, which the process notices as it notices a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with read_only(str(path)):
        yield


@contextmanager
def deleted(path: Path) -> Iterator[None]:
    hidden = path.rename(path.with_name("hidden"))
    try:
        yield
    finally:
        hidden.rename(path)


@contextmanager
def replaced(path: Path) -> Iterator[None]:
    with deleted(path):
        path.write_bytes(path.with_name("hidden").read_bytes())
        yield
        path.unlink()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("trouble", [full_disk, locked, deleted, replaced])
async def test_ready_notices_trouble_and_its_end(
    api: Api,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    trouble: Callable[[Path], Any],
) -> None:
    monkeypatch.setattr("humanloop_async.server.service.READY_TIMEOUT", 1.0)
    assert (await ready(api))[0] == 200
    with trouble(api.path):
        for _ in range(3):
            status, text = await ready(api)
            assert status == 503
            assert "cannot be read or written" in text
            assert str(api.path) not in text
    assert (await ready(api))[0] == 200
    assert (await api.post("/chat", CHAT))[0] == 200
    first, last = [record.getMessage() for record in caplog.records if record.name.endswith(".health")]
    assert first.startswith("the database does not work (write): ")
    assert last == "the database works again"


async def test_ready_notices_a_damaged_file(api: Api) -> None:
    assert (await api.post("/chat", CHAT))[0] == 200
    with closing(sqlite3.connect(api.path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = api.path.stat().st_size
    with api.path.open("r+b") as file:
        file.write(b"damaged!" * (size // 8))
    status, _ = await ready(api)
    assert status == 503
    status, body = await api.post("/chat", CHAT)
    assert (status, body["detail"]["message"]) == (503, "the database is unreachable")


async def test_a_deleted_file_gets_no_writes(api: Api) -> None:
    with deleted(api.path):
        assert (await api.post("/projects", {"name": "lost"}))[0] == 503
    assert (await api.post("/projects", {"name": "kept"}))[0] == 201


@pytest.mark.parametrize("database_kind", ["postgresql"])
async def test_ready_notices_a_read_only_postgresql(api: Api, database_address: str) -> None:
    with read_only(database_address):
        assert (await ready(api))[0] == 503
    async with asyncio.timeout(10):  # connections that PostgreSQL has closed may fail once
        while (await ready(api))[0] != 200:
            pass


@pytest.mark.parametrize("database_kind", ["postgresql"])
async def test_an_outage_is_two_lines_in_the_log_however_many_calls_fail(
    api: Api, postgres: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    postgres.control("stop", "-m", "immediate")
    try:
        for _ in range(20):
            assert (await api.post("/chat", CHAT))[0] == 503
            assert (await ready(api))[0] == 503
    finally:
        postgres.control("start")
    assert (await ready(api))[0] == 200
    assert (await api.post("/chat", CHAT))[0] == 200
    assert [record.levelname for record in caplog.records if record.name.startswith("humanloop_async")] == [
        "ERROR",
        "WARNING",
    ]


def test_a_database_that_works_now_and_then_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    health = DatabaseHealth()
    for _ in range(100):
        health.failed("read", ConnectionError("lost"))
        health.worked("read")
    assert len(caplog.records) == 2
