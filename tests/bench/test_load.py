"""Schedules: their times, lengths and warm-ups, and traces."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from humanloop_async import InvalidArgument
from humanloop_async.bench.load import Arrival, Burst, Limits, Open, Ramp, Replay, TraceEntry, read_trace, schedule


def times(load: Open | Ramp | Burst | Replay, limits: Limits, seed: int = 0) -> list[float]:
    return [arrival.at for arrival in schedule(load, limits, seed)]


def test_a_constant_rate_has_equal_gaps() -> None:
    assert times(Open(4, "constant"), Limits(duration=1.0)) == [0, 0.25, 0.5, 0.75]
    assert times(Open(4, "constant"), Limits(requests=3)) == [0, 0.25, 0.5]


def test_a_poisson_rate_has_the_mean_and_spread_of_its_distribution() -> None:
    at = times(Open(100), Limits(duration=100.0))
    gaps = [after - before for before, after in itertools.pairwise(at)]
    assert len(at) == pytest.approx(10_000, rel=0.05)
    assert sum(gap > 0.01 for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.02)  # 1 / e exceed the mean


def test_a_seed_repeats_the_times() -> None:
    assert times(Open(5), Limits(requests=50), 3) == times(Open(5), Limits(requests=50), 3)
    assert times(Open(5), Limits(requests=50), 3) != times(Open(5), Limits(requests=50), 4)


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
@pytest.mark.parametrize(("start", "end"), [(10, 30), (30, 10), (0, 40), (20, 20)])
def test_a_ramp_changes_its_rate_evenly(arrivals: str, start: float, end: float) -> None:
    at = times(Ramp(start, end, 100.0, arrivals), Limits(duration=100.0))  # type: ignore[arg-type]
    assert at == sorted(at)
    tolerance = 1 if arrivals == "constant" else 120
    for seconds in (25, 50, 100):
        expected = start * seconds + (end - start) * seconds**2 / 200
        assert sum(time < seconds for time in at) == pytest.approx(expected, abs=tolerance)


def test_the_warm_up_of_a_ramp_has_the_rate_of_its_start() -> None:
    at = times(Ramp(10, 30, 10.0, "constant"), Limits(duration=10.0, warmup_seconds=5.0))
    assert sum(time < 5 for time in at) == 50
    assert sum(time >= 5 for time in at) == 200


def test_bursts() -> None:
    assert times(Burst(3, 2.0), Limits(duration=3.0)) == [0, 0, 0, 2, 2, 2]


@pytest.mark.parametrize(
    ("limits", "warmup", "measured"),
    [
        (Limits(requests=5, warmup_requests=3), [0, 1, 2], [3, 4, 5, 6, 7]),
        (Limits(duration=4.0, warmup_requests=2), [0, 1], [2, 3, 4, 5]),
        (Limits(duration=2.0, warmup_seconds=3.0), [0, 1, 2], [3, 4]),
        (Limits(requests=2, warmup_seconds=1.5), [0, 1], [2, 3]),
        (Limits(requests=9, duration=2.0), [], [0, 1]),
    ],
)
def test_warm_up_comes_first_and_does_not_count(limits: Limits, warmup: list[int], measured: list[int]) -> None:
    arrivals = list(schedule(Open(1, "constant"), limits, 0))
    assert [arrival.number for arrival in arrivals if arrival.warmup] == warmup
    assert [arrival.number for arrival in arrivals if not arrival.warmup] == measured


def test_a_trace_is_replayed_with_its_times_and_lengths(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(
        '{"timestamp": 3000, "input_length": 40, "output_length": 7, "hash_ids": [1]}\n\n'
        '{"at": 1.0, "prompt": "Hello"}\n'
        '{"at": 1.5, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}\n'
    )
    replay = read_trace(path, 2.0)
    assert list(schedule(replay, Limits(), 0)) == [
        Arrival(0, 0.0, False, TraceEntry(0.0, [{"role": "user", "content": "Hello"}])),
        Arrival(1, 0.25, False, TraceEntry(0.5, [{"role": "user", "content": "Hi"}], None, 3)),
        Arrival(2, 1.0, False, TraceEntry(2.0, None, 40, 7)),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no requests"),
        ('{"prompt": "x"}', "line 1: no time"),
        ('{"at": 1}\nnonsense', "line 2: not a JSON object"),
        ('{"at": 1, "messages": "x"}', "line 1: Expected `array | null`"),
        ('{"at": 1, "max_tokens": "many"}', "line 1: Expected `int | null`"),
    ],
)
def test_a_bad_trace_is_rejected_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(text)
    with pytest.raises(InvalidArgument, match=problem):
        read_trace(path)


def test_a_missing_trace_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"cannot read the trace .*none\.jsonl"):
        read_trace(tmp_path / "none.jsonl")
