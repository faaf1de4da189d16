"""The report of a bench: the document that ``--json`` writes, and from which tables and plots are made."""

from __future__ import annotations

import csv
import os
import platform
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from itertools import chain, pairwise
from math import ceil
from pathlib import Path
from typing import TextIO

import msgspec
from msgspec import Struct

from .. import __version__
from ..errors import InvalidArgument
from ..types import Json
from .generator import Plan
from .health import Health, limits_exceeded
from .load import Burst, Closed, Load, Open
from .metrics import TokenCount, meets, metrics_for, outcomes, token_count
from .processes import Result, loop_factory
from .prompts import Prompts
from .recording import Record
from .settings import TargetSettings
from .statistics import Distribution, percentile, summarize

SCHEMA = "humanloop_async.bench/1"
"""Name and version of the document. A change that old readers would misread increments the version."""

_MAX_STEPS = 60


class LoadReport(Struct):
    """The load of a run.

    Attributes:
        shape: ``closed``, ``open``, ``ramp``, ``burst`` or ``replay``.
        description: The load in words.
        level: Concurrency or rate, by which the runs of a sweep differ; None for the other shapes.
    """

    shape: str
    description: str
    level: float | None = None


class MetricReport(Struct, kw_only=True):
    """One metric of a run; see `humanloop_async.bench.metrics.Metric`."""

    title: str
    unit: str
    definition: str
    higher_is_better: bool | None
    distribution: Distribution


class Goodput(Struct, kw_only=True):
    """The requests that were complete and within every limit of ``--slo``.

    Attributes:
        slo: The limits, in seconds by metric.
        good: Number of these requests.
        share: Their part of all measured requests, failures included.
        per_second: Their number per second.
    """

    slo: dict[str, float]
    good: int
    share: float
    per_second: float


class Timeline(Struct, kw_only=True):
    """The course of a run, warm-up included, in steps of `step` seconds.

    Attributes:
        step: Length of a step, in seconds.
        sent: Requests sent in each step.
        ended: Complete requests that ended in each step.
        failed: Failed requests that ended in each step.
        chunks: Chunks with text that arrived in each step.
        open: Requests open at the end of each step.
        ttft_p50: Median time to first token of the requests sent in each step; None without one. From the schedule in
            open load.
        ttft_max: The longest of them.
    """

    step: float
    sent: list[int]
    ended: list[int]
    failed: list[int]
    chunks: list[int]
    open: list[int]
    ttft_p50: list[float | None]
    ttft_max: list[float | None]


class RequestRow(Struct, kw_only=True):
    """One request; times are in seconds since the start of the run."""

    number: int
    warmup: bool
    scheduled: float | None
    sent: float
    first_token: float | None
    last_token: float | None
    ended: float
    outcome: str
    message: str
    chunks: int
    tokens: int | None
    prompt_tokens: int | None
    samples: list[list[float]]


class RunReport(Struct, kw_only=True):
    """One run: a load and its figures.

    Attributes:
        load: The load.
        requests: Measured requests, failed ones included.
        warmup_requests: Requests that were sent before and not measured.
        window: Seconds from the first measured request's sending to the last one's end, or to the cool-down.
        cooldown: Seconds at the end of a closed load in which fewer streams ran than its concurrency. The rates do not
            cover them; the other figures do.
        cooldown_requests: Requests that ended in this time.
        outcomes: Measured requests by outcome: ``ok``, or the class of a failure.
        examples: One error message of each class.
        token_method: ``usage`` (counted by the server), ``tokenizer`` or ``chunks``.
        token_explanation: The method in words.
        tokens: Tokens of all complete requests.
        prompt_tokens: Smallest, mean and largest prompt, in tokens of the server's usage; None without usage.
        requests_per_second: Complete requests that ended in the window, per second.
        tokens_per_second: Tokens of complete requests that arrived in the window, per second.
        goodput: None without ``--slo``.
        metrics: The metrics that have a sample, by name.
        timeline: The course of the run.
        processes: The health of each load generator.
        invalid: Why the figures show the client rather than the server; empty if they do not.
        interrupted: Whether the run was stopped before its end.
        records: Every request, if requested.
    """

    load: LoadReport
    requests: int
    warmup_requests: int
    window: float
    outcomes: dict[str, int]
    examples: dict[str, str]
    token_method: str
    token_explanation: str
    tokens: int
    prompt_tokens: tuple[int, float, int] | None
    requests_per_second: float
    tokens_per_second: float
    goodput: Goodput | None
    metrics: dict[str, MetricReport]
    timeline: Timeline
    processes: list[Health]
    invalid: list[str]
    interrupted: bool
    records: list[RequestRow] | None = None
    cooldown: float = 0.0
    cooldown_requests: int = 0

    @property
    def failed(self) -> int:
        """Number of measured requests that were not complete."""
        return self.requests - self.outcomes.get("ok", 0)


class Report(Struct, kw_only=True):
    """One or more runs against one server.

    Attributes:
        schema: Name and version of this document's form.
        created: When the bench ended.
        environment: The machine and the versions.
        settings: The server, the parameters and the prompts.
        runs: The runs, in order.
    """

    schema: str
    created: datetime
    environment: dict[str, str | int | float]
    settings: dict[str, Json]
    runs: list[RunReport]


