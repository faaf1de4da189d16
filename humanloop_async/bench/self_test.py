"""``bench self``: what this load generator can measure, found with the null server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, pairwise

from msgspec import Struct

from .generator import Plan
from .load import Closed, Limits
from .metrics import METRICS
from .null_server import NullSchedule, StreamLog, in_process
from .processes import Result, run_in_processes
from .prompts import built_in_prompts
from .settings import Api, TargetSettings
from .statistics import summarize
from .text import columns

APIS: tuple[Api, ...] = ("v4", "openai")
_FLOOD_STREAMS = 8
_FLOOD_TOKENS = 1000
_CALL_STREAMS = 16
_MAX_PRECISE = 900
_SETTLE = 0.5
_PROMPTS = built_in_prompts(seed=0, unique="self")  # each is different, which tells the server's logs apart


class SelfTest(Struct, kw_only=True):
    """The figures of one API. Times are in seconds.

    Attributes:
        api: The API.
        streams: Concurrent paced streams.
        pace: Tokens per second of each.
        gaps: Number of measured gaps between tokens.
        itl_p50: Median gap that the client measured.
        itl_p99: 99th percentile of the gaps that the client measured; None with too few.
        sent_p50: Median gap between the server's writes.
        sent_p99: 99th percentile of the gaps between the server's writes; None with too few.
        delay_p50: Median time from the server's write of a token to the client's time of it: the client's error.
        delay_p99: 99th percentile of these times; None with too few.
        paced_cpu: CPU time per token at this pace, where nearly every token is a separate read.
        flood_cpu: CPU time per token at full speed, where a read has many tokens.
        flood_rate: Tokens per second at full speed, all processes together.
        call_cpu: CPU time per request with one token.
        call_rate: Requests per second with one token, all processes together.
        lag_p99: Loop lag of the paced run.
    """

    api: Api
    streams: int
    pace: float
    gaps: int
    itl_p50: float
    itl_p99: float | None
    sent_p50: float
    sent_p99: float | None
    delay_p50: float
    delay_p99: float | None
    paced_cpu: float
    flood_cpu: float
    flood_rate: float
    call_cpu: float
    call_rate: float
    lag_p99: float


def run_self_test(
    *, streams: int, pace: float, seconds: float, processes: int, on_step: Callable[[str], None]
) -> Iterator[SelfTest]:
    """Measure the client with each API in turn.

    Args:
        streams: Concurrent paced streams.
        pace: Tokens per second of each.
        seconds: Length of each of the three runs.
        processes: Processes of the client.
        on_step: Called with the name of each run.
    """
    for api in APIS:
        on_step(f"{api}: {streams} streams at {pace:g} tokens/s")
        tokens = max(2, round(pace * seconds))
        limits = Limits(requests=streams)
        # The first tokens come after the last request was sent: sending many at once delays a client.
        schedule = NullSchedule(ttft=_SETTLE, itl=1 / pace, tokens=tokens, precise=streams <= _MAX_PRECISE)
        paced, logs = _run(api, schedule, streams, limits, processes)
        sent = summarize(
            [[after - before for before, after in pairwise(times)] for log in logs for times in log.writes]
        )
        delays = summarize(_delays(paced, logs))
        measured = summarize([METRICS["itl"].values(record, None) for record in paced.records])
        if measured is None or sent is None or delays is None:
            raise RuntimeError("the null server sent no tokens")  # a bug
        on_step(f"{api}: full speed")
        fast = NullSchedule(tokens=_FLOOD_TOKENS)
        flood, _ = _run(api, fast, _FLOOD_STREAMS * processes, Limits(duration=seconds), processes)
        on_step(f"{api}: short requests")
        calls, _ = _run(api, NullSchedule(tokens=1), _CALL_STREAMS * processes, Limits(duration=seconds), processes)
        yield SelfTest(
            api=api,
            streams=streams,
            pace=pace,
            gaps=measured.n,
            itl_p50=measured.percentiles["p50"] or measured.mean,
            itl_p99=measured.percentiles["p99"],
            sent_p50=sent.percentiles["p50"] or sent.mean,
            sent_p99=sent.percentiles["p99"],
            delay_p50=delays.percentiles["p50"] or delays.mean,
            delay_p99=delays.percentiles["p99"],
            paced_cpu=_cpu(paced) / _tokens(paced),
            flood_cpu=_cpu(flood) / _tokens(flood),
            flood_rate=_tokens(flood) / flood.wall,
            call_cpu=_cpu(calls) / max(1, len(calls.records)),
            call_rate=len(calls.records) / calls.wall,
            lag_p99=max(health.lag_p99 for health in paced.processes),
        )


def _run(
    api: Api, schedule: NullSchedule, streams: int, limits: Limits, processes: int
) -> tuple[Result, list[StreamLog]]:
    """Return the client's records, and the server's logs."""
    with in_process(schedule) as server:
        settings = TargetSettings(api=api, base_url=server.url(api), model="null", provider="mock")
        result = run_in_processes(Plan(load=Closed(streams), limits=limits, prompts=_PROMPTS), settings, processes)
    if result.interrupted:
        raise KeyboardInterrupt  # figures of half a run would mislead
    return result, server.logs


def _delays(result: Result, logs: Sequence[StreamLog]) -> list[list[float]]:
    """Return for each request the times from the server's write of a token to the client's time of it."""
    by_prompt = {log.prompt: log for log in logs}
    delays: list[list[float]] = []
    for record in result.records:
        origin = result.origins[record.number % len(result.origins)]
        writes = by_prompt[_PROMPTS.prompt(record.number).messages[-1]["content"]].writes
        pairs = zip(chain(*record.arrivals), chain(*writes), strict=True)
        delays.append([seen + origin - sent for seen, sent in pairs])
    return delays


def _cpu(result: Result) -> float:
    return sum(health.cpu for health in result.processes)


def _tokens(result: Result) -> int:
    return max(1, sum(record.chunks for record in result.records))


def self_test_text(tests: list[SelfTest]) -> str:
    """Return the figures as a table."""
    first = tests[0]
    rows = [["", *(test.api for test in tests)]]
    for title, of in _ROWS:
        rows.append([title, *(of(test) for test in tests)])
    return "\n".join(
        [
            f"{first.streams} streams at {first.pace:g} tokens/s from a null server here, {first.gaps:,} gaps:",
            *columns(rows),
            "",
            "The server logged when it wrote each token. Gaps include the delays of server and system; the time",
            "from the write of a token to the time that the client gave it is the error of client and system.",
            "At full speed the client is the limit by intent: use more --processes to measure a faster server.",
        ]
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value * 1000:.2f} ms"


_ROWS: list[tuple[str, Callable[[SelfTest], str]]] = [
    ("ITL of the schedule", lambda test: _ms(1 / test.pace)),
    ("ITL p50, sent by the server", lambda test: _ms(test.sent_p50)),
    ("ITL p50, measured", lambda test: _ms(test.itl_p50)),
    ("ITL p99, sent by the server", lambda test: _ms(test.sent_p99)),
    ("ITL p99, measured", lambda test: _ms(test.itl_p99)),
    ("from write to measured, p50", lambda test: _ms(test.delay_p50)),
    ("from write to measured, p99", lambda test: _ms(test.delay_p99)),
    ("loop lag p99", lambda test: _ms(test.lag_p99)),
    ("CPU per token, paced", lambda test: f"{test.paced_cpu * 1e6:.1f} us"),
    ("CPU per token, full speed", lambda test: f"{test.flood_cpu * 1e6:.1f} us"),
    ("tokens/s, full speed", lambda test: f"{test.flood_rate:,.0f}"),
    ("CPU per request", lambda test: f"{test.call_cpu * 1e6:,.0f} us"),
    ("requests/s", lambda test: f"{test.call_rate:,.0f}"),
]
