"""Send the request of one call: attempts, timeouts, redirects and errors."""

from __future__ import annotations

import random
import time
from urllib.parse import urljoin, urlsplit

import anyio

from ..errors import (
    ApiConnectionError,
    ApiException,
    ApiTimeoutError,
    ConnectTimeout,
    FirstTokenTimeout,
    InvalidResponse,
    StatusError,
    StreamTruncated,
    TotalTimeout,
)
from ..transport.base import ResponseStream, Transport
from ..wire.requests import HttpRequest
from ..wire.responses import decode_error
from ..wire.retry import retry_delay
from .log import log_retry

_MAX_ERROR_BODY = 64 * 1024
"""Bytes of an error response that are read."""

_ERROR_BODY_TIMEOUT = 5.0
"""How long to read the body of an error response, in seconds."""

_MAX_REDIRECTS = 5
_RELEASED = HttpRequest("", "", {}, None)
_TIMER_SLACK = 0.005
"""Seconds by which a timer may fire early: uvloop's timers have a resolution of one millisecond."""


class Call:
    """A request and every attempt to send it.

    Args:
        connect: Longest wait for the response headers of one attempt, in seconds; None for no limit.
        first_token: Longest time from sending one attempt to the first chunk, in seconds; None for no limit. Here it
            limits the wait for the headers too.
        total: Longest time for the whole call, from now on, in seconds; None for no limit.
        max_retries: Most attempts after the first one.

    Attributes:
        attempts: Attempts so far.
        sent_at: When the latest attempt was sent, by `time.monotonic`.
        started_at: When the call was created, by `time.monotonic`.
    """

    __slots__ = (
        "_connect",
        "_deadline",
        "_first_token",
        "_max_retries",
        "_method",
        "_request",
        "_total",
        "_transport",
        "_url",
        "attempts",
        "sent_at",
        "started_at",
    )

    def __init__(
        self,
        transport: Transport,
        request: HttpRequest,
        *,
        connect: float | None,
        first_token: float | None = None,
        total: float | None,
        max_retries: int,
    ) -> None:
        self._transport = transport
        self._request = request
        self._method, self._url = request.method, request.url  # for the log, also after `release_request`
        self._connect = connect
        self._first_token = first_token
        self._total = total
        self._max_retries = max_retries
        self.attempts: int = 0
        self.started_at: float = time.monotonic()
        self.sent_at: float = self.started_at
        self._deadline = None if total is None else self.started_at + total

    def release_request(self) -> None:
        """Release the request: no more attempts follow, the body may be large and the stream long-lived."""
        self._request = _RELEASED

    @property
    def target(self) -> str:
        """The method and the URL without its query, for the log."""
        return f"{self._method} {self._url.partition('?')[0]}"

    @property
    def elapsed(self) -> float:
        """Seconds since the call was created."""
        return time.monotonic() - self.started_at

    def remaining(self, limit: float | None = None) -> float | None:
        """Return the seconds that are left of `total`, at most `limit`; None for no limit."""
        if self._deadline is None:
            return limit
        left = max(0.0, self._deadline - time.monotonic())
        return left if limit is None else min(left, limit)

    def total_timeout_error(self) -> TotalTimeout | None:
        """Return the error to raise if `total` is used up, else None."""
        if self._deadline is None or time.monotonic() < self._deadline - _TIMER_SLACK:
            return None
        return TotalTimeout(f"the call took longer than total={self._total} s")

    async def open(self) -> ResponseStream:
        """Send the request, with retries, and return the response, whose status is 200 to 299."""
        while True:
            try:
                return await self.attempt()
            except ApiException as exc:
                await anyio.sleep(self.retry_delay(exc))

    async def read(self, max_bytes: int) -> tuple[ResponseStream, bytes]:
        """Send the request, with retries, and return the response with its whole body.

        A connection that breaks while the body is read is retried too.
        """
        while True:
            response = await self.open()
            try:
                return response, await self._read_body(response, max_bytes)
            except ApiException as exc:
                self.attach_response_info(exc, response)
                delay = self.retry_delay(exc)
            finally:
                response.close()
            await anyio.sleep(delay)

    def retry_delay(self, exc: ApiException) -> float:
        """Return the seconds until the next attempt is due; raise `exc` if no attempt may follow."""
        delay: float | None = None
        if self.attempts <= self._max_retries and _may_retry(exc):
            retry_after = exc.retry_after if isinstance(exc, StatusError) else None
            delay = retry_delay(self.attempts, jitter=random.random(), retry_after=retry_after)
        left = self.remaining()
        if delay is None or (left is not None and delay >= left):
            if exc.round_trip_time is None:
                exc.round_trip_time = self.elapsed
            raise exc
        log_retry(self.target, self.attempts, exc, delay)
        return delay

    async def attempt(self) -> ResponseStream:
        """Send the request once and return the response, whose status is 200 to 299."""
        self.attempts += 1
        self.sent_at = time.monotonic()
        request, redirects = self._request, 0
        while True:
            try:
                response = await self._transport.send(request, self.remaining(self._headers_limit()))
            except TimeoutError as exc:
                raise self.total_timeout_error() or self._headers_timeout(request) from exc
            if response.status not in {307, 308} or redirects == _MAX_REDIRECTS or not response.headers.get("Location"):
                break
            redirects += 1
            request = self._redirected(request, response)
            await response.aclose()
        if 200 <= response.status <= 299:
            return response
        try:
            raw = await self._read_error_body(response)
        finally:
            await response.aclose()
        error = decode_error(response.status, response.reason, response.headers, raw)
        self.attach_response_info(error, response)
        raise error

    def _headers_limit(self) -> float | None:
        """Return the seconds that the response headers of the latest attempt may still take."""
        if self._first_token is None:
            return self._connect
        left = max(0.0, self.sent_at + self._first_token - time.monotonic())
        return left if self._connect is None else min(left, self._connect)

    def _headers_timeout(self, request: HttpRequest) -> ApiTimeoutError:
        if self._first_token is None or (self._connect is not None and self._connect <= self._first_token):
            return ConnectTimeout(f"no response headers from {request.url} within connect={self._connect} s")
        return FirstTokenTimeout(f"no response headers from {request.url} within first_token={self._first_token} s")

    def _redirected(self, request: HttpRequest, response: ResponseStream) -> HttpRequest:
        """Return the request to follow a 307 or 308 with.

        The location must have the same origin, because the request carries keys.
        """
        location = response.headers["Location"]
        try:
            location = urljoin(request.url, location)
            allowed = _origin(location) == _origin(request.url)
        except ValueError:  # not a URL
            allowed = False
        if not allowed:
            response.close()
            error = InvalidResponse(
                f"the server redirects to another origin, {location!a}; if you trust it, set base_url to it"
            )
            self.attach_response_info(error, response)
            raise error
        return HttpRequest(request.method, location, request.headers, request.body)

    async def _read_body(self, response: ResponseStream, max_bytes: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while True:
            try:
                data = await response.read(self.remaining())
            except TimeoutError as exc:
                raise TotalTimeout(f"the call took longer than total={self._total} s") from exc
            if not data:
                return b"".join(pieces)
            pieces.append(data)
            size += len(data)
            if size > max_bytes:
                raise InvalidResponse(f"the response body is larger than max_event_bytes={max_bytes:,}")

    async def _read_error_body(self, response: ResponseStream) -> bytes:
        """Read the error body for at most 5 s, and no longer than the headers could have taken.

        The status error is raised even if the body is incomplete.
        """
        raw = b""
        limit = self._headers_limit()
        deadline = time.monotonic() + (_ERROR_BODY_TIMEOUT if limit is None else min(limit, _ERROR_BODY_TIMEOUT))
        try:
            while len(raw) < _MAX_ERROR_BODY:
                data = await response.read(self.remaining(max(0.0, deadline - time.monotonic())))
                if not data:
                    break
                raw += data
        except (TimeoutError, ApiConnectionError):
            pass
        return raw[:_MAX_ERROR_BODY]

    def attach_response_info(self, exc: ApiException, response: ResponseStream) -> None:
        """Add the response's status, headers and time, and the server's address, to an error."""
        if exc.status is None:
            exc.status, exc.reason = response.status, response.reason
        exc.headers = response.headers
        exc.round_trip_time = self.elapsed
        if isinstance(exc, StatusError):
            exc.host = urlsplit(self._url).netloc.rpartition("@")[2]


def _may_retry(exc: ApiException) -> bool:
    return exc.retryable and isinstance(exc, (StatusError, ApiConnectionError, StreamTruncated))


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
