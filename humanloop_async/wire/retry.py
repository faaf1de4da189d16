"""Retry policy as pure functions: how long to wait before the next attempt."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_DELAY = 0.5
"""Upper bound of the first delay, in seconds; it doubles with each attempt."""
LONGEST_DELAY = 8.0
"""Upper bound of delays that the server did not set, in seconds."""
LONGEST_RETRY_AFTER = 120.0
"""Longest ``Retry-After`` to honour, in seconds. After a longer one the client raises the error without a retry."""


def retry_delay(attempt: int, *, jitter: float, retry_after: float | None = None) -> float | None:
    """Return the seconds to wait before the next attempt, or None if `retry_after` exceeds `LONGEST_RETRY_AFTER`.

    Args:
        attempt: Number of attempts made so far, at least 1.
        jitter: A random number in [0, 1). It scales the whole delay ("full jitter"), which spreads clients out.
        retry_after: Delay that the server requested, in seconds. The returned delay is never shorter.
    """
    if retry_after is not None and retry_after > LONGEST_RETRY_AFTER:
        return None
    backoff = jitter * min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(attempt - 1, 64))  # 2.0**1024 would overflow
    return max(backoff, retry_after or 0.0)


def parse_retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the ``Retry-After`` header (RFC 9110, section 10.2.3) in seconds, or None if it is absent or invalid.

    A date is converted to the seconds from `now`; a date in the past gives 0. ``retry-after-ms``, a number of
    milliseconds that OpenAI and Azure send, has precedence because it is more precise.
    """
    with contextlib.suppress(ValueError):
        if 0 <= (milliseconds := float(headers.get("retry-after-ms", ""))) < float("inf"):
            return milliseconds / 1000
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
