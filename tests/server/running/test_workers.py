"""``serve --workers``: several processes on one port, supervised by their parent."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from humanloop_async.server.running.log_output import LogOptions
from humanloop_async.server.running.workers import serve_workers
from humanloop_async.server.settings import ServeError, ServerSettings
from tests.server.served import CHAT, hangup, on_both_databases, rows, with_config

_SERVE = """
import asyncio, logging, json, sys
from humanloop_async.server.settings import ServeError, ServerSettings
from humanloop_async.server.running.log_output import LogOptions
from humanloop_async.server.running.workers import serve_workers

logging.basicConfig(format="%(message)s", stream=sys.stdout)
settings = ServerSettings(port=0, **json.loads(sys.argv[1]))
try:
    asyncio.run(serve_workers(settings, int(sys.argv[2]), log=LogOptions(), on_ready=lambda info: print(
        json.dumps([info.base_url, info.new_key]), flush=True)))
except ServeError as exc:
    sys.exit(f"gave up: {exc}")
print("stopped", flush=True)
"""


class Group:
    """A parent and its workers."""

    def __init__(self, process: asyncio.subprocess.Process, base_url: str, key: str) -> None:
        self.process, self.base_url, self.key = process, base_url, key

    def workers(self) -> set[int]:
        """Return the process ids of the workers."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return {int(pid) for pid in path.read_text().split()}

    async def ask(self, body: dict[str, Any] = CHAT) -> int:
        """Send a call over a new connection, and return its status."""
        session = aiohttp.ClientSession(headers={"X-API-KEY": self.key})
        async with session, session.post(f"{self.base_url}/chat", json=body) as response:
            await response.read()
            return response.status

    async def expect_line(self, text: str) -> None:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert text in line.decode()

    async def end(self) -> str:
        output, _ = await self.process.communicate()
        return output.decode()


@asynccontextmanager
async def group(address: str, count: int = 2, **settings: Any) -> AsyncGenerator[Group]:
    arguments = json.dumps({"database": address, **settings})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", _SERVE, arguments, str(count), stdout=-1, stderr=-2
    )
    try:
        assert process.stdout is not None
        yield Group(process, *json.loads(await process.stdout.readline()))
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def is_running(pid: int) -> bool:
    """Return whether a process has not ended: one whose parent has, too, may stay as a zombie for seconds."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


async def gone(pids: set[int], seconds: float = 8) -> None:
    """Wait until all of these processes have ended."""
    deadline = time.monotonic() + seconds
    while left := [pid for pid in pids if is_running(pid)]:
        assert time.monotonic() < deadline, left
        await asyncio.sleep(0.05)


TEMPLATE = {"role": "system", "content": "{{ 1 + 1 }}"}

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="not applicable: needs /proc")


@linux
@on_both_databases
async def test_calls_are_spread_over_the_workers_and_all_are_logged(database_address: str) -> None:
    async with group(database_address) as servers:
        slow = with_config(CHAT, other={"tokens_per_second": 10}, max_tokens=20)
        calls = [asyncio.create_task(servers.ask(slow)) for _ in range(32)]
        await asyncio.sleep(1)
        owners = Counter(
            row["owner"] for row in rows(database_address, "SELECT owner FROM logs WHERE status = 'running'")
        )
        assert set(await asyncio.gather(*calls)) == {200}
        assert len(owners) == 2
        assert min(owners.values()) >= 4
        assert len(rows(database_address, "SELECT id FROM logs WHERE status = 'complete'")) == 32
        assert len(rows(database_address, "SELECT id FROM api_keys")) == 1
        children = servers.workers()
        assert len(children) == 2
        servers.process.terminate()
        assert await servers.end() == "stopped\n"
        assert servers.process.returncode == 0
        await gone(children, 0)


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, hangup])
async def test_running_streams_finish_when_a_signal_stops_all_workers(
    database_address: str, number: signal.Signals
) -> None:
    async with group(database_address, shutdown_timeout=10) as servers:
        slow = with_config(CHAT, other={"tokens_per_second": 10}, max_tokens=10)
        calls = [asyncio.create_task(servers.ask(slow)) for _ in range(8)]
        await asyncio.sleep(0.3)
        servers.process.send_signal(number)
        assert set(await asyncio.gather(*calls)) == {200}
        assert await servers.end() == "stopped\n"
    assert {row["status"] for row in rows(database_address, "SELECT status FROM logs")} == {"complete"}


@linux
async def test_a_worker_that_dies_is_replaced(database_address: str) -> None:
    async with group(database_address) as servers:
        before = servers.workers()
        victim = before.pop()
        os.kill(victim, signal.SIGKILL)
        await servers.expect_line(f"worker {victim} exited with status -9; starting a replacement")
        assert set(await asyncio.gather(*(servers.ask() for _ in range(8)))) == {200}  # the other worker serves them
        deadline = time.monotonic() + 8
        while len(servers.workers()) < 2:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert before < servers.workers()


@linux
async def test_workers_that_die_again_and_again_stop_the_server(database_address: str) -> None:
    async with group(database_address, count=6) as servers:
        for worker in servers.workers():
            os.kill(worker, signal.SIGKILL)
        output = await servers.end()
        assert "gave up: 6 workers died within 60 seconds" in output
        assert servers.process.returncode == 1


@linux
async def test_children_of_workers_inherit_no_sockets(database_address: str) -> None:
    async with group(database_address, count=1) as servers:
        assert await servers.ask(with_config(CHAT, template_language="jinja", chat_template=[TEMPLATE])) == 200
        (worker,) = servers.workers()
        children = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()  # noqa: ASYNC240
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for pid in children for fd in os.listdir(f"/proc/{pid}/fd")]
        listening = {
            f"socket:[{line.split()[9]}]"
            for line in Path("/proc/net/tcp").read_text().splitlines()[1:]  # noqa: ASYNC240
            if line.split()[3] == "0A"
        }
        assert len(links) >= 3
        assert not listening.intersection(links)


@linux
async def test_workers_do_not_outlive_their_parent(database_address: str) -> None:
    async with group(database_address) as servers:
        children = servers.workers()
        servers.process.kill()
        await gone(children)


@linux
async def test_a_second_signal_ends_all_processes_at_once(database_address: str) -> None:
    async with group(database_address, shutdown_timeout=60) as servers:
        slow = with_config(CHAT, other={"tokens_per_second": 1})
        call = asyncio.create_task(servers.ask(slow))
        await asyncio.sleep(0.3)
        children = servers.workers()
        servers.process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.3)
        assert not call.done()
        servers.process.send_signal(signal.SIGINT)
        await gone(children, 1.5)
        assert await call == 503  # cancelled
        await servers.end()
        assert servers.process.returncode == 128 + signal.SIGINT
    assert rows(database_address, "SELECT status FROM logs") == [{"status": "interrupted"}]


async def test_an_impossible_start_is_an_error_before_any_worker_starts(tmp_path: Path) -> None:
    database = str(tmp_path / "x.db")
    with pytest.raises(ServeError, match="keys create"):
        await serve_workers(ServerSettings(host="0.0.0.0", port=0, database=database), 2, log=LogOptions())
    async with group(database) as servers:
        port = int(servers.base_url.split(":")[2].split("/")[0])
        with pytest.raises(ServeError, match=f"cannot listen on 127.0.0.1 port {port}"):
            await serve_workers(ServerSettings(port=port, database=database), 2, log=LogOptions())
