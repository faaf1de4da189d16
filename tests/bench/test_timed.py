"""Reads are kept and decoded together. That changes neither the time of a token nor when a stream ends."""

from __future__ import annotations

from itertools import pairwise

import pytest

from humanloop_async.bench import timed
from humanloop_async.bench.load import Closed, Limits
from humanloop_async.bench.null_server import NullSchedule, NullServer
from humanloop_async.bench.settings import Api
from humanloop_async.testing import STREAM_HEAD, Action, ScriptedServer, Step, http_chunk
from tests.bench.measuring import measure, settings
from tests.events import event, sse

both_apis = pytest.mark.parametrize("api", ["v4", "openai"])


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of reads that each wake-up of a stream brought."""
    found: list[int] = []
    read = timed.TimedResponse.read

    async def counted(self: timed.TimedResponse, timeout: float | None) -> bytes:
        waits = not self.has_kept
        data = await read(self, timeout)
        if waits:
            found.append(1 + len(self._kept))
        return data

    monkeypatch.setattr(timed.TimedResponse, "read", counted)
    return found


@both_apis
async def test_a_kept_token_has_the_time_of_its_arrival(api: Api, batches: list[int]) -> None:
    """Each token was seen after the server sent it and before the server sent the next one."""
    schedule = NullSchedule(ttft=0.02, itl=0.01, tokens=100)
    async with NullServer(schedule, keep_logs=True).running() as server:
        outcome = await measure(settings(api, server.url(api)), Closed(1), Limits(requests=1))
    assert max(batches) > 5
    (record,), (log,) = outcome.records, server.logs
    seen = [time + outcome.origin for time in record.arrivals[0]]
    sent = log.writes[0]
    assert len(seen) == len(sent) == 100
    for arrived, (before, after) in zip(seen, pairwise(sent), strict=False):
        # After a pause of the whole process, the server sends all tokens that are due together.
        assert before <= arrived < after or after - before < schedule.itl / 2


async def test_streams_that_begin_together_do_not_decode_together(batches: list[int]) -> None:
    """With one limit for all, 64 streams would decode at the same moment, and give their next tokens late times."""
    async with NullServer(NullSchedule(ttft=0.02, itl=0.005, tokens=40)).running() as server:
        await measure(settings("openai", server.url("openai")), Closed(8), Limits(requests=8))
    assert len({size for size in batches if size > timed._MAX_KEPT // 2}) > 1


@both_apis
async def test_a_cancelled_stream_has_the_tokens_that_were_kept(api: Api, batches: list[int]) -> None:
    async with NullServer(NullSchedule(ttft=0.01, itl=0.02, tokens=1000), keep_logs=True).running() as server:
        outcome = await measure(settings(api, server.url(api)), Closed(1), Limits(duration=0.1, drain=0.8))
    (record,), (log,) = outcome.records, server.logs
    assert record.outcome == "unfinished"
    assert len(log.writes[0]) - 1 <= record.chunks <= len(log.writes[0])
    assert max(batches) > 5


async def test_events_without_a_token_do_not_prolong_the_wait_for_one() -> None:
    token = sse({"choices": [{"index": 0, "delta": {"content": "x"}}]})
    steps: list[Step] = [STREAM_HEAD, http_chunk(token)]
    for _ in range(60):
        steps += [http_chunk(sse({"choices": []})), 0.2]
    async with ScriptedServer() as server:
        server.add_script(*steps, Action.WAIT)
        outcome = await measure(settings("openai", server.url, timeout=0.5), Closed(1), Limits(requests=1))
    (record,) = outcome.records
    assert record.outcome == "timeout: idle"
    assert record.ended - record.sent < 2.5  # after 16 kept events or more, it would be 3.2


async def test_the_last_finish_reason_is_not_kept() -> None:
    """A server that then leaves the body open delays the end by half a second, not by the timeout."""
    async with ScriptedServer() as server:
        pause = 0.05
        script: list[Step] = [
            STREAM_HEAD,
            http_chunk(event(0, "a")),
            pause,
            http_chunk(event(0, "b")),
            pause,
            http_chunk(event(0, "c", "stop")),
        ]
        server.add_script(*script, Action.WAIT)
        outcome = await measure(settings("v4", server.url, timeout=40), Closed(1), Limits(requests=1))
    (record,) = outcome.records
    assert (record.outcome, record.chunks) == ("ok", 3)
    assert record.ended - record.sent < 20
