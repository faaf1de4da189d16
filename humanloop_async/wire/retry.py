"""Whether to try again, and after how long: pure functions of what happened."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_DELAY = 0.5
"""Upper end of the first delay, in seconds; it doubles with each attempt."""
LONGEST_DELAY = 8.0
"""Upper end of every delay that the server did not ask for, in seconds."""
LONGEST_RETRY_AFTER = 120.0
"""A server that asks for a longer pause, in seconds, gets no retry: the caller should know instead."""


def retry_delay(attempt: int, *, jitter: float, retry_after: float | None = None) -> float | None:
    """Seconds to wait before the next attempt; None when the server asks for too long a pause.

    Args:
        attempt: How many attempts were made, at least 1.
        jitter: A random number in [0, 1): "full jitter", so that clients do not return all at once.
        retry_after: What the server asked for, in seconds; the delay is never shorter.
    """
    if retry_after is not None and retry_after > LONGEST_RETRY_AFTER:
        return None
    backoff = jitter * min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(attempt - 1, 64))  # a float ends at 2.0**1024
    return max(backoff, retry_after or 0.0)


def parse_retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """``Retry-After`` (RFC 9110, section 10.2.3) in seconds, given as seconds or as a date; None when absent.

    A value that is neither counts as absent; a date in the past is 0.
    """
    value = headers.get("Retry-After") or headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value)) if float(value) < float("inf") else None
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())