def build_run(
    plan: Plan,
    result: Result,
    *,
    num_samples: int,
    slo: Mapping[str, float] | None = None,
    keep_records: bool = False,
    tokenizer: str | None = None,
) -> RunReport:
    """Compute the figures of a run.

    Args:
        plan: The run.
        result: Its records.
        num_samples: Samples per request.
        slo: Limits of good requests, in seconds by metric.
        keep_records: Whether to keep every request in the report.
        tokenizer: Name of the tokenizer that has counted the tokens of the records; None without one.
    """
    measured = [record for record in result.records if not record.warmup]
    complete = [record for record in measured if record.ok]
    count = token_count(measured, tokenizer)
    metrics: dict[str, MetricReport] = {}
    applicable = metrics_for(scheduled=not isinstance(plan.load, Closed), num_samples=num_samples)
    for name, metric in applicable.items():
        distribution = summarize([metric.values(record, count.tokens(record)) for record in measured], seed=plan.seed)
        if distribution is not None:
            metrics[name] = MetricReport(
                title=metric.title,
                unit=metric.unit,
                definition=metric.definition,
                higher_is_better=metric.higher_is_better,
                distribution=distribution,
            )
    start = min((record.sent for record in measured), default=0.0)
    last = max((record.ended for record in measured), default=0.0)
    end = _cooldown_start(result.records, plan.load.concurrency) if isinstance(plan.load, Closed) else None
    if end is None or end <= start:
        end = last
    window = end - start
    in_window = [record for record in complete if record.ended <= end]
    tokens = sum(count.tokens(record) or 0 for record in complete)
    prompts = [record.prompt_tokens for record in complete if record.prompt_tokens is not None]
    return RunReport(
        load=describe_load(plan.load),
        requests=len(measured),
        warmup_requests=len(result.records) - len(measured),
        window=window,
        outcomes=outcomes(measured),
        examples={record.outcome: record.message for record in reversed(measured) if not record.ok},
        token_method=count.method,
        token_explanation=count.explanation,
        tokens=tokens,
        prompt_tokens=(min(prompts), sum(prompts) / len(prompts), max(prompts)) if prompts else None,
        requests_per_second=len(in_window) / window if window else 0.0,
        tokens_per_second=sum(_tokens_until(end, record, count) for record in complete) / window if window else 0.0,
        goodput=None if slo is None else _goodput(measured, dict(slo), count, window, end),
        metrics=metrics,
        timeline=_timeline(result.records, result.wall),
        processes=result.processes,
        invalid=_invalid(result.processes, metrics),
        interrupted=result.interrupted,
        records=[_row(record) for record in result.records] if keep_records else None,
        cooldown=last - end,
        cooldown_requests=sum(record.ended > end for record in measured),
    )


def _cooldown_start(records: Sequence[Record], concurrency: int) -> float | None:
    """Return when a closed load last had all its streams: a stream ended then, and none followed.

    None if half of the requests or more ended later: then the run has too little of the load to leave the rest out.
    """
    changes = sorted([*((record.sent, 1) for record in records), *((record.ended, -1) for record in records)])
    running, start = 0, None
    for time, change in changes:
        if running == concurrency and change < 0:
            start = time
        running += change
    if start is None or sum(record.ended <= start for record in records) * 2 < len(records):
        return None
    return start


def _tokens_until(end: float, record: Record, count: TokenCount) -> float:
    """Return the tokens of a request that arrived until a time, if its tokens are spread evenly over its chunks."""
    tokens = count.tokens(record) or 0
    if record.ended <= end or not record.chunks:
        return tokens
    return tokens * sum(bisect_right(sample, end) for sample in record.arrivals) / record.chunks


def build_report(
    settings: TargetSettings, prompts: Prompts, runs: list[RunReport], extra: Mapping[str, Json]
) -> Report:
    """Put runs, settings and environment into a report, without the API key.

    Args:
        settings: The server.
        prompts: The prompts of all runs.
        runs: The runs.
        extra: Further settings to record.
    """
    return Report(
        schema=SCHEMA,
        created=datetime.now(UTC),
        environment=environment(),
        settings={
            "api": settings.api,
            "base_url": settings.base_url,
            "provider": settings.provider if settings.api == "v4" else None,
            "model": settings.model,
            "temperature": settings.temperature,
            "max_tokens": settings.max_tokens,
            "num_samples": settings.num_samples,
            "timeout": settings.timeout,
            "extra": dict(settings.extra),
            "prompts": prompts.source,
            "unique_prompts": prompts.unique is not None,
            **extra,
        },
        runs=runs,
    )


