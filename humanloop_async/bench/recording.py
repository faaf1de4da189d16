"""The record of one request: when it was sent, when each token arrived, and how it ended."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from ..errors import (
    ApiConnectionError,
    ApiException,
    ConnectTimeout,
    EventTooLarge,
    FirstTokenTimeout,
    IdleTimeout,
    InvalidEvent,
    InvalidResponse,
    StatusError,
    StreamTruncated,
    TotalTimeout,
)

OK = "ok"
UNFINISHED = "unfinished"
"""The run ended before the request did."""

TRUNCATED = "truncated"
"""What the outcome of every stream begins with that ended without all finish reasons and without an error."""


@dataclass(slots=True)
class Record:
    """One request. All times are in seconds since the start of the run.

    Attributes:
        number: Number of the request in the run.
        warmup: Whether it is excluded from the figures.
        scheduled: When it was due; None in closed load, which has no schedule.
        sent: When it was handed to the HTTP library, connecting included.
        ended: When its response ended or failed.
        outcome: ``ok``, or the class of the failure, see `classify`.
        message: The error message of a failure.
        arrivals: For each sample, when each chunk with a token arrived: text, reasoning or a tool call.
        prompt_tokens: Tokens of the prompt, from the server's usage.
        tokens: Generated tokens of all samples, from the server's usage.
        texts: The text of each sample, for a tokenizer to count; empty without one.
        counted: Generated tokens of all samples, counted by a tokenizer from the text; None without one.
    """

    number: int
    warmup: bool
    scheduled: float | None
    sent: float = 0.0
    ended: float = 0.0
    outcome: str = UNFINISHED
    message: str = ""
    arrivals: list[array[float]] = field(default_factory=list["array[float]"])
    prompt_tokens: int | None = None
    tokens: int | None = None
    texts: list[str] = field(default_factory=list[str])
    counted: int | None = None

    @property
    def ok(self) -> bool:
        """Whether every sample finished."""
        return self.outcome == OK

    @property
    def chunks(self) -> int:
        """Number of chunks with a token."""
        return sum(map(len, self.arrivals))

    @property
    def first_token(self) -> float | None:
        """When the first token of any sample arrived."""
        return min((sample[0] for sample in self.arrivals if sample), default=None)

    @property
    def last_token(self) -> float | None:
        """When the last token of any sample arrived."""
        return max((sample[-1] for sample in self.arrivals if sample), default=None)

    def fail(self, exc: ApiException, *, opened: bool) -> None:
        """Record the failure of the request.

        Args:
            exc: The error.
            opened: Whether the headers of a stream had arrived.
        """
        self.outcome = classify(exc, opened=opened)
        self.message = " ".join(str(exc).split())[:300]

    def shift(self, origin: float) -> None:
        """Convert times of `time.perf_counter` to seconds since `origin`."""
        self.sent -= origin
        self.ended -= origin
        self.arrivals = [array("d", (time - origin for time in sample)) for sample in self.arrivals]


def classify(exc: ApiException, *, opened: bool) -> str:
    """Return the class of a failure.

    ``truncated: clean end`` is an HTTP response that ended properly, but without all finish reasons;
    ``truncated: connection lost`` one that did not. ``http 429`` is a status, ``error event 500`` an error that the
    server sent inside a stream. The others are ``timeout: headers``, ``timeout: first token``, ``timeout: idle``,
    ``timeout: total``, ``no connection``, ``invalid event`` and ``invalid response``.
    """
    match exc:
        case StreamTruncated():
            return f"{TRUNCATED}: {'clean end' if exc.__cause__ is None else 'connection lost'}"
        case ConnectTimeout():
            return "timeout: headers"
        case FirstTokenTimeout():
            return "timeout: first token"
        case IdleTimeout():
            return "timeout: idle"
        case TotalTimeout():
            return "timeout: total"
        case StatusError():
            return f"error event {exc.status}" if opened else f"http {exc.status}"
        case InvalidEvent() | EventTooLarge():
            return "invalid event"
        case InvalidResponse():
            return "invalid response"
        case ApiConnectionError():
            return "no connection"
        case _:
            return type(exc).__name__
