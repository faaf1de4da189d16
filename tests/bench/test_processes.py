"""Worker processes share a run, and their records are merged."""

from __future__ import annotations

import pytest

from humanloop_async.bench.generator import Plan, Progress
from humanloop_async.bench.load import Closed, Limits, Load, Open
from humanloop_async.bench.null_server import NullSchedule, in_process
from humanloop_async.bench.processes import WorkerFailed, run_in_processes
from humanloop_async.bench.settings import TargetSettings
from tests.bench.measuring import PROMPTS, settings

SCHEDULE = NullSchedule(ttft=0.02, itl=0.005, tokens=30)


@pytest.mark.parametrize("load", [Closed(5), Open(20, "constant")], ids=str)
def test_two_processes_do_the_work_of_one(load: Load) -> None:
    seen: list[Progress] = []
    plan = Plan(load=load, limits=Limits(requests=21, warmup_requests=4), prompts=PROMPTS)
    with in_process(SCHEDULE) as server:
        result = run_in_processes(plan, settings("v4", server.url("v4")), 2, seen.append)
    assert len(result.records) == 25
    assert len({record.number for record in result.records}) == 25
    assert sum(record.warmup for record in result.records) == 4
    assert {record.outcome for record in result.records} == {"ok"}
    assert len(result.processes) == 2
    assert not result.interrupted
    assert sum(record.chunks for record in result.records) == 25 * 30
    if isinstance(load, Open):
        assert sorted(record.scheduled or 0 for record in result.records) == pytest.approx([n / 20 for n in range(25)])
        assert seen
        assert seen[-1].sent <= 25


def test_shares_add_up() -> None:
    for total in range(12):
        plans = [Plan(load=Closed(1), limits=Limits(), prompts=PROMPTS, process=i, processes=5) for i in range(5)]
        assert sum(plan.share(total) for plan in plans) == total


def test_the_failure_of_a_process_is_raised_with_its_traceback() -> None:
    plan = Plan(load=Closed(1), limits=Limits(requests=1), prompts=PROMPTS)
    broken = TargetSettings(api="v4", base_url="nonsense", model="x")
    with pytest.raises(WorkerFailed, match="InvalidArgument: base_url='nonsense'"):
        run_in_processes(plan, broken, 2)
