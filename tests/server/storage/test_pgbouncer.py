"""A server behind PgBouncer, which gives it another connection to PostgreSQL for each transaction."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncGenerator, Iterator

import aiohttp
import pytest

from humanloop_async.server.running.embedded import EmbeddedServer
from humanloop_async.server.storage.database import Database
from tests.postgres import Cluster
from tests.server.served import CHAT, COMPLETION, Api, with_config

PROGRAM = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="pgbouncer is not installed (Debian: apt-get install pgbouncer)"
)


@pytest.fixture(params=["transaction", "session"])
def address(request: pytest.FixtureRequest, postgres: Cluster) -> Iterator[tuple[str, str]]:
    """The URL of an empty database through PgBouncer, and the direct one."""
    direct = postgres.new_database()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    config = postgres.folder / f"pgbouncer-{port}.ini"
    # Two connections in transaction mode, so that transactions of one client do change between them.
    config.write_text(
        f"[databases]\n* = host=127.0.0.1 port={postgres.port} user=tests\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = any\npool_mode = {request.param}\n"
        f"default_pool_size = {2 if request.param == 'transaction' else 40}\n"
    )
    config.chmod(0o644)
    assert PROGRAM is not None
    with subprocess.Popen([PROGRAM, "-q", str(config)], **postgres.as_user) as process:
        try:
            deadline = time.monotonic() + 20
            while process.poll() is None and time.monotonic() < deadline:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield direct.replace(f":{postgres.port}/", f":{port}/"), direct
        finally:
            process.terminate()
    postgres.drop(direct)


@pytest.fixture
async def api(address: tuple[str, str]) -> AsyncGenerator[Api]:
    server = EmbeddedServer(database=address[0])
    async with server, aiohttp.ClientSession(headers={"X-API-KEY": server.api_key}) as session:
        yield Api(server, session, address[1])


async def test_calls_work_through_pgbouncer(api: Api) -> None:
    assert (await api.post("/projects", {"name": "greeter"}))[0] == 201
    calls = [api.post("/chat", with_config(CHAT, temperature=number / 10)) for number in range(10)]
    calls += [api.post("/completion", COMPLETION) for _ in range(30)]
    assert [status for status, _ in await asyncio.gather(*calls)] == [200] * 40
    streams = await asyncio.gather(*(api.stream("/chat", CHAT) for _ in range(20)))
    assert all(events[-1]["data"][0]["finish_reason"] for events in streams)
    (project,) = (await api.call("GET", "/projects"))[1]["records"]
    lists = await asyncio.gather(
        *(api.call("GET", "/logs", query={"project_id": project["id"], "page": page}) for page in range(1, 31))
    )
    assert {(status, page["total"]) for status, page in lists} == {(200, 60)}
    assert {log["status"] for log in api.logs()} == {"complete"}
    async with api.session.post(
        f"{api.server.base_url}/feedback",
        json=[{"type": "rating", "value": "good", "data_id": log["id"]} for log in api.logs()],
        headers={"Idempotency-Key": "1"},
    ) as response:
        assert response.status == 200


async def test_a_direct_connection_keeps_its_prepared_statements(address: tuple[str, str]) -> None:
    for url, is_pooled in zip(address, (True, False), strict=True):
        database = await Database.open(url)
        autocommits = database.readers.engine.sync_engine.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
        await database.aclose()
        assert autocommits is not is_pooled
