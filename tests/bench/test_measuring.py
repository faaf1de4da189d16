"""Records agree with a server's log: no token is missed, and none is seen before it was sent or after the next one."""

from __future__ import annotations

import asyncio

import pytest

from humanloop_async.bench.generator import LoadGenerator, Outcome
from humanloop_async.bench.load import Burst, Closed, Limits, Load, Open, Replay, TraceEntry
from humanloop_async.bench.metrics import METRICS, token_count
from humanloop_async.bench.null_server import NullSchedule, NullServer, StreamLog
from humanloop_async.bench.recording import Record
from humanloop_async.bench.settings import Api
from humanloop_async.bench.targets import open_target
from tests.bench.measuring import measure, plan, settings

both_apis = pytest.mark.parametrize("api", ["v4", "openai"])
LATE = 0.001  # timers of the server may fire this much early: they are rounded


def matched(outcome: Outcome, server: NullServer) -> list[tuple[Record, StreamLog]]:
    """Pair each record with the server's log of the same request, both in order of sending."""
    records = sorted(outcome.records, key=lambda record: record.sent)
    assert len(records) == len(server.logs)
    return list(zip(records, server.logs, strict=True))


@both_apis
@pytest.mark.parametrize("samples", [1, 3])
async def test_every_token_is_recorded_after_it_was_sent(api: Api, samples: int) -> None:
    """One stream at a time, so that the order of events in both processes' logs is certain."""
    schedule = NullSchedule(ttft=0.03, itl=0.01, tokens=12, skew=0.004)
    async with NullServer(schedule, keep_logs=True).running() as server:
        outcome = await measure(
            settings(api, server.url(api), num_samples=samples), Closed(1), Limits(requests=5, warmup_requests=1)
        )
        assert [record.outcome for record in outcome.records] == ["ok"] * 6
        assert [record.warmup for record in outcome.records] == [True] + [False] * 5
        for record, log in matched(outcome, server):
            origin = outcome.origin
            assert record.sent + origin <= log.received
            assert len(record.arrivals) == len(log.writes) == samples
            for arrived, written in zip(record.arrivals, log.writes, strict=True):
                assert len(arrived) == len(written) == 12
                assert all(seen + origin >= sent for seen, sent in zip(arrived, written, strict=True))
                assert list(arrived) == sorted(arrived)
            last = record.last_token
            assert last is not None
            assert record.ended >= last
            # The server never sends early, so no measured time can be shorter than the schedule.
            (ttft,) = METRICS["ttft"].values(record, None)
            assert ttft >= schedule.ttft
            assert last + origin >= log.received + schedule.ttft + 11 * schedule.itl - LATE
            assert len(METRICS["itl"].values(record, None)) == samples * 11
            assert record.tokens == samples * 12
            if samples > 1:
                (skew,) = METRICS["sample_skew"].values(record, None)
                (first,) = METRICS["ttft_last_sample"].values(record, None)
                assert first >= schedule.ttft + (samples - 1) * schedule.skew
                assert skew <= first


@both_apis
async def test_the_tokens_of_concurrent_streams_are_counted(api: Api) -> None:
    async with NullServer(NullSchedule(ttft=0.02, itl=0.01, tokens=40)).running() as server:
        outcome = await measure(settings(api, server.url(api)), Closed(4), Limits(requests=8))
    for record in outcome.records:
        assert len(METRICS["itl"].values(record, None)) == 39
        assert (record.tokens, record.prompt_tokens) == (40, 10)
    assert token_count(outcome.records).method == "usage"


async def test_open_load_sends_at_its_times_whatever_the_server_does() -> None:
    """No request waits for an earlier one: all are sent although none has ended."""
    async with NullServer(NullSchedule(ttft=0.5, tokens=1), keep_logs=True).running() as server:
        outcome = await measure(settings("v4", server.url("v4")), Open(40, "constant"), Limits(requests=12))
        scheduled = [record.scheduled for record in outcome.records]
        assert scheduled == pytest.approx([number / 40 for number in range(12)])
        assert all(record.sent >= (record.scheduled or 0) for record in outcome.records)
        assert max(record.sent for record in outcome.records) < min(record.ended for record in outcome.records)
        for record in outcome.records:
            (since_sent,), (since_scheduled,), (lag,) = (
                METRICS[name].values(record, None) for name in ("ttft", "ttft_scheduled", "send_lag")
            )
            assert since_scheduled == pytest.approx(since_sent + lag)


STALL = (0.4, 1.2)


