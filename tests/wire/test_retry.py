"""Which statuses are retried, and after which delay."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanloop_async.errors import is_retryable
from humanloop_async.wire.retry import (
    FIRST_DELAY,
    LONGEST_DELAY,
    LONGEST_RETRY_AFTER,
    parse_retry_after,
    retry_delay,
)

NOW = datetime(2026, 11, 21, 20, 0, 0, tzinfo=UTC)


def test_the_retryable_statuses() -> None:
    retryable = {status for status in range(100, 1000) if is_retryable(status)}
    assert retryable == {408, 409, 429} | (set(range(500, 600)) - {501, 505})


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("86400", 86400.0),
        ("99999999999999999999", 1e20),
        ("Sat, 21 Nov 2026 20:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 20:00:30 -0000", 30.0),
        ("Sat, 21 Nov 2026 21:00:30 +0100", 30.0),
        ("Saturday, 21-Nov-26 20:00:30 GMT", 30.0),  # RFC 850, which recipients must accept
        ("Sat Nov 21 20:00:30 2026", 30.0),  # asctime, which recipients must accept
        ("Sat, 21 Nov 2026 19:59:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("0x10", None),
        ("Sat, 31 Feb 2026 20:00:30 GMT", None),
        ("Sat, 21 Nov 99999 20:00:30 GMT", None),
        ("Sat, 21 Nov 2026 20:00:30 -9999999999999999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert parse_retry_after({"Retry-After": value}, NOW) == seconds
    assert parse_retry_after({"retry-after": value}, NOW) == seconds


@pytest.mark.parametrize(
    ("milliseconds", "seconds"),
    [("250", 0.25), ("1500.5", 1.5005), ("0", 0.0), ("-1", 7.0), ("soon", 7.0), ("nan", 7.0), ("inf", 7.0)],
)
def test_milliseconds_have_precedence_if_they_are_valid(milliseconds: str, seconds: float) -> None:
    assert parse_retry_after({"retry-after-ms": milliseconds, "Retry-After": "7"}) == seconds


def test_without_the_header_the_result_is_none() -> None:
    assert parse_retry_after({}, NOW) is None


@given(st.text(max_size=40) | st.from_regex(r"\w{3}, \d{1,5} \w{3} \d{1,6} [\d:]{1,12} [+-]?\d{1,20}", fullmatch=True))
def test_no_header_value_raises(value: str) -> None:
    seconds = parse_retry_after({"Retry-After": value}, NOW)
    assert seconds is None or 0 <= seconds < float("inf")


jitters = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 5000), jitters)
def test_delays_double_up_to_the_longest(attempt: int, jitter: float) -> None:
    delay = retry_delay(attempt, jitter=jitter)
    assert delay is not None
    upper = FIRST_DELAY
    for _ in range(min(attempt, 50) - 1):
        upper = min(upper * 2, LONGEST_DELAY)
    assert 0 <= delay <= upper <= LONGEST_DELAY
    assert delay == pytest.approx(jitter * upper)


@given(st.integers(1, 20), jitters, st.floats(0, LONGEST_RETRY_AFTER))
def test_the_delay_is_never_shorter_than_retry_after(attempt: int, jitter: float, retry_after: float) -> None:
    delay = retry_delay(attempt, jitter=jitter, retry_after=retry_after)
    assert delay is not None
    assert retry_after <= delay <= max(retry_after, LONGEST_DELAY)


@pytest.mark.parametrize("retry_after", [LONGEST_RETRY_AFTER + 0.1, 86400.0, 1e20])
def test_a_longer_retry_after_than_the_limit_prevents_the_retry(retry_after: float) -> None:
    assert retry_delay(1, jitter=0.5, retry_after=retry_after) is None
