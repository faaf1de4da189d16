"""``/metrics``: its values, and that it is off by default."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from humanloop_async import server
from humanloop_async.server.providers.settings import ProviderSettings
from humanloop_async.server.settings import ServeError
from tests.server.running.test_workers import group, linux
from tests.server.served import CHAT, Api, with_config


async def scraped(session: aiohttp.ClientSession, base_url: str, label: str | None = None) -> dict[str, float]:
    """Return the samples without their labels, or those with one value of the label `provider`; equal names are added.

    A new connection may go to another worker than the one before.
    """
    headers = {"Connection": "close"}
    async with session.get(base_url.removesuffix("/v4") + "/metrics", headers=headers) as response:
        assert response.status == 200
        text = await response.text()
    samples: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if label is None or sample.labels.get("provider") == label:
                samples[sample.name] = samples.get(sample.name, 0) + sample.value
    return samples


async def test_metrics_count_streams_failures_and_rejections(start: Callable[..., Any]) -> None:
    async with start(metrics=True, max_generations=1, db_connections=2) as api:
        slow = with_config(CHAT, max_tokens=6, other={"tokens_per_second": 3})
        async with api.opened("/chat", slow) as running:
            await running.content.readany()
            assert (await scraped(api.session, api.server.base_url))["humanloop_running_generations"] == 1
            assert (await api.post("/chat", CHAT))[0] == 429
            await running.read()
        assert (await api.post("/chat", with_config(CHAT, other={"fail_after": 0})))[0] == 503
        await asyncio.gather(*(api.call("GET", "/projects") for _ in range(20)))
        samples = await scraped(api.session, api.server.base_url)
    assert samples["humanloop_running_generations"] == 0
    assert samples["humanloop_rejected_generations_total"] == 1
    assert samples["humanloop_provider_errors_total"] == 1
    assert samples["humanloop_first_token_seconds_count"] == 1
    assert samples["humanloop_chunk_gap_seconds_count"] >= 4
    assert 0.1 < samples["humanloop_chunk_gap_seconds_sum"] < 30
    assert samples["humanloop_log_backlog"] == 0
    assert samples["humanloop_database_waits_total"] >= 1
    assert samples["humanloop_database_wait_seconds_total"] > 0


@pytest.mark.parametrize("stream", [True, False])
async def test_a_fallback_counts_for_the_provider_that_responds(start: Callable[..., Any], stream: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()
    url = f"http://{address[0]}:{address[1]}/v1"
    unreachable = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": url, "HUMANLOOP_PROVIDER_MAX_RETRIES": "0"}
    async with start(metrics=True, providers=ProviderSettings.from_environ(unreachable)) as api:
        config = {"project": "p", "endpoint": "chat", "provider": "mock", "model": "m"}
        fallback = (await api.post("/model-configs", config))[1]["config"]["id"]
        primary = {"provider": "openai", "model": "gpt", "other": {"fallback_config_id": fallback}}
        async with api.session.post(
            api.server.base_url + "/chat", json={**CHAT, "model_config": primary, "stream": stream}
        ) as response:
            assert response.status == 200
            await response.read()
        failed = await scraped(api.session, api.server.base_url, "openai")
        answered = await scraped(api.session, api.server.base_url, "mock")
    assert failed["humanloop_provider_errors_total"] == 1
    assert failed.get("humanloop_first_token_seconds_count", 0) == 0
    assert answered.get("humanloop_provider_errors_total", 0) == 0
    assert answered.get("humanloop_first_token_seconds_count", 0) == (1 if stream else 0)


@linux
async def test_every_worker_reports_the_sums_of_all_also_after_one_was_killed(tmp_path: Path) -> None:
    async with group(str(tmp_path / "x.db"), metrics=True) as servers, aiohttp.ClientSession() as session:
        call = {**with_config(CHAT, max_tokens=3), "stream": True}
        assert await asyncio.gather(*(servers.ask(call) for _ in range(20))) == [200] * 20
        for _ in range(12):
            samples = await scraped(session, servers.base_url)
            assert samples["humanloop_first_token_seconds_count"] == 20
        endless = with_config(CHAT, max_tokens=1000, other={"tokens": 1000, "tokens_per_second": 5})
        running = [asyncio.create_task(servers.ask(endless)) for _ in range(12)]
        while (await scraped(session, servers.base_url))["humanloop_running_generations"] < 12:  # noqa: ASYNC110 - in other processes
            await asyncio.sleep(0.1)
        first, second = servers.workers()
        os.kill(first, signal.SIGKILL)
        await servers.expect_line(f"worker {first} exited")
        while servers.workers() == {second}:  # noqa: ASYNC110 - in another process
            await asyncio.sleep(0.1)
        for _ in range(12):
            samples = await scraped(session, servers.base_url)
            assert samples["humanloop_first_token_seconds_count"] == 20
            assert samples["humanloop_running_generations"] < 12
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        os.kill(servers.process.pid, signal.SIGTERM)
        assert "stopped" in await servers.end()


async def test_metrics_are_off_by_default(api: Api) -> None:
    async with api.session.get(api.server.base_url.removesuffix("/v4") + "/metrics") as response:
        assert response.status == 404


async def test_a_missing_library_is_named(start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(server, "metrics", raising=False)
    monkeypatch.delitem(sys.modules, "humanloop_async.server.metrics", raising=False)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ServeError, match="extra `metrics`"):
        async with start(metrics=True):
            pass