async def stalled(load: Load, limits: Limits) -> Outcome:
    async with NullServer(NullSchedule(ttft=0.005, tokens=1, stall=STALL)).running() as server:
        return await measure(settings("v4", server.url("v4")), load, limits)


async def test_open_load_shows_how_long_requests_wait_in_a_stall() -> None:
    """Each request due in the stall waits for its end: the earlier it was due, the longer."""
    outcome = await stalled(Open(50, "constant"), Limits(duration=2.0))
    assert len(outcome.records) == 100
    first = outcome.records[0].sent
    hit = [record for record in outcome.records if first + 0.42 <= (record.scheduled or 0) <= first + 0.9]
    assert len(hit) >= 20
    for record in hit:
        (waited,) = METRICS["ttft_scheduled"].values(record, None)
        assert waited >= first + STALL[0] + STALL[1] - (record.scheduled or 0) - LATE
    slow = [record for record in outcome.records if METRICS["ttft_scheduled"].values(record, None)[0] > 0.5]
    assert len(slow) >= 25


async def test_closed_load_cannot_show_it() -> None:
    """The same stall delays one request per stream; the requests that would have waited are never sent."""
    outcome = await stalled(Closed(2), Limits(duration=2.0))
    slow = [record for record in outcome.records if METRICS["ttft"].values(record, None)[0] > 0.9]
    assert 1 <= len(slow) <= 2
    assert all(record.scheduled is None for record in outcome.records)


async def test_bursts_are_sent_at_once() -> None:
    async with NullServer(NullSchedule(ttft=0.2, tokens=1), keep_logs=True).running() as server:
        outcome = await measure(settings("openai", server.url("openai")), Burst(10, 0.5), Limits(requests=20))
        assert [record.scheduled for record in outcome.records] == [0.0] * 10 + [0.5] * 10
        first, second = outcome.records[:10], outcome.records[10:]
        assert max(record.sent for record in first) < min(record.ended for record in first)
        assert min(record.sent for record in second) >= 0.5


async def test_a_trace_is_replayed() -> None:
    entries = [TraceEntry(0.0, max_tokens=3), TraceEntry(0.2), TraceEntry(0.4)]
    async with NullServer(NullSchedule(tokens=2)).running() as server:
        outcome = await measure(settings("v4", server.url("v4")), Replay(entries, 2.0), Limits())
    assert [record.scheduled for record in outcome.records] == [0.0, 0.1, 0.2]
    assert all(record.ok for record in outcome.records)


async def test_closed_load_keeps_its_number_of_streams() -> None:
    async with NullServer(NullSchedule(ttft=0.02, tokens=3), keep_logs=True).running() as server:
        outcome = await measure(settings("v4", server.url("v4")), Closed(3), Limits(requests=15, warmup_requests=3))
    changes = [(record.sent, 1) for record in outcome.records] + [(record.ended, -1) for record in outcome.records]
    running = highest = 0
    for _, change in sorted(changes, key=lambda item: (item[0], item[1])):
        running += change
        highest = max(highest, running)
    assert highest == 3
    assert len(outcome.records) == 18


async def test_requests_that_outlast_the_run_are_kept_as_unfinished() -> None:
    async with NullServer(NullSchedule(ttft=0.01, itl=10.0, tokens=2)).running() as server:
        for load in (Closed(3), Open(30, "constant")):
            outcome = await measure(settings("v4", server.url("v4")), load, Limits(duration=0.2, drain=0.3))
            assert len(outcome.records) >= 3
            assert {record.outcome for record in outcome.records} == {"unfinished"}
            assert {record.chunks for record in outcome.records} == {1}
            assert all(record.ended > record.sent for record in outcome.records)


async def test_a_stopped_run_returns_its_records() -> None:
    async with NullServer(NullSchedule(ttft=0.01, tokens=2)).running() as server:
        target = open_target(settings("v4", server.url("v4")))
        generator = LoadGenerator(plan(Closed(2), Limits()), target)
        running = asyncio.create_task(generator.run())
        while len(generator._records) <= 6 and not running.done():  # noqa: ASYNC110 - no event is set
            await asyncio.sleep(0.01)
        generator.stop()
        outcome = await running
        await target.aclose()
    assert outcome.interrupted
    assert len([record for record in outcome.records if record.ok]) >= 4


async def test_a_bug_of_a_target_is_raised() -> None:
    class Broken:
        async def stream(self, prompt: object, record: Record) -> None:
            raise ZeroDivisionError

        async def aclose(self) -> None: ...

    for load in (Closed(2), Open(100)):
        with pytest.raises(ZeroDivisionError):
            await LoadGenerator(plan(load, Limits(requests=5)), Broken()).run()
