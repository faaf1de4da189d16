"""One call: its attempts, its clocks, and the error it ends in."""

from __future__ import annotations

import random
import time
from urllib.parse import urljoin, urlsplit

import anyio

from ..errors import (
    ApiConnectionError,
    ApiException,
    ConnectTimeout,
    InvalidResponse,
    StatusError,
    StreamTruncated,
    TotalTimeout,
)
from ..transport.base import ResponseStream, Transport
from ..wire.requests import HttpRequest
from ..wire.responses import decode_error
from ..wire.retry import retry_delay

_MAX_ERROR_BODY = 64 * 1024
_ERROR_BODY_WAIT = 5.0
_MAX_REDIRECTS = 5
_SENT = HttpRequest("", "", {}, None)
_TIMER_SLACK = 0.005
"""Seconds by which a timer may fire early: those of uvloop count whole milliseconds."""


class Call:
    """A request and every attempt at it. The clock `total` runs from here.

    Args:
        connect: Longest wait for the headers of one attempt, in seconds; None for no limit.
        total: Longest time for everything, in seconds; None for no limit.
        max_retries: Attempts after the first one.
    """

    __slots__ = ("_connect", "_deadline", "_max_retries", "_request", "_total", "_transport", "attempts", "started_at")

    def __init__(
        self,
        transport: Transport,
        request: HttpRequest,
        *,
        connect: float | None,
        total: float | None,
        max_retries: int,
    ) -> None:
        self._transport = transport
        self._request = request
        self._connect = connect
        self._total = total
        self._max_retries = max_retries
        self.attempts: int = 0
        self.started_at: float = time.monotonic()
        self._deadline = None if total is None else self.started_at + total

    def let_go(self) -> None:
        """There will be no further attempt: keep nothing of the request, which may be large, and a stream long."""
        self._request = _SENT

    @property
    def elapsed(self) -> float:
        """Seconds since the call began."""
        return time.monotonic() - self.started_at

    def remaining(self, limit: float | None = None) -> float | None:
        """Seconds that may still pass, at most `limit`; None for no limit."""
        if self._deadline is None:
            return limit
        left = max(0.0, self._deadline - time.monotonic())
        return left if limit is None else min(left, limit)

    def out_of_time(self) -> TotalTimeout | None:
        """The error to raise once `total` is used up, else None."""
        if self._deadline is None or time.monotonic() < self._deadline - _TIMER_SLACK:
            return None
        return TotalTimeout(f"the call took longer than total={self._total} s")

    async def open(self) -> ResponseStream:
        """An answer of 200-299, after as many attempts as it takes and is allowed."""
        while True:
            self.attempts += 1
            try:
                return await self._attempt()
            except ApiException as exc:
                await self.wait_to_retry(exc)

    async def read(self, max_bytes: int) -> tuple[ResponseStream, bytes]:
        """An answer of 200-299 with its whole body; a connection that breaks in the middle counts as an attempt."""
        while True:
            response = await self.open()
            try:
                return response, await self._read_body(response, max_bytes)
            except ApiException as exc:
                self.describe(exc, response)
                await self.wait_to_retry(exc)
            finally:
                response.close()

    async def wait_to_retry(self, exc: ApiException) -> None:
        """Wait for as long as the policy says, or raise `exc` when there is to be no further attempt."""
        delay: float | None = None
        if self.attempts <= self._max_retries and _may_retry(exc):
            retry_after = exc.retry_after if isinstance(exc, StatusError) else None
            delay = retry_delay(self.attempts, jitter=random.random(), retry_after=retry_after)
        left = self.remaining()
        if delay is None or (left is not None and delay >= left):
            if exc.round_trip_time is None:
                exc.round_trip_time = self.elapsed
            raise exc
        await anyio.sleep(delay)

    async def _attempt(self) -> ResponseStream:
        request, redirects = self._request, 0
        while True:
            try:
                response = await self._transport.send(request, self.remaining(self._connect))
            except TimeoutError as exc:
                raise self.out_of_time() or ConnectTimeout(
                    f"no response headers from {request.url} within connect={self._connect} s"
                ) from exc
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
        raise decode_error(response.status, response.reason, response.headers, raw)

    def _redirected(self, request: HttpRequest, response: ResponseStream) -> HttpRequest:
        """The same request to where a 307 or 308 points, if that is the same origin: it carries keys."""
        there = response.headers["Location"]
        try:
            there = urljoin(request.url, there)
            allowed = _origin(there) == _origin(request.url)
        except ValueError:  # not a URL
            allowed = False
        if not allowed:
            response.close()
            error = InvalidResponse(
                f"the server redirects to {there!a}, where no key is sent; set base_url to it if it is yours"
            )
            self.describe(error, response)
            raise error
        return HttpRequest(request.method, there, request.headers, request.body)

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
                raise InvalidResponse(f"the answer is larger than max_event_bytes={max_bytes:,}")

    async def _read_error_body(self, response: ResponseStream) -> bytes:
        """As much of the body as comes soon; a refusal stays a refusal when its words get lost."""
        raw = b""
        give_up = time.monotonic() + _ERROR_BODY_WAIT
        try:
            while len(raw) < _MAX_ERROR_BODY:
                data = await response.read(self.remaining(max(0.0, give_up - time.monotonic())))
                if not data:
                    break
                raw += data
        except (TimeoutError, ApiConnectionError):
            pass
        return raw[:_MAX_ERROR_BODY]

    def describe(self, exc: ApiException, response: ResponseStream) -> None:
        """Tell an error which answer it belongs to."""
        if exc.status is None:
            exc.status, exc.reason = response.status, response.reason
        exc.headers = response.headers
        exc.round_trip_time = self.elapsed


def _may_retry(exc: ApiException) -> bool:
    return exc.retryable and isinstance(exc, (StatusError, ApiConnectionError, StreamTruncated))


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
