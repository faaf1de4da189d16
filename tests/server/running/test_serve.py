"""Start and stop of a server: addresses, first keys, signals, and streams that run when it stops."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from sqlalchemy.exc import OperationalError

from humanloop_async.server import ServerSettings
from humanloop_async.server.running.connections import has_no_request
from humanloop_async.server.running.log_output import LogOptions
from humanloop_async.server.running.serve import ServerInfo, raise_file_limit, run, running, serve
from humanloop_async.server.running.workers import serve_workers
from humanloop_async.server.settings import ServeError
from humanloop_async.server.storage.database import Database
from tests.first_process import as_first, child_of
from tests.server.served import CHAT, events_of, hangup, with_config

_SERVE = """
import asyncio, json, sys
from humanloop_async.server.running.serve import serve
from humanloop_async.server.settings import ServerSettings

settings = ServerSettings(port=0, **json.loads(sys.argv[1]))
asyncio.run(serve(settings, on_ready=lambda info: print(json.dumps([info.base_url, info.new_key]), flush=True)))
print("stopped", flush=True)
"""


class _Process:
    def __init__(self, process: asyncio.subprocess.Process, base_url: str, key: str | None) -> None:
        self.process, self.base_url, self.key = process, base_url, key

    async def wait(self) -> str:
        """Wait for the end of the process, and return its output."""
        output, _ = await self.process.communicate()
        return output.decode()


@asynccontextmanager
async def _process(*prefix: str, **settings: Any) -> AsyncGenerator[_Process]:
    """Run a server in a separate process; `prefix` is a command that runs another one."""
    process = await asyncio.create_subprocess_exec(
        *prefix, sys.executable, "-W", "error", "-c", _SERVE, json.dumps(settings), stdout=-1, stderr=-2
    )
    try:
        assert process.stdout is not None
        line = await process.stdout.readline()
        yield _Process(process, *json.loads(line))
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_a_first_key_is_created_once_and_works_after_a_restart(tmp_path: Path) -> None:
    database = str(tmp_path / "x.db")
    async with _process(database=database) as first:
        assert first.key is not None
        first.process.send_signal(signal.SIGINT)
        assert await first.wait() == "stopped\n"
        assert first.process.returncode == 0
    async with _process(database=database) as second:
        assert second.key is None
        async with aiohttp.ClientSession(headers={"X-API-KEY": first.key}) as session:
            response = await session.post(second.base_url + "/chat", json=CHAT)
            assert response.status == 200
        second.process.send_signal(signal.SIGTERM)
        assert await second.wait() == "stopped\n"
    with closing(sqlite3.connect(database)) as connection:
        assert first.key not in str(connection.execute("SELECT * FROM api_keys").fetchall())


@pytest.mark.parametrize("number", [signal.SIGTERM, hangup])
async def test_running_streams_finish_and_new_calls_are_503(tmp_path: Path, number: signal.Signals) -> None:
    async with (
        _process(database=str(tmp_path / "x.db"), api_key="test key", shutdown_timeout=10) as server,
        aiohttp.ClientSession(headers={"X-API-KEY": "test key"}) as session,
    ):
        call = {**with_config(CHAT, max_tokens=20, other={"tokens_per_second": 20}), "stream": True}
        async with session.post(server.base_url + "/chat", json=call) as response:
            events = events_of(response)
            await anext(events)
            server.process.send_signal(number)
            while True:
                async with session.get(server.base_url.removesuffix("/v4") + "/ready") as ready:
                    if ready.status == 503:
                        break
            if number == signal.SIGHUP:  # a closing terminal may send two
                server.process.send_signal(number)
            async with session.post(server.base_url + "/chat", json=CHAT) as rejected:
                assert rejected.status == 503
                assert "Retry-After" in rejected.headers
                assert (await rejected.json())["detail"]["type"] == "service_unavailable_error"
            rest = [event async for event in events]
        assert len(rest) == 19
        assert rest[-1]["data"][0]["finish_reason"] == "length"
        assert await server.wait() == "stopped\n"


@pytest.mark.parametrize("stream", [True, False])
async def test_generations_that_still_run_after_the_timeout_are_interrupted(tmp_path: Path, stream: bool) -> None:
    database = str(tmp_path / "x.db")
    async with (
        _process(database=database, api_key="test key", shutdown_timeout=0.3) as server,
        aiohttp.ClientSession(headers={"X-API-KEY": "test key"}) as session,
    ):
        call = {**with_config(CHAT, max_tokens=1000, other={"tokens": 1000, "tokens_per_second": 20}), "stream": stream}
        if stream:
            async with session.post(server.base_url + "/chat", json=call) as response:
                events = events_of(response)
                await anext(events)
                server.process.send_signal(signal.SIGTERM)
                start = time.monotonic()
                *_, last = [event async for event in events]
            assert last["detail"]["code"] == 503
        else:
            asking = asyncio.ensure_future(session.post(server.base_url + "/chat", json=call))
            await asyncio.sleep(0.5)
            server.process.send_signal(signal.SIGTERM)
            start = time.monotonic()
            assert (await asking).status == 503
        assert 0.2 < time.monotonic() - start < 10
        assert await server.wait() == "stopped\n"
    with closing(sqlite3.connect(database)) as connection:
        [(status, error, output)] = connection.execute("SELECT status, error, output FROM logs").fetchall()
        assert (status, error) == ("interrupted", "the server is stopping")
        assert bool(output) is stream


async def test_a_client_that_does_not_read_cannot_keep_the_server_from_stopping(tmp_path: Path) -> None:
    async with (
        _process(database=str(tmp_path / "x.db"), api_key="test key", shutdown_timeout=0.1) as server,
        aiohttp.ClientSession(headers={"X-API-KEY": "test key"}) as session,
    ):
        call = {**with_config(CHAT, max_tokens=None, other={"tokens": 100_000}), "stream": True}
        async with session.post(server.base_url + "/chat", json=call) as response:
            assert response.status == 200
            await asyncio.sleep(0.5)  # until every buffer between them is full
            server.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                assert await server.wait() == "stopped\n"


async def test_a_server_that_is_about_to_stop_serves_calls_while_it_is_not_ready(tmp_path: Path) -> None:
    async with (
        _process(database=str(tmp_path / "x.db"), api_key="test key", drain_delay=1.5) as server,
        aiohttp.ClientSession(headers={"X-API-KEY": "test key"}) as session,
    ):
        server.process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        ready = 200
        while ready == 200:
            async with session.get(server.base_url.removesuffix("/v4") + "/ready") as response:
                ready = response.status
        for _ in range(3):
            async with session.post(server.base_url + "/chat", json=CHAT) as response:
                assert response.status == 200
                assert response.headers["Connection"] == "close"
        assert await server.wait() == "stopped\n"
        assert 1.4 < time.monotonic() - start < 10


@pytest.mark.parametrize("as_first_process", [False, True], ids=["", "pid 1"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_second_signal_ends_the_process_within_a_second(
    tmp_path: Path, number: signal.Signals, as_first_process: bool
) -> None:
    """Also with an idle connection and a client that reads nothing; the log keeps the text produced so far."""
    database = str(tmp_path / "x.db")
    prefix = as_first() if as_first_process else []
    async with (
        _process(*prefix, database=database, api_key="test key", drain_delay=60, shutdown_timeout=60) as server,
        aiohttp.ClientSession(headers={"X-API-KEY": "test key"}) as session,
    ):
        async with session.get(server.base_url.removesuffix("/v4") + "/health") as response:
            await response.read()  # the connection stays open
        call = {**with_config(CHAT, max_tokens=1000, other={"tokens": 1000, "tokens_per_second": 20}), "stream": True}
        unread = {**with_config(CHAT, max_tokens=None, other={"tokens": 100_000}), "stream": True}
        pid = child_of(server.process.pid) if as_first_process else server.process.pid
        async with session.post(server.base_url + "/chat", json=unread):
            async with session.post(server.base_url + "/chat", json=call) as response:
                await anext(events_of(response))
                os.kill(pid, number)
                await asyncio.sleep(0.3)
                assert server.process.returncode is None
                os.kill(pid, number)
                start = time.monotonic()
                await server.wait()
            assert time.monotonic() - start < 1.5  # one second, and the end of the interpreter on a busy machine
        assert server.process.returncode == 128 + number
    with closing(sqlite3.connect(database)) as connection:
        logs = connection.execute("SELECT status, output FROM logs").fetchall()
        assert len(logs) == 2
        assert all(status == "interrupted" and output for status, output in logs)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_start_that_fails_leaves_no_key(tmp_path: Path, workers: int) -> None:
    """Nobody would see it."""
    database = str(tmp_path / "x.db")
    await (await Database.open(database)).aclose()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("DROP TABLE environments")  # read after the key is stored
        settings = ServerSettings(port=0, database=database)
        if workers == 1:
            with pytest.raises(OperationalError, match="environments"):
                await serve(settings)
        else:
            with pytest.raises(ServeError, match="a worker failed to start"):
                await serve_workers(settings, workers, log=LogOptions())
        assert connection.execute("SELECT * FROM api_keys").fetchall() == []


async def test_other_addresses_than_loopback_need_a_key(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", ""):
        with pytest.raises(ServeError, match="HUMANLOOP_API_KEY"):
            await serve(ServerSettings(host=host, port=0, database=str(tmp_path / "x.db")))


async def test_a_taken_port_is_a_clear_error(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=f"cannot listen on 127.0.0.1 port {port}"):
            await serve(ServerSettings(port=port, database=str(tmp_path / "new" / "x.db")))
    assert not (tmp_path / "new").exists()


async def test_a_connection_without_a_request_is_closed(tmp_path: Path) -> None:
    """An incomplete head of a first request does not count; a connection that waits for its next request does."""
    async with running(ServerSettings(port=0, database=str(tmp_path / "x.db")), head_timeout=0.2) as info:
        host, port = info.base_url.split("/")[2].split(":")
        connections = []
        for head in (b"", b"GET /health HTTP/1.1\r\nHost:", b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(head)
            connections.append((reader, writer))
        async with asyncio.timeout(10):
            assert [await reader.read() for reader, _ in connections[:2]] == [b"", b""]
        reader, writer = connections[2]
        for _ in range(2):
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.5)
            writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for _, writer in connections:
            writer.close()


def test_no_connection_is_closed_if_aiohttp_does_not_count_requests() -> None:
    """`_request_count` is private: another version of aiohttp may rename it, and the server must still work."""
    counted, not_counted = SimpleNamespace(_request_count=0), SimpleNamespace()
    assert [has_no_request(connection) for connection in (counted, not_counted)] == [True, False]


def test_the_limit_of_open_files_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, before[1]), before[1]))
    try:
        raise_file_limit(10)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
        assert not caplog.records
        raise_file_limit(10**9)
        assert "ulimit -n" in caplog.text or before[1] == resource.RLIM_INFINITY
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_serve_stops_when_its_task_is_cancelled(tmp_path: Path) -> None:
    ready: asyncio.Future[ServerInfo] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        serve(ServerSettings(port=0, database=str(tmp_path / "x.db")), on_ready=ready.set_result)
    )
    info = await ready
    assert info.new_key is not None
    assert info.new_key not in repr(info)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(info.base_url)


@pytest.mark.parametrize("installed", [True, False])
def test_a_server_process_uses_uvloop_if_it_is_installed(monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    loops: list[str] = []

    async def look() -> None:
        loops.append(type(asyncio.get_running_loop()).__module__)

    if not installed:
        monkeypatch.setitem(sys.modules, "uvloop", None)
    run(look())
    assert loops == ["uvloop" if installed else "asyncio.unix_events"]
