"""A whole report agrees with the server's schedule: every metric, closed and open, and a stall of two seconds."""

from __future__ import annotations

import pytest

from benchmarks.bench_schedule import STALL_SLO, scheduled
from humanloop_async.bench.load import Closed, Limits, Load, Open
from humanloop_async.bench.metrics import metrics_for
from humanloop_async.bench.null_server import NullSchedule, NullServer
from humanloop_async.bench.processes import Result
from humanloop_async.bench.report import RunReport, build_run
from humanloop_async.bench.settings import Api
from tests.bench.measuring import measure, plan, settings

SCHEDULE = NullSchedule(ttft=0.2, itl=0.05, tokens=10, skew=0.03)
LATE = 0.001  # timers of the server may fire this much early: they are rounded


async def report(
    api: Api, schedule: NullSchedule, load: Load, limits: Limits, *, samples: int, slo: dict[str, float] | None = None
) -> RunReport:
    async with NullServer(schedule).running() as server:
        outcome = await measure(settings(api, server.url(api), num_samples=samples), load, limits)
    result = Result(outcome.records, [outcome.health], outcome.wall, False)
    return build_run(plan(load, limits), result, num_samples=samples, slo=slo)


@pytest.mark.parametrize("api", ["v4", "openai"])
@pytest.mark.parametrize("load", [Closed(2), Open(8, "constant")], ids=str)
async def test_every_metric_has_the_value_of_the_schedule(api: Api, load: Load) -> None:
    """The bounds allow for a busy machine, which makes nothing faster; another metric's value exceeds them."""
    run = await report(api, SCHEDULE, load, Limits(requests=8), samples=3)
    expected = scheduled(SCHEDULE, 3)
    is_open = isinstance(load, Open)
    assert run.metrics.keys() == metrics_for(scheduled=is_open, num_samples=3).keys() <= expected.keys()
    for name, metric in run.metrics.items():
        found, value = metric.distribution.curve[len(metric.distribution.curve) // 2], expected[name]
        if metric.unit == "s":
            assert value - 2 * LATE <= found <= 1.3 * value + 0.03, name
        elif metric.unit == "tokens/s":
            assert value / 1.3 <= found <= value * 1.1, name
        else:
            assert found == value, name
    assert {name: metric.distribution.n for name, metric in run.metrics.items()} == {
        name: {"itl": 8 * 3 * 9, "itl_worst": 8 * 3}.get(name, 8) for name in run.metrics
    }
    assert (run.tokens, run.token_method, run.outcomes) == (8 * 3 * 10, "usage", {"ok": 8})
    if not is_open:  # two streams without a pause between requests, and no more
        at_most = 2 * 30 / (expected["e2e"] - LATE)
        assert at_most / 1.5 <= run.tokens_per_second <= at_most * 1.1
        assert run.requests_per_second * 30 == pytest.approx(run.tokens_per_second, rel=0.5)


async def test_open_load_counts_the_requests_that_a_stall_delays() -> None:
    """Of 10 requests per second, those due in the first second of a stall of two wait longer than one."""
    schedule = NullSchedule(ttft=0.005, tokens=1, stall=(0.5, 2.0))
    run = await report("v4", schedule, Open(10, "constant"), Limits(requests=35), samples=1, slo=STALL_SLO)
    assert run.outcomes == {"ok": 35}
    assert run.goodput is not None
    assert 9 <= run.requests - run.goodput.good <= 15
    closed = await report("v4", schedule, Closed(2), Limits(duration=3.5), samples=1, slo=STALL_SLO)
    assert closed.goodput is not None
    assert closed.requests - closed.goodput.good == 2  # one for each stream, however many requests users would send
