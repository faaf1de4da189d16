"""``kill -9`` in the middle of everything, again and again: what a client has seen the end of is there, and whole."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import aiohttp
import pytest

from humanloop_async.server.storage.servers import INTERRUPTED
from tests.server.served import rows

KEY = "a key of the tests"
CLIENTS = 8

# Everything is imported once; each line on standard input makes a child that is a server of its own.
_SERVE = """
import asyncio, os, sys
import aiosqlite, asyncpg
from humanloop_async.server.running.serve import serve
from humanloop_async.server.settings import ServerSettings
from humanloop_async.server.storage import migrations

settings = ServerSettings(port=0, database=sys.argv[1], api_key=sys.argv[2])
for _ in sys.stdin:
    if (pid := os.fork()) == 0:
        asyncio.run(serve(settings, on_ready=lambda info: print(os.getpid(), info.base_url, flush=True)))
        os._exit(0)
    print(os.waitpid(pid, 0)[1], flush=True)
"""


@dataclass
class Seen:
    """A sample as its client saw it."""

    call: str
    pieces: list[str] = field(default_factory=list)
    finish_reason: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass
class Load:
    """Clients that stream as fast as they can, each call under an ``Idempotency-Key`` of its own."""

    chance: random.Random
    samples: dict[str, Seen] = field(default_factory=dict)
    cut: dict[str, dict[str, Any]] = field(default_factory=dict)  # calls whose end nobody saw
    numbers: count[int] = field(default_factory=count)

    async def run(self, url: str, client: int) -> None:
        async with aiohttp.ClientSession(headers={"X-API-KEY": KEY}) as session:
            with suppress(aiohttp.ClientError):
                while True:
                    call = f"call-{next(self.numbers)}"
                    tokens = self.chance.randrange(1, 40)
                    config = {
                        "max_tokens": tokens,
                        "other": {"tokens_per_second": self.chance.choice([100, 400, 2000])},
                    }
                    self.cut[call] = {
                        "project": f"p{client % 3}",
                        "messages": [{"role": "user", "content": f"{call} {'x' * 500}"}],
                        "model_config": {"provider": "mock", "model": "words", **config},
                        "num_samples": 1 + client % 3,
                        "user": call,
                        "stream": True,
                    }
                    await self.ask(session, url, call)

    async def ask(self, session: aiohttp.ClientSession, url: str, call: str) -> None:
        headers = {"Idempotency-Key": call}
        async with session.post(f"{url}/chat", json=self.cut[call], headers=headers) as response:
            assert response.status == 200, await response.text()
            ended, samples = False, dict[str, Seen]()
            async for line in response.content:
                if line.startswith(b"data: ") and line.endswith(b"\n"):
                    event = json.loads(line[6:])
                    assert "data" in event, event
                    (data,) = event["data"]
                    if data["id"] not in samples:  # a repetition begins from the beginning
                        samples[data["id"]] = self.samples[data["id"]] = Seen(call)
                    sample = samples[data["id"]]
                    sample.pieces.append(data["output"])
                    sample.finish_reason = data["finish_reason"]
                    ended = event["usage"] is not None
        if ended:
            del self.cut[call]


class Servers:
    """Server processes on one database, one after the other."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[tuple[int, str]]:
        """Process id and address; killed at the end at the latest."""
        self._stdin.write(b"go\n")
        pid, url = (await self._stdout.readline()).decode().split()
        try:
            yield int(pid), url
        finally:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
            assert int(await self._stdout.readline()) == signal.SIGKILL


@pytest.fixture
async def servers(database_address: str) -> AsyncGenerator[Servers]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _SERVE, database_address, KEY, stdin=-1, stdout=-1
    )
    try:
        yield Servers(process)
    finally:
        await process.communicate(b"")  # the end of its standard input ends it


def check(address: str, load: Load) -> None:
    """What the database holds, against what the clients saw."""
    found = {row["id"]: row for row in rows(address, "SELECT * FROM logs")}
    for id, seen in load.samples.items():
        if seen.finish_reason is not None:
            row = found[id]
            assert (row["status"], row["finish_reason"]) == ("complete", seen.finish_reason)
            assert (row["raw_output"] or row["output"]) == seen.text
    for id, row in found.items():
        (message,) = json.loads(row["messages"])
        assert message["content"].startswith(f"{row['user']} x")
        assert json.loads(row["provider_request"])
        seen = load.samples.get(id, Seen(row["user"]))
        match row["status"]:
            case "complete":
                assert row["finish_reason"]
                assert (row["raw_output"] or row["output"]).startswith(seen.text)
                assert row["owner"] is None
            case "interrupted":
                assert (row["output"], row["finish_reason"], row["error"]) == (None, None, INTERRUPTED)
                assert seen.finish_reason is None
            case "running":  # on its way when the server was killed, and no other has started since
                assert seen.finish_reason is None
            case status:
                pytest.fail(f"a log is {status}")


@pytest.mark.timeout(90)
@pytest.mark.parametrize(("database_kind", "kills"), [("sqlite", 15), ("postgresql", 8)])
async def test_what_was_seen_to_end_survives_a_kill_and_nothing_is_half(
    database_address: str, servers: Servers, kills: int, seed: int
) -> None:
    load = Load(random.Random(seed))
    for _ in range(kills):
        async with servers.serving() as (pid, url):
            clients = [asyncio.create_task(load.run(url, client)) for client in range(CLIENTS)]
            await asyncio.sleep(load.chance.uniform(0.1, 0.6))
            os.kill(pid, signal.SIGKILL)
            await asyncio.gather(*clients)
        check(database_address, load)
        # The dead server's lease runs out, which would take a quarter of a minute.
        rows(database_address, "DELETE FROM servers")
    ended = [seen for seen in load.samples.values() if seen.finish_reason is not None]
    assert len(ended) > kills
    assert load.cut

    again = list(load.cut)
    async with servers.serving() as (_, url):
        assert rows(database_address, "SELECT id FROM logs WHERE status = 'running'") == []
        check(database_address, load)
        async with aiohttp.ClientSession(headers={"X-API-KEY": KEY}) as session:
            for call in again:  # what was cut off is made again under its key, or its outcome is there
                await load.ask(session, url, call)
        assert load.cut == {}
        check(database_address, load)
    # Calls of one sample, which are those of project p0: made once, however often they were asked for.
    made = (
        "SELECT logs.id FROM logs JOIN projects ON projects.id = project_id WHERE name = 'p0' AND status = 'complete'"
    )
    calls = made.replace("logs.id", 'DISTINCT logs."user"', 1)
    assert len(rows(database_address, made)) == len(rows(database_address, calls)) > 0
