"""A run whose client was blocked, late, busy or paused is INVALID, with the reason; other runs are not."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest

from humanloop_async.bench.generator import LoadGenerator
from humanloop_async.bench.health import Health, Monitor, limits_exceeded
from humanloop_async.bench.load import Closed, Limits, Load, Open
from humanloop_async.bench.null_server import NullSchedule, NullServer
from humanloop_async.bench.processes import Result
from humanloop_async.bench.report import RunReport, build_run
from humanloop_async.bench.targets import open_target
from humanloop_async.bench.text import verdict_lines
from tests.bench.measuring import plan, settings


def health(*, cpu: float = 1.0, lag: float = 0.0, paused: float = 0.0) -> Health:
    return Health(wall=10.0, cpu=cpu, lag_p99=lag, lag_max=lag, gc_count=1, gc_total=paused, gc_max=paused)


def reasons(one: Health, *, send_lag: float | None = None, ttft: float = 0.2, itl: float | None = 0.04) -> list[str]:
    return limits_exceeded([health(), one], send_lag_p99=send_lag, ttft_p50=ttft, itl_p50=itl)


def test_a_healthy_client_gives_no_reason() -> None:
    assert reasons(health(cpu=8.9, lag=0.0019, paused=0.09), send_lag=0.009) == []
    assert limits_exceeded([health()], send_lag_p99=None, ttft_p50=None, itl_p50=None) == []


@pytest.mark.parametrize(
    ("one", "send_lag", "reason"),
    [
        (health(lag=0.0021), None, "loop lagged: p99 2.1 ms, allowed 2 ms (5% of the median ITL"),
        (health(cpu=9.1), None, "used 91% of a core, allowed 90%"),
        (health(paused=0.11), None, "garbage collection paused the client for 1.1% of the run"),
        (health(), 0.011, "sent late: p99 11 ms, allowed 10 ms"),
    ],
)
def test_each_limit_has_a_reason(one: Health, send_lag: float | None, reason: str) -> None:
    (found,) = reasons(one, send_lag=send_lag)
    assert reason in found


def test_the_limit_of_the_lag_is_relative_to_the_shorter_median() -> None:
    assert reasons(health(lag=0.009), itl=None) == []
    assert "5% of the median TTFT" in reasons(health(lag=0.011), itl=None)[0]
    assert reasons(health(lag=0.0009), itl=0.001) == []  # the resolution of timers is no better


async def run(load: Load, limits: Limits, *, block: float, every: float) -> RunReport:
    """Measure a server while the client's loop is blocked again and again."""
    async with NullServer(NullSchedule(ttft=0.01, itl=0.005, tokens=20)).running() as server:
        target = open_target(settings("v4", server.url("v4")))

        async def blocker() -> None:
            while True:
                await asyncio.sleep(every)
                time.sleep(block)  # noqa: ASYNC251 - the purpose

        blocking = asyncio.create_task(blocker())
        of = plan(load, limits)
        outcome = await LoadGenerator(of, target).run()
        blocking.cancel()
        await target.aclose()
    return build_run(of, Result(outcome.records, [outcome.health], outcome.wall, False), num_samples=1)


async def test_a_blocked_loop_makes_a_run_invalid() -> None:
    report = await run(Closed(2), Limits(requests=20), block=0.05, every=0.05)
    assert report.outcomes == {"ok": 20}
    assert any("event loop lagged" in reason for reason in report.invalid)
    text = "\n".join(verdict_lines(report))
    assert "INVALID" in text
    assert report.invalid[0] in text
    assert report.processes[0].lag_max >= 0.04


async def test_late_sending_makes_a_run_invalid() -> None:
    report = await run(Open(40, "constant"), Limits(requests=40), block=0.15, every=0.05)
    assert any("sent late" in reason for reason in report.invalid)
    assert report.metrics["send_lag"].distribution.maximum >= 0.1
    # Counting from the schedule, the delay is part of the latency instead of being hidden.
    assert report.metrics["ttft_scheduled"].distribution.maximum > report.metrics["send_lag"].distribution.maximum


async def test_the_monitor_measures_cpu_and_collections() -> None:
    monitor = Monitor()
    monitor.start()
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    gc.collect()
    measured = monitor.stop()
    assert measured.cpu >= 0.05
    assert measured.lag_max >= 0.03
    assert measured.gc_count >= 1
    assert measured.gc_total >= measured.gc_max > 0
    assert monitor._on_gc not in gc.callbacks
