"""``/metrics``: its values, and that it is off by default."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from humanloop_async.server.settings import ServeError
from tests.server.served import CHAT, Api, with_config


async def scraped(api: Api) -> dict[str, float]:
    """Return the samples without their labels; those of one name are added."""
    async with api.session.get(api.server.base_url.removesuffix("/v4") + "/metrics") as response:
        assert response.status == 200
        text = await response.text()
    samples: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples[sample.name] = samples.get(sample.name, 0) + sample.value
    return samples


async def test_metrics_count_streams_failures_and_rejections(start: Callable[..., Any]) -> None:
    async with start(metrics=True, max_generations=1, db_connections=2) as api:
        slow = with_config(CHAT, max_tokens=6, other={"tokens_per_second": 3})
        async with api.opened("/chat", slow) as running:
            await running.content.readany()
            assert (await scraped(api))["humanloop_running_generations"] == 1
            assert (await api.post("/chat", CHAT))[0] == 429
            await running.read()
        assert (await api.post("/chat", with_config(CHAT, other={"fail_after": 0})))[0] == 503
        await asyncio.gather(*(api.call("GET", "/projects") for _ in range(20)))
        samples = await scraped(api)
    assert samples["humanloop_running_generations"] == 0
    assert samples["humanloop_rejected_generations_total"] == 1
    assert samples["humanloop_provider_errors_total"] == 1
    assert samples["humanloop_first_token_seconds_count"] == 1
    assert samples["humanloop_chunk_gap_seconds_count"] >= 4
    assert 0.1 < samples["humanloop_chunk_gap_seconds_sum"] < 30
    assert samples["humanloop_log_backlog"] == 0
    assert samples["humanloop_database_waits_total"] >= 1
    assert samples["humanloop_database_wait_seconds_total"] > 0


async def test_metrics_are_off_by_default(api: Api) -> None:
    async with api.session.get(api.server.base_url.removesuffix("/v4") + "/metrics") as response:
        assert response.status == 404


async def test_a_missing_library_is_named(start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "humanloop_async.server.metrics", raising=False)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ServeError, match="extra `metrics`"):
        async with start(metrics=True):
            pass