def environment() -> dict[str, str | int | float]:
    """Describe the machine and the versions."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return {
        "humanloop_async": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "event_loop": "asyncio" if loop_factory() is None else f"uvloop {metadata.version('uvloop')}",
        "cpus": os.cpu_count() or 0,
        "load_average": round(load, 2),
        **{name: metadata.version(name) for name in ("aiohttp", "msgspec")},
    }


def describe_load(load: Load) -> LoadReport:
    """Return the description of a load, without the requests of a trace."""
    shape = type(load).__name__.lower()
    match load:
        case Closed(concurrency):
            return LoadReport(shape, str(load), concurrency)
        case Open(rate):
            return LoadReport(shape, str(load), rate)
        case Burst(size):
            return LoadReport(shape, str(load), size)
        case _:
            return LoadReport(shape, str(load))


def _goodput(records: Sequence[Record], slo: dict[str, float], count: TokenCount, window: float, end: float) -> Goodput:
    good = [record for record in records if meets(record, slo, count.tokens(record))]
    in_window = sum(record.ended <= end for record in good)
    return Goodput(
        slo=slo,
        good=len(good),
        share=len(good) / len(records) if records else 0.0,
        per_second=in_window / window if window else 0.0,
    )


def _invalid(processes: Sequence[Health], metrics: Mapping[str, MetricReport]) -> list[str]:
    def median(name: str) -> float | None:
        if name not in metrics:
            return None
        curve = metrics[name].distribution.curve
        return curve[len(curve) // 2]

    lag = metrics["send_lag"].distribution.curve if "send_lag" in metrics else None
    return limits_exceeded(
        processes,
        send_lag_p99=None if lag is None else percentile(lag, 99),
        ttft_p50=median("ttft"),
        itl_p50=median("itl"),
    )


def _timeline(records: Sequence[Record], wall: float) -> Timeline:
    step = _nice_step(wall)
    count = max(1, ceil(wall / step))
    sent, ended, failed = ([0] * count for _ in range(3))
    arrivals = sorted(chain.from_iterable(sample for record in records for sample in record.arrivals))
    until = [0, *(bisect_left(arrivals, step * number) for number in range(1, count)), len(arrivals)]
    ttft: list[list[float]] = [[] for _ in range(count)]

    def place(time: float) -> int:
        return min(count - 1, max(0, int(time / step)))

    for record in records:
        start = record.sent if record.scheduled is None else record.scheduled
        sent[place(record.sent)] += 1
        (ended if record.ok else failed)[place(record.ended)] += 1
        if (first := record.first_token) is not None:
            ttft[place(start)].append(first - start)
    open_requests: list[int] = []
    for number in range(count):
        before = open_requests[-1] if open_requests else 0
        open_requests.append(before + sent[number] - ended[number] - failed[number])
    return Timeline(
        step=step,
        sent=sent,
        ended=ended,
        failed=failed,
        chunks=[after - before for before, after in pairwise(until)],
        open=open_requests,
        ttft_p50=[percentile(sorted(values), 50) if values else None for values in ttft],
        ttft_max=[max(values, default=None) for values in ttft],
    )


def _nice_step(wall: float) -> float:
    """Return the shortest step of 1, 2 or 5 times a power of ten with which a run has at most 60 steps."""
    step = 0.1
    for factor in (2, 2.5, 2) * 6:
        if wall / step <= _MAX_STEPS:
            break
        step *= factor
    return round(step, 1)


def _row(record: Record) -> RequestRow:
    return RequestRow(
        number=record.number,
        warmup=record.warmup,
        scheduled=record.scheduled,
        sent=record.sent,
        first_token=record.first_token,
        last_token=record.last_token,
        ended=record.ended,
        outcome=record.outcome,
        message=record.message,
        chunks=record.chunks,
        tokens=record.tokens,
        prompt_tokens=record.prompt_tokens,
        samples=[[round(time, 6) for time in sample] for sample in record.arrivals],
    )


def write_json(report: Report, path: Path) -> None:
    """Write a report as JSON."""
    path.write_bytes(msgspec.json.encode(report) + b"\n")


def read_json(path: Path) -> Report:
    """Read a report.

    Raises:
        InvalidArgument: The file cannot be read or is not a report of a version that this package knows.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise InvalidArgument(f"cannot read {str(path)!r}: {exc.strerror}") from exc
    try:
        schema = msgspec.json.decode(data, type=_SchemaOnly).schema
    except msgspec.DecodeError as exc:
        raise InvalidArgument(f"{str(path)!r} is not a report of `bench --json`: {exc}") from exc
    if schema != SCHEMA:
        raise InvalidArgument(f"{str(path)!r} has the schema {schema!r}; this version reads {SCHEMA!r}")
    try:
        return msgspec.json.decode(data, type=Report)
    except msgspec.DecodeError as exc:
        raise InvalidArgument(f"{str(path)!r} is not a valid report: {exc}") from exc


class _SchemaOnly(Struct):
    schema: str


_COLUMNS = [name for name in RequestRow.__struct_fields__ if name != "samples"]


def write_csv(runs: Sequence[tuple[str, Sequence[Record]]], file: TextIO) -> None:
    """Write one line per request, warm-up included.

    Args:
        runs: Description of the load, and records, of each run.
        file: The file, opened with ``newline=""``.
    """
    writer = csv.writer(file)
    writer.writerow(["load", *_COLUMNS])
    for load, records in runs:
        for record in records:
            row = msgspec.structs.asdict(_row(record))
            writer.writerow([load, *(row[name] for name in _COLUMNS)])
