"""Compare what ``humanloop-async bench`` reports with the schedule of a null server, metric by metric.

``python -m benchmarks.bench_schedule`` prints the schedule's value of every metric, and the median, p99 and maximum
that the bench reports, for closed and open load; then what both loads report about a stall of two seconds.
"""

from __future__ import annotations

from humanloop_async.bench.generator import Plan
from humanloop_async.bench.load import Closed, Limits, Load, Open
from humanloop_async.bench.null_server import NullSchedule, in_process
from humanloop_async.bench.processes import run_in_processes
from humanloop_async.bench.prompts import built_in_prompts
from humanloop_async.bench.report import RunReport, build_run
from humanloop_async.bench.settings import Api, TargetSettings
from humanloop_async.bench.text import columns, format_value

SCHEDULE = NullSchedule(ttft=0.2, itl=0.02, tokens=50, skew=0.01, precise=True)
SAMPLES = 3
STALL = NullSchedule(ttft=0.01, tokens=1, stall=(1.0, 2.0), precise=True)
STALL_SLO = {"ttft": 1.0}


def scheduled(schedule: NullSchedule, samples: int) -> dict[str, float]:
    """Return the value of each metric if the server keeps its schedule, and nothing takes time in between."""
    last = schedule.ttft + (samples - 1) * schedule.skew
    end = last + (schedule.tokens - 1) * schedule.itl
    return {
        "ttft": schedule.ttft,
        "ttft_scheduled": schedule.ttft,
        "ttft_last_sample": last,
        "sample_skew": (samples - 1) * schedule.skew,
        "itl": schedule.itl,
        "itl_worst": schedule.itl,
        "tpot": schedule.itl,
        "e2e": end,
        "e2e_scheduled": end,
        "stream_speed": 1 / schedule.itl,
        "tokens_per_chunk": 1.0,
        "send_lag": 0.0,
    }


def measure(
    api: Api, schedule: NullSchedule, load: Load, limits: Limits, samples: int, slo: dict[str, float] | None = None
) -> RunReport:
    """Run a load against a null server in another process."""
    plan = Plan(load=load, limits=limits, prompts=built_in_prompts(seed=0, unique=None))
    with in_process(schedule) as server:
        settings = TargetSettings(api=api, base_url=server.url(api), model="null", provider="mock", num_samples=samples)
        result = run_in_processes(plan, settings, 1)
    return build_run(plan, result, num_samples=samples, slo=slo)


def main() -> None:
    """Print the tables."""
    limits = Limits(requests=100, warmup_requests=8)
    for load in (Closed(8), Open(6, "constant")):
        run = measure("v4", SCHEDULE, load, limits, SAMPLES)
        rows = [[str(load), "schedule", "p50", "p99", "max", "n"]]
        for name, value in scheduled(SCHEDULE, SAMPLES).items():
            if (metric := run.metrics.get(name)) is not None:
                found, curve = metric.distribution, metric.distribution.curve
                values = [value, curve[len(curve) // 2], found.percentiles["p99"], found.maximum]
                cells = ["-" if one is None else format_value(one, metric.unit) for one in values]
                rows.append([f"{metric.title} ({'ms' if metric.unit == 's' else metric.unit})", *cells, f"{found.n:,}"])
        print("\n".join(columns(rows)))
        end = scheduled(SCHEDULE, SAMPLES)["e2e"]
        rate = load.concurrency * SAMPLES * SCHEDULE.tokens / end if isinstance(load, Closed) else None
        print(
            f"{run.requests_per_second:.2f} requests/s, {run.tokens_per_second:,.0f} tokens/s"
            + ("" if rate is None else f" (the schedule's: {rate:,.0f})")
            + f", {run.outcomes}, {'INVALID: ' + run.invalid[0] if run.invalid else 'valid'}\n"
        )
    for load in (Closed(2), Open(20, "constant")):
        run = measure("v4", STALL, load, Limits(duration=5.0), 1, STALL_SLO)
        assert run.goodput is not None
        late = run.requests - run.goodput.good
        print(f"stall of 2 s, {load}: {late} of {run.requests} requests waited longer than 1 s")


if __name__ == "__main__":
    main()
