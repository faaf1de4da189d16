"""Each metric of a request with known times, the counting of tokens, and the limits of good requests."""

from __future__ import annotations

from array import array

import pytest

from humanloop_async import (
    ApiConnectionError,
    ApiException,
    ConnectTimeout,
    FirstTokenTimeout,
    IdleTimeout,
    InvalidArgument,
    InvalidEvent,
    InvalidResponse,
    RateLimitError,
    StreamTruncated,
    TotalTimeout,
)
from humanloop_async.bench.metrics import METRICS, meets, metrics_for, parse_slo, token_count
from humanloop_async.bench.recording import Record, classify


def record(*samples: list[float], outcome: str = "ok", tokens: int | None = None) -> Record:
    """Return a request that was due at 1.0, sent at 1.5 and ended at 9.0."""
    return Record(0, False, 1.0, 1.5, 9.0, outcome, arrivals=[array("d", sample) for sample in samples], tokens=tokens)


def values(name: str, of: Record, tokens: int | None = None) -> list[float]:
    return METRICS[name].values(of, tokens)


def test_one_sample() -> None:
    one = record([2.0, 2.5, 4.5])
    assert values("ttft", one) == [0.5]
    assert values("ttft_scheduled", one) == [1.0]
    assert values("itl", one) == [0.5, 2.0]
    assert values("itl_worst", one) == [2.0]
    assert values("tpot", one, 6) == [0.5]
    assert values("stream_speed", one, 6) == [2.0]
    assert values("tokens_per_chunk", one, 6) == [2.0]
    assert values("e2e", one) == [7.5]
    assert values("e2e_scheduled", one) == [8.0]
    assert values("send_lag", one) == [0.5]


def test_several_samples() -> None:
    three = record([3.0, 4.0], [2.0, 8.0], [2.5, 3.0])
    assert values("ttft", three) == [0.5]
    assert values("ttft_last_sample", three) == [1.5]
    assert values("sample_skew", three) == [1.0]
    assert sorted(values("itl", three)) == [0.5, 1.0, 6.0]  # no gaps between samples
    assert values("itl_worst", three) == [1.0, 6.0, 0.5]
    assert values("tpot", three, 6) == [2.5]


def test_a_sample_without_a_token_has_no_first_token() -> None:
    assert values("ttft", record([2.0], [])) == [0.5]
    assert values("ttft_last_sample", record([2.0], [])) == []
    assert values("sample_skew", record([2.0], [])) == []


def test_a_cut_stream_counts_as_far_as_it_came() -> None:
    """Leaving out its first token and gaps would hide a server that fails after a slow start."""
    cut = record([2.0, 2.5], outcome="truncated: clean end", tokens=2)
    assert values("ttft", cut) == [0.5]
    assert values("itl", cut) == [0.5]
    for name in ("tpot", "e2e", "e2e_scheduled", "stream_speed", "tokens_per_chunk"):
        assert values(name, cut, 2) == []


def test_a_request_without_any_token_has_no_latency() -> None:
    nothing = record([], outcome="timeout: first token")
    assert {name for name in METRICS if values(name, nothing)} == {"send_lag"}


def test_closed_load_has_no_metric_of_a_schedule() -> None:
    closed = metrics_for(scheduled=False, num_samples=1)
    assert not {"ttft_scheduled", "e2e_scheduled", "send_lag", "sample_skew", "ttft_last_sample"} & closed.keys()
    assert set(metrics_for(scheduled=True, num_samples=2)) == set(METRICS)


def test_tokens_are_counted_the_same_way_in_all_requests() -> None:
    with_usage, without = record([2.0, 3.0], tokens=9), record([2.0, 3.0, 4.0])
    failed = record([2.0], outcome="http 500")
    by_usage = token_count([with_usage, failed])
    assert (by_usage.method, by_usage.tokens(with_usage)) == ("usage", 9)
    by_chunks = token_count([with_usage, without])
    assert (by_chunks.method, by_chunks.tokens(with_usage), by_chunks.tokens(without)) == ("chunks", 2, 3)
    assert "1 of 2 complete requests had no usage" in by_chunks.explanation
    assert token_count([failed]).method == "chunks"


def test_good_requests() -> None:
    one = record([2.0, 2.5, 4.5])
    assert meets(one, parse_slo("ttft=1s,itl=2s,e2e=8s"), 3)
    assert not meets(one, parse_slo("ttft=999ms"), 3)  # from the schedule
    assert not meets(one, parse_slo("itl=1999ms"), 3)  # every gap
    assert not meets(one, parse_slo("e2e=7.9"), 3)
    assert not meets(one, parse_slo("tpot=1s"), 3)
    assert meets(one, parse_slo("tpot=1250ms"), 3)
    assert not meets(record([2.0], outcome="http 500"), parse_slo("ttft=1h"), 1)


@pytest.mark.parametrize(
    "text", ["ttft", "ttft=", "ttft=fast", "ttft=-1s", "speed=3s", "", "ttft=1s,,itl=1s", "ttft=nan"]
)
def test_a_bad_limit_is_rejected(text: str) -> None:
    with pytest.raises(InvalidArgument, match="--slo"):
        parse_slo(text)


def test_durations() -> None:
    assert parse_slo("ttft=300ms,itl=2s,tpot=1.5,e2e=2m") == {"ttft": 0.3, "itl": 2, "tpot": 1.5, "e2e": 120}


def truncated(cause: Exception | None) -> StreamTruncated:
    error = StreamTruncated()
    error.__cause__ = cause
    return error


def status(error: ApiException, code: int) -> ApiException:
    error.status = code
    return error


@pytest.mark.parametrize(
    ("error", "opened", "outcome"),
    [
        (truncated(None), True, "truncated: clean end"),
        (truncated(ApiConnectionError()), True, "truncated: connection lost"),
        (ConnectTimeout(), False, "timeout: headers"),
        (FirstTokenTimeout(), True, "timeout: first token"),
        (IdleTimeout(), True, "timeout: idle"),
        (TotalTimeout(), True, "timeout: total"),
        (status(RateLimitError(), 429), False, "http 429"),
        (status(RateLimitError(), 429), True, "error event 429"),
        (ApiConnectionError(), False, "no connection"),
        (InvalidEvent(), True, "invalid event"),
        (InvalidResponse(), True, "invalid response"),
    ],
)
def test_classes_of_failures(error: ApiException, opened: bool, outcome: str) -> None:
    assert classify(error, opened=opened) == outcome
