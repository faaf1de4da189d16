"""Repeated ``kill -9`` under load: every sample whose end a client has received is stored completely."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import aiohttp
import pytest

from humanloop_async.server.storage.servers import INTERRUPTED
from tests.server.forked import Servers, forked_servers
from tests.server.served import rows

KEY = "a key of the tests"
CLIENTS = 8


@dataclass
class Seen:
    """A sample as its client received it."""

    call: str
    pieces: list[str] = field(default_factory=list)
    finish_reason: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass
class Load:
    """Clients that stream as fast as they can. Each call has a new ``Idempotency-Key``."""

    chance: random.Random
    samples: dict[str, Seen] = field(default_factory=dict)
    cut: dict[str, dict[str, Any]] = field(default_factory=dict)  # calls whose end no client has received
    numbers: count[int] = field(default_factory=count)

    @property
    def ended(self) -> int:
        """The number of samples whose end a client has received."""
        return sum(seen.finish_reason is not None for seen in self.samples.values())

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
                    if data["id"] not in samples:  # a retry starts again
                        samples[data["id"]] = self.samples[data["id"]] = Seen(call)
                    sample = samples[data["id"]]
                    sample.pieces.append(data["output"])
                    sample.finish_reason = data["finish_reason"]
                    ended = event["usage"] is not None
        if ended:
            del self.cut[call]


@pytest.fixture
async def servers(database_address: str) -> AsyncGenerator[Servers]:
    async with forked_servers(database_address, KEY) as servers:
        yield servers


def check(address: str, load: Load) -> None:
    """Compare the logs in the database with the samples that the clients received."""
    logs = {row["id"]: row for row in rows(address, "SELECT * FROM logs")}
    contents = {row["id"]: row for row in rows(address, "SELECT * FROM log_contents")}
    assert contents.keys() == {row["content_id"] for row in logs.values()} - {None}
    for id, seen in load.samples.items():
        if seen.finish_reason is not None:
            row = logs[id]
            assert (row["status"], row["finish_reason"]) == ("complete", seen.finish_reason)
            assert (row["raw_output"] or row["output"]) == seen.text
    for id, row in logs.items():
        content = row if row["content_id"] is None else contents[row["content_id"]]
        (message,) = json.loads(content["messages"])
        assert message["content"].startswith(f"{content['user']} x")
        assert json.loads(content["provider_request"])
        seen = load.samples.get(id, Seen(content["user"]))
        match row["status"]:
            case "complete":
                assert row["finish_reason"]
                assert (row["raw_output"] or row["output"]).startswith(seen.text)
                assert row["owner"] is None
            case "interrupted":
                assert (row["output"], row["finish_reason"], row["error"]) == (None, None, INTERRUPTED)
                assert seen.finish_reason is None
            case "running":  # the server was killed, and no other has started since
                assert seen.finish_reason is None
            case status:
                pytest.fail(f"a log is {status}")


@pytest.mark.timeout(90)
@pytest.mark.parametrize(("database_kind", "kills"), [("sqlite", 15), ("postgresql", 8)])
async def test_what_was_seen_to_end_survives_a_kill_and_nothing_is_half(
    database_address: str, servers: Servers, kills: int, seed: int
) -> None:
    load = Load(random.Random(seed))
    killed = 0
    while killed < kills or load.ended <= kills:  # a busy machine needs more servers to finish as many samples
        killed += 1
        async with servers.serving() as (pid, url):
            clients = [asyncio.create_task(load.run(url, client)) for client in range(CLIENTS)]
            await asyncio.sleep(load.chance.uniform(0.1, 0.6))
            os.kill(pid, signal.SIGKILL)
            await asyncio.gather(*clients)
        check(database_address, load)
        # Expire the lease of the dead server, which would take 15 seconds.
        rows(database_address, "DELETE FROM servers")
    assert load.cut

    interrupted = list(load.cut)
    async with servers.serving() as (_, url):
        assert rows(database_address, "SELECT id FROM logs WHERE status = 'running'") == []
        check(database_address, load)
        async with aiohttp.ClientSession(headers={"X-API-KEY": KEY}) as session:
            for call in interrupted:  # an interrupted call runs again, or its outcome is replayed
                await load.ask(session, url, call)
        assert load.cut == {}
        check(database_address, load)
    # The calls with one sample are those of project p0. Each of them has exactly one complete log.
    complete = (
        "SELECT logs.id FROM logs JOIN projects ON projects.id = project_id WHERE name = 'p0' AND status = 'complete'"
    )
    calls = complete.replace("logs.id", 'DISTINCT logs."user"', 1)
    assert len(rows(database_address, complete)) == len(rows(database_address, calls)) > 0
