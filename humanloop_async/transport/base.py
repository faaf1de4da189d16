"""The interface of a transport: it moves bytes and translates its library's exceptions.

The client and the server's providers use HTTP only through these two protocols. Pass a transport that you have written
as ``AsyncHumanloop(transport=...)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..wire.requests import HttpRequest


class ResponseStream(Protocol):
    """A response whose status and headers have arrived, and whose body is still to be read.

    Attributes:
        status: HTTP status code.
        reason: The reason phrase of the status line, "" if there is none.
        headers: The headers; looking one up must ignore case.
    """

    @property
    def status(self) -> int: ...
    @property
    def reason(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...

    async def read(self, timeout: float | None) -> bytes:
        """Return the bytes that have arrived, at least one; ``b""`` at the end of the body and after it.

        A cancelled read loses no bytes.

        Args:
            timeout: Longest wait, in seconds; None for no limit. With 0, do not wait for the event loop either: return
                bytes that have arrived, or raise.

        Raises:
            TimeoutError: No bytes arrived in time. The response cannot be read further.
            ApiConnectionError: The connection broke or was closed. Bytes that arrived before are returned first.
        """
        ...

    def close(self) -> None:
        """Close the connection without waiting. Callable in any state; closing again has no effect.

        A body that was read to its end has returned its connection to the pool, where it stays open.
        """
        ...

    async def aclose(self) -> None:
        """Close the connection and wait until its resources are released. Cancellation does not interrupt this."""
        ...


class WrappedResponse:
    """The status, the reason and the headers of a `ResponseStream` that wraps another one."""

    def __init__(self, inner: ResponseStream) -> None:
        self._inner = inner

    @property
    def status(self) -> int:
        return self._inner.status

    @property
    def reason(self) -> str:
        return self._inner.reason

    @property
    def headers(self) -> Mapping[str, str]:
        return self._inner.headers


class Transport(Protocol):
    """Sends requests. It follows no redirects, raises no errors for statuses, and does not retry."""

    async def send(self, request: HttpRequest, timeout: float | None) -> ResponseStream:
        """Send a request and wait for the headers of the response.

        Args:
            request: The request, whose URL is absolute.
            timeout: Longest wait for the headers, in seconds; None for no limit.

        Raises:
            TimeoutError: The headers did not arrive in time.
            ApiConnectionError: Connecting failed, or the connection broke.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection. Closing again has no effect."""
        ...


def describe_exception(exc: BaseException) -> str:
    """Return an exception's message, or the name of its type if it has none."""
    return str(exc) or type(exc).__name__
